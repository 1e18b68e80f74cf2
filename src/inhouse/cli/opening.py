"""Opens a model as the options of the command line say, with a bar while it is packed."""

from __future__ import annotations

import argparse
from pathlib import Path

from inhouse.cli.common import packed_copies
from inhouse.cli.meter import Meter
from inhouse.engine import LLM
from inhouse.engine.open import open_engine
from inhouse.engine.serving import Engine, Options
from inhouse.errors import ParameterError, TemplateError
from inhouse.tokenizer.template import ChatTemplate


def open_llm(path: Path, args: argparse.Namespace) -> LLM:
    """`args` are those of `add_engine`. Raises what opening a model raises."""
    with Meter("bytes") as meter:
        return LLM(
            path,
            threads=args.threads,
            kv=args.kv,
            context=args.context,
            pack=not args.no_pack,
            packed_root=packed_copies().root,
            packing=lambda done, total: meter.update(f"packing {path.name} (once)", done, total),
            chat_template=chat_template(args.chat_template),
        )


def open_serving(path: Path, args: argparse.Namespace, options: Options) -> Engine:
    """The same for an engine that takes the requests of many."""
    with Meter("bytes") as meter:
        return open_engine(
            path,
            options,
            threads=args.threads,
            kv=args.kv,
            pack=not args.no_pack,
            packed_root=packed_copies().root,
            packing=lambda done, total: meter.update(f"packing {path.name} (once)", done, total),
            chat_template=chat_template(args.chat_template),
        )


def chat_template(path: Path | None) -> str | None:
    """The template in a file. Raises ParameterError for one that cannot be used."""
    if path is None:
        return None
    try:
        source = path.read_text("utf-8")
        ChatTemplate(source)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ParameterError(f"--chat-template {path}: cannot be read ({reason})") from error
    except TemplateError as error:
        raise ParameterError(f"--chat-template {path}: {error}") from error
    return source
