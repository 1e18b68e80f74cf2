"""`inhouse generate`: one prompt, one continuation or answer; for scripts."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict
from typing import Any

from inhouse.cli.common import (
    Subparsers,
    add_engine,
    add_model,
    add_thinking,
    command,
    model_path,
    print_json,
    template_flags,
)
from inhouse.cli.meter import Meter
from inhouse.cli.opening import open_llm
from inhouse.cli.sampling import add_sampling, sampling
from inhouse.client.shape import unicode_text
from inhouse.engine import Chunk
from inhouse.engine.completion import collect
from inhouse.errors import ParameterError


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "generate",
        "Let a model go on with a text, or with --chat answer it. The text comes from the command line, or from "
        "standard input if it is - or left out.",
        'inhouse generate starter "def fibonacci(n):" --max-tokens 64\n'
        'inhouse generate starter --chat "What is a monad?" --temperature 0.7 --seed 1\n'
        "git diff | inhouse generate starter --chat --system 'Review this diff.' -\n"
        "inhouse generate starter - --json < prompt.txt",
    )
    add_model(parser)
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", default="-", help="the text; - is standard input")
    parser.add_argument("--chat", action="store_true", help="the text is a user's message, to be answered")
    parser.add_argument("--system", metavar="TEXT", help="with --chat: the system prompt")
    parser.add_argument("--json", action="store_true", help="write one JSON object; with --stream, one per piece")
    parser.add_argument("--stream", action="store_true", help="write as it comes, also where stdout is no terminal")
    add_thinking(parser)
    add_engine(parser)
    add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    if args.system is not None and not args.chat:
        raise ParameterError("--system needs --chat: a text that is gone on with has no system prompt")
    params = sampling(args)
    prompt = sys.stdin.read() if args.prompt == "-" else unicode_text(args.prompt)
    with open_llm(model_path(args.model), args) as llm, Meter() as meter:

        def reading(done: int, total: int) -> None:
            meter.update("reading the prompt", done, total)

        if args.chat:
            messages = [{"role": "user", "content": prompt}]
            if args.system is not None:
                messages.insert(0, {"role": "system", "content": args.system})
            chunks = llm.stream_chat(messages, params, template_flags=template_flags(args), progress=reading)
        else:
            chunks = llm.stream(prompt, params, progress=reading)
        with closing(chunks):
            _write(args, chunks, meter)
    return 0


def _write(args: argparse.Namespace, chunks: Generator[Chunk], meter: Meter) -> None:
    """Consumes the chunks and writes them as the user asked."""
    started = time.monotonic()
    kept: list[Chunk] = []
    live = not args.json and (args.stream or sys.stdout.isatty())
    for chunk in chunks:
        if not kept:
            meter.stop()
        kept.append(chunk)
        if args.json and args.stream:
            print(json.dumps(_fields(chunk)), flush=True)
        elif live:
            print(chunk.text, end="", flush=True)
    completion = collect(kept)
    if live:
        print()
    elif not args.json:
        print(completion.text)
    elif not args.stream:
        print_json({**asdict(completion), "seconds": round(time.monotonic() - started, 3)})


def _fields(chunk: Chunk) -> dict[str, Any]:
    """A chunk without what is empty."""
    return {name: value for name, value in asdict(chunk).items() if value not in ("", (), None)}
