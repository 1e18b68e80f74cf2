"""The `inhouse` command: finds the sub-command, runs it, and turns what goes wrong into one line and an exit code.

Exit codes: 0 done; 1 an error meant for the user; 2 wrong usage; 130 interrupted; 141 the reader of a pipe went away.
Only the module of the command that was asked for is loaded, so that help and usage errors come at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the process's own) and returns the exit code."""
    try:
        args = _parse(sys.argv[1:] if argv is None else argv)
        code: int = importlib.import_module(f"inhouse.cli.{args.command}").run(args)
        sys.stdout.flush()
        return code
    except InhouseError as error:
        return _failed(str(error))
    except BrokenPipeError:
        # Python flushes stdout once more at its end: let that go nowhere, quietly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if error.filename is None:
            raise
        return _failed(f"{error.filename}: {error.strerror}; check the path and its permissions")
    except KeyboardInterrupt:
        return 130


def _failed(message: str) -> int:
    print("inhouse:", " ".join(message.split()), file=sys.stderr)
    return 1


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
