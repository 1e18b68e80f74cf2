"""The `inhouse` command: finds the sub-command, runs it, and turns what goes wrong into one line and an exit code.

Whatever the streams of the process are (closed, a full disk, an encoding without letters), no traceback is shown.

Exit codes: 0 done; 1 an error meant for the user; 2 wrong usage; 130 interrupted; 141 the reader of a pipe went away.
Only the module of the command that was asked for is loaded, so that help and usage errors come at once.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from inhouse.errors import InhouseError

# Each is a module of this package with `add_parser(subparsers)` and `run(args) -> int`.
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "pull": "fetch a model to this machine",
        "models": "list the models here and those to be had",
        "remove": "delete a model",
        "convert": "pack a model for this program's kernels",
        "inspect": "what is in a model file and what it costs to run",
        "serve": "give other programs a model: OpenAI's and Anthropic's APIs",
        "key": "who may call the server from another machine",
        "connect": "set up aider, opencode, Zed and others for the server",
        "chat": "talk with a model",
        "generate": "let a model go on with a text",
        "agent": "work on a repository with a model, in a terminal or as one task",
        "sessions": "the agent's sessions: list, show, export",
        "acp": "the agent in an editor, by the Agent Client Protocol",
        "fix": "repair a repository: edits, tests, a verified patch",
        "cache": "what is kept of past conversations",
        "doctor": "what confines commands here, and all that a bug report needs",
        "map": "what matters in a repository, and where names are used",
        "bench": "measure a model on this machine",
        "eval": "measure what a model can do",
        "synth": "write a random model of a real one's shape, for measuring",
    }
)

_DESCRIPTION = "A private software engineer that runs a model on the machine you already own."
_EPILOG = """\
examples:
  inhouse pull                                  fetch the model that suits this machine
  inhouse chat starter                          talk with it
  inhouse fix --repo . "the totals are wrong" --test "pytest -x"
  inhouse bench starter --vs llama.cpp          measure it

Each command explains itself: inhouse COMMAND --help. MODEL is a name (inhouse models) or a path to a .gguf file or a
Hugging Face directory. Models are kept in ~/.local/share/inhouse, or where INHOUSE_HOME says. Only `pull` ever uses
the network."""


class _Version(argparse.Action):
    """Prints the version; looking it up takes longer than all the rest of --help."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"inhouse {version('inhouse')}")
        parser.exit()


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's own) and returns the exit code."""
    _usable_streams()
    try:
        args = _parse(sys.argv[1:] if argv is None else argv)
        run = importlib.import_module(f"inhouse.cli.{args.command}").run
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on, there is something to put away
        code: int = run(args)
        sys.stdout.flush()
        return code
    except InhouseError as error:
        return _failed(str(error))
    except BrokenPipeError:
        _forget_output()
        return 141
    except OSError as error:
        return _failed(_of_the_system(error))
    except KeyboardInterrupt:
        return 130
    except MemoryError:
        return _failed("the memory of this machine does not suffice; take a smaller model, or less --context")
    except Exception as error:
        if os.environ.get("INHOUSE_DEBUG"):
            raise
        said = " ".join(str(error).split())[:200]
        return _failed(
            f"an error that was not foreseen ({type(error).__name__}: {said}); run again with INHOUSE_DEBUG=1 for the "
            "traceback, and please report it"
        )


def _usable_streams() -> None:
    """See that what is printed can be: closed streams lead to /dev/null, and no character is an error."""
    for descriptor in range(3):  # in this order: a file that is opened gets the lowest number that is free
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Python flushes stdout once more at its end: let that go nowhere, quietly."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_the_system(error: OSError) -> str:
    said = error.strerror or str(error) or type(error).__name__
    if error.errno in _FULL:
        _forget_output()
        where = error.filename or "standard output, or a file of this program"
        return f"{_name(where)}: {said}; free some space, or let INHOUSE_HOME name a folder on another disk"
    if error.filename is None:
        return f"{said}; run again with INHOUSE_DEBUG=1 for the place" if not os.environ.get("INHOUSE_DEBUG") else said
    return f"{_name(error.filename)}: {said}; check the path and its permissions"


def _name(name: object) -> str:
    """A file's name, in whatever shape an error has it."""
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else str(name)


def _failed(message: str) -> int:
    """Say what went wrong in one line in which nothing moves a terminal's cursor."""
    line = "".join(one if one.isprintable() else _escaped(one) for one in " ".join(message.split()))
    with contextlib.suppress(OSError):
        print("inhouse:", line, file=sys.stderr, flush=True)
    return 1


def _escaped(character: str) -> str:
    """A control character, or a byte of a name that is no UTF-8 (which Python keeps as a surrogate)."""
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode()


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="inhouse", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    if argv and argv[0] in COMMANDS:
        importlib.import_module(f"inhouse.cli.{argv[0]}").add_parser(subparsers)
        # By itself argparse finds no optional positional (generate's PROMPT) that comes after an option.
        return subparsers.choices[argv[0]].parse_intermixed_args(argv[1:], argparse.Namespace(command=argv[0]))
    for name, summary in COMMANDS.items():
        subparsers.add_parser(name, help=summary)
    return parser.parse_args(argv)
