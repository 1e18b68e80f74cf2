"""`inhouse eval swebench`: the options and the report. Part of `inhouse eval`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from inhouse.cli.common import home, positive, print_json
from inhouse.cli.meter import Meter
from inhouse.cli.swebench_solvers import SOLVERS, solver
from inhouse.errors import ParameterError
from inhouse.evals.swebench import Grade, load_instances
from inhouse.evals.swebench_run import Settings, grade_officially
from inhouse.evals.swebench_run import run as measure
from inhouse.store import DATA_SETS
from inhouse.workspace import Sandbox


def add_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("of swebench")
    group.add_argument(
        "--split", default="verified", metavar="NAME", help="which data set that was pulled (default: verified)"
    )
    group.add_argument("--dataset", type=Path, metavar="FILE", help="instances as JSON lines, wherever they are")
    group.add_argument("--instances", nargs="+", default=[], metavar="ID", help="only these")
    group.add_argument("--repos", type=Path, metavar="DIR", help="local clones, named OWNER__NAME")
    group.add_argument("--predictions", metavar="gold|empty|FILE", help="grade these, without a model")
    group.add_argument("--grader", choices=["local", "official"], default="local", help="who grades (default: local)")
    group.add_argument("--python", type=Path, metavar="FILE", help="runs the tests for the local grader")
    group.add_argument("--workers", type=positive, default=1, metavar="N", help="instances at a time (default 1)")
    group.add_argument("--url", metavar="URL", help="ask a server instead of a model here (key: INHOUSE_API_KEY)")
    group.add_argument(
        "--solver", choices=SOLVERS, default="agent",
        help="agent: as `inhouse agent` (default); fix: as `inhouse fix`, for small models and tests that fail",
    )  # fmt: skip
    group.add_argument("--minutes", type=positive, default=10, metavar="M", help="for a model, each (default 10)")


def run(args: argparse.Namespace) -> int:
    dataset = args.dataset or _kept(args.split)
    instances = load_instances(dataset, args.instances)[: args.limit]
    if args.repos is None:
        raise ParameterError(
            "the repositories are missing; name the folder of their clones with --repos (`inhouse pull "
            f"swe-bench-{args.split} --repos DIR` makes them)"
        )
    name = args.model or args.url or f"{args.predictions}"
    settings = Settings(name, args.repos, (args.python or Path(sys.executable)).absolute(), workers=args.workers)
    with tempfile.TemporaryDirectory(prefix="inhouse-eval-") as scratch, solver(args) as solve, Meter() as meter:
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


def _kept(split: str) -> Path:
    """The data set that was pulled, or put there. Raises ParameterError."""
    name = f"swe-bench-{split}"
    path = home() / "datasets" / f"{name}.jsonl"
    if path.exists():
        return path
    if name in DATA_SETS:
        raise ParameterError(f"{path} is not here yet: run `inhouse pull {name}`, or name a file with --dataset")
    known = ", ".join(one.removeprefix("swe-bench-") for one in DATA_SETS)
    raise ParameterError(f"{path} is not here, and --split {split} cannot be fetched, as {known} can; give --dataset")


def _print(report: dict[str, Any]) -> None:
    print(f"{report['model']}: {report['resolved']} of {report['instances']} resolved; {report['grader']}")
    for kind, count in sorted(report["classes"].items()):
        print(f"  {count:4d}  {kind}")
    print(f"  {report['tokens']} tokens, {report['solve_seconds']} s solving, {report['grade_seconds']} s of tests")
