"""`inhouse fix`: repair a repository. Composes the agent with a model; asks before it applies."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import Any

from inhouse.cli.chat_client import add_connection, connected_later, largest_model
from inhouse.cli.common import (
    Subparsers,
    command,
    confirm,
    home,
    model_path,
    positive,
)
from inhouse.cli.grants import add_grants, shell
from inhouse.cli.repair_view import JsonLines, RepairView, show_diff
from inhouse.client.shape import unicode_text
from inhouse.errors import ParameterError, SandboxError
from inhouse.repair import Choice, RepairOptions, RepairResult, repair
from inhouse.workspace import Sandbox
from inhouse.workspace.checkout import apply
from inhouse.workspace.overview import map_tokens
from inhouse.workspace.testing.command import given_command

_EXIT_CODES = """\
exit codes:
  0    a verified patch was applied, or shown when you did not want it applied; tests that are set apart (a plugin or
       module of theirs is missing, flaky, ...) may fail as before
  1    an error: the test command tells nothing, a file changed meanwhile, ...
  2    wrong usage
  3    no patch was found that makes the tests pass
  4    nothing fails, so there is nothing that a patch could be verified by
  5    nothing fails, but most answers agree on a patch, and it was applied or shown (--majority)
  6    nothing failed, but a test that the model wrote did: a patch with that test was applied or shown
  7    a patch was applied or shown that repairs a part: it breaks nothing, and some of the failing tests still fail
  130  interrupted; nothing was changed"""
_EXIT = {"verified": 0, "no_patch": 3, "nothing_fails": 4, "agreed": 5, "reproduced": 6, "partial": 7}
_DRAFTS = 8  # of a test that shows the problem, where no test fails
_LINE_ANSWERS = 6  # to one question about single lines
_PARALLEL = 3  # answers at a time, which an engine decodes in about the time of one
_MAP_TOKENS = 1024  # at most: each repair reads the map once, and a small model reads slowly
_ENDINGS = {signal.SIGTERM: 143, signal.SIGHUP: 129}


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "fix",
        "Repair a repository whose tests fail. Works on a copy: finds the functions that the failing tests point at, "
        "lets the model write them anew, runs the tests in a sandbox without network, and keeps only a patch that "
        "makes all of them pass (one that repairs a part is shown as such). Where no test fails, the model first "
        "writes one that shows the problem, and the patch comes with it. Shows the patch, and applies it on your yes. "
        "Tests of yours are never edited.",
        'inhouse fix "Totals are wrong when an entry has two currencies"\n'
        'inhouse fix --repo ~/ledger "rounding" --test "pytest -q tests/test_money.py" --minutes 5\n'
        "inhouse fix --repo . - --yes --json < issue.txt\n"
        'inhouse fix "the last page is missing" > repair.patch',
    )
    parser.epilog = f"{parser.epilog}\n\n{_EXIT_CODES}"
    parser.add_argument("problem", metavar="PROBLEM", help="what is wrong, in your words; - is standard input")
    parser.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the repository (default: here)")
    parser.add_argument("--test", metavar="CMD", help="the command that runs the tests (default: found)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TESTS",
        help="of the failing tests these decide: an id, a file, a folder, or a part of an id (repeatable)",
    )  # fmt: skip
    parser.add_argument(
        "--ignore", action="append", default=[], metavar="TESTS", help="these tests never decide; as --only"
    )
    parser.add_argument(
        "--majority", type=positive, default=0, metavar="N",
        help="where no test fails and none that shows the problem can be written: ask N times, and keep what more than "
        "half of the answers agree on",
    )  # fmt: skip
    parser.add_argument(
        "--no-reproduce", action="store_true",
        help="where no test fails: do not let the model write one that shows the problem",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws other attempts (default 0)")
    parser.add_argument("--test-timeout", type=positive, default=300, metavar="S", help="seconds a run of the tests")
    parser.add_argument("-y", "--yes", action="store_true", help="apply a verified patch without asking")
    parser.add_argument(
        "--unconfined", action="store_true", help="run the tests with your own rights where no sandbox is to be had"
    )
    parser.add_argument("--json", action="store_true", help="write events as JSON lines, the result last; never ask")
    limits = parser.add_argument_group("when to give up")
    limits.add_argument(
        "--max-minutes", "--minutes", dest="minutes", type=_minutes, default=10.0, metavar="M", help="default 10"
    )
    limits.add_argument(
        "--max-turns", "--attempts", dest="attempts", type=positive, default=60, metavar="N",
        help="answers of the model (default 60)",
    )  # fmt: skip
    limits.add_argument(
        "--max-tokens", type=positive, metavar="N", help="tokens computed, of prompts and answers (default: no limit)"
    )
    add_grants(parser)
    add_connection(parser, thinking=False)


def run(args: argparse.Namespace) -> int:
    problem = (sys.stdin.read() if args.problem == "-" else unicode_text(args.problem)).strip()
    if not problem:
        raise ParameterError("the problem is empty; say in a sentence what is wrong")
    if not args.repo.is_dir():
        raise ParameterError(f"{args.repo}: no such directory; name the repository with --repo")
    if args.test is not None:
        given_command(args.test)
    model = args.url or (model_path(args.model) if args.model is not None else largest_model()).name
    options = RepairOptions(
        minutes=args.minutes,
        attempts=args.attempts,
        tokens=args.max_tokens,
        voters=args.majority,
        drafts=0 if args.no_reproduce else _DRAFTS,
        line_answers=_LINE_ANSWERS,
        parallel=_PARALLEL,
        seed=args.seed,
        sandboxed=_sandboxed(args),
        test_timeout=args.test_timeout,
        user=shell(args, args.repo, ask=not args.json),
        maps=home() / "maps",
        choice=Choice(args.only, args.ignore),
    )
    with _ended_by_signals():
        return _report(args, _repair(args, model, problem, options))


def _repair(args: argparse.Namespace, model: str, problem: str, options: RepairOptions) -> RepairResult:
    """The model is loaded when it is first asked: not for a repository or a test command that cannot be used."""
    with (
        JsonLines() if args.json else RepairView() as view,
        connected_later(args, {"enable_thinking": False}, lambda: view.loading(model)) as connection,
    ):

        def tokens() -> int:  # a small model reads slowly, and tests tell more than a map
            return 0 if connection.is_small else min(_MAP_TOKENS, map_tokens(connection.context))

        return repair(connection, args.repo, problem, args.test, replace(options, map_tokens=tokens), view.show)


def _report(args: argparse.Namespace, result: RepairResult) -> int:
    """Shows how it ended and applies the patch if the user wants it. Returns the exit code."""
    applied = False
    if result.patch:
        if not args.json:
            show_diff(result.diff)
        wanted = args.yes or (not args.json and sys.stdin.isatty() and confirm("Apply this patch?", False))
        if wanted:
            apply(args.repo, result.patch, result.originals)
            applied = True
    if args.json:
        print(json.dumps(_fields(result, applied)), flush=True)
        return _EXIT[result.status]
    if result.reproduction and not result.patch:
        print(f"a test that shows the problem:\n\n{result.reproduction.text}", file=sys.stderr)
    said = f"{result.reason} ({result.attempts} attempts, {result.seconds:.0f} s)"
    if result.patch:
        said += f"; applied to {', '.join(sorted(result.patch))}" if applied else "; not applied (--yes does)"
    print(said, file=sys.stderr)
    return _EXIT[result.status]


def _fields(result: RepairResult, applied: bool) -> dict[str, Any]:
    return {
        "event": "result",
        "status": result.status,
        "reason": result.reason,
        "command": result.command,
        "failing": list(result.failing),
        "reasons": list(result.reasons),
        "repaired": list(result.repaired),
        "apart": dict(result.apart),
        "attempts": result.attempts,
        "seconds": round(result.seconds, 2),
        "reproduction": asdict(result.reproduction) if result.reproduction else None,
        "files": sorted(result.patch),
        "diff": result.diff,
        "applied": applied,
    }


def _sandboxed(args: argparse.Namespace) -> bool:
    """Whether to confine commands; the user decides where that cannot be done. Raises SandboxError if they do not."""
    if args.unconfined:
        return False
    try:
        with tempfile.TemporaryDirectory(prefix="inhouse-probe-") as folder:
            Sandbox(Path(folder)).probe()
    except SandboxError as error:
        if args.json or not sys.stdin.isatty():
            raise SandboxError(f"{error}; or say --unconfined to run the tests with your own rights") from None
        print(f"inhouse: {error}", file=sys.stderr)
        if not confirm("Run this repository's tests, on code a model wrote, with your own rights?", False):
            raise SandboxError("nothing was run, since it cannot be confined here; see docs/safety.md") from None
        return False
    return True


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = 0.0
    if not 0 < minutes < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes above 0")
    return minutes


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """While this lasts, a polite kill and a closed terminal end the program as Ctrl-C does: the copy is removed."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(_ENDINGS[signal.Signals(number)])

    before = {number: signal.signal(number, end) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
