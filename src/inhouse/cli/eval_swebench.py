"""`inhouse eval swebench`: the options, the solvers and the report. Part of `inhouse eval`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inhouse.agent import FixOptions, fix
from inhouse.agent.events import Tried
from inhouse.cli.common import home, model_path, packed_copies, positive, print_json
from inhouse.cli.meter import Meter
from inhouse.client.inprocess import InProcessClient
from inhouse.engine import LLM
from inhouse.errors import ParameterError, WorkspaceError
from inhouse.evals.swebench import Grade, Instance, load_instances, load_predictions
from inhouse.evals.swebench_run import Attempt, Settings, Solver, grade_officially
from inhouse.evals.swebench_run import run as measure
from inhouse.workspace import Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("of swebench")
    group.add_argument("--split", default="verified", metavar="NAME", help="which data set of INHOUSE_HOME/datasets")
    group.add_argument("--dataset", type=Path, metavar="FILE", help="instances as JSON lines, wherever they are")
    group.add_argument("--instances", nargs="+", default=[], metavar="ID", help="only these")
    group.add_argument("--repos", type=Path, metavar="DIR", help="local clones, named OWNER__NAME")
    group.add_argument("--predictions", metavar="gold|empty|FILE", help="grade these, without a model")
    group.add_argument("--grader", choices=["local", "official"], default="local", help="who grades (default: local)")
    group.add_argument("--python", type=Path, metavar="FILE", help="runs the tests for the local grader")
    group.add_argument("--workers", type=positive, default=1, metavar="N", help="instances at a time (default 1)")
    group.add_argument("--minutes", type=positive, default=10, metavar="M", help="for a model, each (default 10)")


def run(args: argparse.Namespace) -> int:
    dataset = args.dataset or home() / "datasets" / f"swe-bench-{args.split}.jsonl"
    instances = load_instances(dataset, args.instances)[: args.limit]
    if args.repos is None:
        raise ParameterError("the repositories are missing; name the folder of their clones with --repos")
    name = args.model or f"{args.predictions}"
    settings = Settings(name, args.repos, (args.python or Path(sys.executable)).absolute(), workers=args.workers)
    with tempfile.TemporaryDirectory(prefix="inhouse-eval-") as scratch, _solver(args) as solve, Meter() as meter:
        Sandbox(Path(scratch)).probe()
        out = args.out or Path(scratch) / "results.jsonl"

        def show(done: int, total: int, last: Grade) -> None:
            meter.update(last.kind, done, total)

        report = measure(instances, solve, settings, out, show)
        if args.grader == "official":
            predictions = out.with_suffix(".predictions.jsonl")
            report |= grade_officially(predictions, dataset, name, args.workers)
    if args.json:
        print_json(report)
    else:
        _print(report)
    return 0


@contextmanager
def _solver(args: argparse.Namespace) -> Iterator[Solver]:
    if args.predictions == "gold":
        yield lambda instance, root: Attempt(instance.patch)
    elif args.predictions == "empty":
        yield lambda instance, root: Attempt("")
    elif args.predictions is not None:
        given = load_predictions(Path(args.predictions))
        yield lambda instance, root: Attempt(given.get(instance.instance_id, ""))
    elif args.model is None:
        raise ParameterError("name a MODEL, or what to grade with --predictions gold, empty or FILE")
    else:
        with LLM(model_path(args.model), threads=args.threads, packed_root=packed_copies().root) as llm:
            yield _by_fix(InProcessClient(llm, template_flags={"enable_thinking": False}), args.minutes)


def _by_fix(client: InProcessClient, minutes: float) -> Solver:
    """What `inhouse fix` makes of an instance's words; it needs a test that fails, and says so where none does."""

    def solve(instance: Instance, root: Path) -> Attempt:
        tokens = 0

        def count(event: object) -> None:
            nonlocal tokens
            if isinstance(event, Tried):
                tokens += event.prompt_tokens + event.answer_tokens

        options = FixOptions(minutes=minutes, pythons=(Path(sys.executable),))
        try:
            result = fix(client, root, instance.problem_statement, None, options, count)
        except WorkspaceError as error:
            return Attempt("", tokens, str(error))
        return Attempt(result.diff, tokens, result.reason)

    return solve


def _print(report: dict[str, Any]) -> None:
    print(f"{report['model']}: {report['resolved']} of {report['instances']} resolved; {report['grader']}")
    for kind, count in sorted(report["classes"].items()):
        print(f"  {count:4d}  {kind}")
    print(f"  {report['tokens']} tokens, {report['solve_seconds']} s solving, {report['grade_seconds']} s of tests")
