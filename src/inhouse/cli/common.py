"""What several commands share: where things are kept, parsers, tables. The one reader of environment variables."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from inhouse.errors import ParameterError
from inhouse.store import PackedCopies, Store, default_root, resolve
from inhouse.weights.kv import KV_NAMES
from inhouse.workspace.toolchains import UserEnvironment
from inhouse.workspace.toolchains.user import PLACES, VERSIONS

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def command(subparsers: Subparsers, name: str, description: str, examples: str) -> argparse.ArgumentParser:
    """A sub-command's parser; `examples` are lines of shell."""
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())
    return subparsers.add_parser(
        name,
        description=textwrap.fill(description, 100),
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a name, a .gguf file or a Hugging Face directory")


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Options of whatever loads a model."""
    parser.add_argument("--threads", type=positive, metavar="N", help="processors to use (default: all)")
    parser.add_argument(
        "--context",
        type=positive,
        metavar="N",
        help="tokens of prompt and answer together (default: what memory allows)",
    )
    add_kv(parser)
    parser.add_argument(
        "--chat-template", type=Path, metavar="FILE", help="a chat template (Jinja) in place of the model's own"
    )
    parser.add_argument("--no-pack", action="store_true", help="use the file as it is, without a packed copy")


def add_kv(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kv",
        choices=KV_NAMES,
        default="f16",
        help="how keys and values of past tokens are kept; int8 (or q8_0) takes about half the memory (default: f16)",
    )


def add_thinking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-thinking", action="store_true", help="ask a thinking model to answer at once")


def template_flags(args: argparse.Namespace) -> dict[str, bool]:
    """Switches of the model's chat template; templates ignore those that they do not know."""
    return {"enable_thinking": False} if args.no_thinking else {}


def positive(text: str) -> int:
    """An argument that is a whole number of at least 1."""
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return number


def gib(text: str) -> int:
    """An argument in GiB, as bytes."""
    try:
        size = float(text)
    except ValueError:
        size = -1.0
    if not 0 <= size < 1 << 20:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of GiB")
    return int(size * (1 << 30))


def home(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder for all that the program keeps: INHOUSE_HOME, or `inhouse` in the XDG data folder."""
    if environ.get("INHOUSE_HOME"):
        return Path(environ["INHOUSE_HOME"]).expanduser()
    data = Path(environ.get("XDG_DATA_HOME", ""))
    return data / "inhouse" if data.is_absolute() else default_root().parent


def user_environment(pythons: Sequence[Path] = (), environ: Mapping[str, str] = os.environ) -> UserEnvironment:
    """The user's shell, whose programs commands run; `pythons` are preferred to those of PATH."""
    return UserEnvironment(
        home=Path(environ.get("HOME") or "/nonexistent"),
        path=tuple(Path(entry) for entry in environ.get("PATH", os.defpath).split(os.pathsep) if entry),
        variables={name: environ[name] for name in (*PLACES, *VERSIONS) if environ.get(name)},
        pythons=tuple(pythons),
        own_python=Path(sys.executable) if sys.executable else None,
    )


def cache_folder() -> Path:
    """Where what was read of past conversations is kept."""
    return home() / "cache"


def api_key(environ: Mapping[str, str] = os.environ) -> str:
    """The key for a server that wants one."""
    return environ.get("INHOUSE_API_KEY", "")


def store() -> Store:
    return Store(home() / "models")


def packed_copies() -> PackedCopies:
    return PackedCopies(home() / "packed")


def model_path(path_or_name: str) -> Path:
    """Raises ModelNotFoundError."""
    return resolve(path_or_name, store().root)


def confirm(question: str, yes: bool) -> bool:
    """Asks, unless `yes`. Raises ParameterError where nobody can answer."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ParameterError(f"{question} Nobody is here to ask: say --yes if you mean it")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_table(rows: Iterable[Sequence[str]]) -> None:
    """Rows of equal length, in columns; the last column is not padded."""
    rows = list(rows)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)] if rows else []
    for row in rows:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip())
