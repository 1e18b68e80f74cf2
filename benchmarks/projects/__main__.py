"""`inhouse fix` on real projects with one small fault each. See ../README.md.

Run: .venv/bin/python benchmarks/projects prepare --cache FOLDER [--half dev] [NAME …]
     .venv/bin/python benchmarks/projects seed --cache FOLDER [--half dev] [--seed 0] [NAME …]
     .venv/bin/python benchmarks/projects run --cache FOLDER -o FOLDER --half dev [--minutes 5] [NAME …]
Each does what the ones above it do, where that is not done yet; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inhouse.errors import InhouseError
from inhouse.evals.projects.catalog import HALVES, Project, load_catalog, select
from inhouse.evals.projects.measure import Measure, Plan, as_record, from_record, measure, warm_up
from inhouse.evals.projects.prepare import Prepared, exclusive, prepare
from inhouse.evals.projects.report import to_json, to_markdown
from inhouse.evals.projects.seeding import Bug, seed_bugs
from inhouse.evals.records import Records

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("prepare", "seed", "run", "summary"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="projects (default: all of the half)")
    parser.add_argument("--cache", type=Path, required=True, help="folder of archives, prepared projects and faults")
    parser.add_argument("-o", "--output", type=Path, help="folder of results; may be resumed")
    parser.add_argument("--half", choices=HALVES, help="default: both")
    parser.add_argument("--seed", type=int, default=0, help="draws the faults")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--minutes", type=float, default=Plan.minutes, help="for each fault")
    parser.add_argument("--option", action="append", default=[], metavar="WORD", help="a further word for inhouse fix")
    parser.add_argument("--stop-after", type=float, metavar="M", help="begin no fault after M minutes")
    parser.add_argument("--catalog", type=Path, default=HERE / "projects.json")
    args = parser.parse_intermixed_args()  # names may stand behind options
    if args.action in ("run", "summary") and args.output is None:
        parser.error(f"{args.action} needs -o FOLDER")
    try:
        projects = select(load_catalog(args.catalog), args.half, args.names)
        if args.action in ("run", "summary"):
            return measured(args, projects)
        failed = 0
        for project in projects:
            failed += not readied(args, project)
        return 1 if failed else 0
    except InhouseError as error:
        print(f"projects: {error}", file=sys.stderr)
        return 1


def readied(args: argparse.Namespace, project: Project) -> bool:
    """Prepare one project, and seed it if wanted; says what went wrong and goes on with the others."""
    try:
        prepared, bugs = ready(args, project, faulty=args.action == "seed")
        said = f"{len(prepared.clean.passed)} tests in {prepared.clean.seconds:.1f} s"
        for bug in bugs:
            said += f"; {bug.path}:{bug.line} ({bug.kind}, {len(bug.failing)} of {bug.tests} tests fail)"
        say(f"{project.name} ({project.half}): {said}")
        return True
    except InhouseError as error:
        say(f"{project.name} ({project.half}): {error}")
        return False


def ready(args: argparse.Namespace, project: Project, *, faulty: bool) -> tuple[Prepared, list[Bug]]:
    """The project and, if wanted, its bugs; from the cache or made there, by one process at a time."""
    with exclusive(project, args.cache):
        prepared = prepare(project, args.cache, HERE / "requirements.lock")
        return prepared, bugs_of(args, prepared) if faulty else []


def bugs_of(args: argparse.Namespace, prepared: Prepared) -> list[Bug]:
    """The project's bugs, from the cache or made and put there."""
    project = prepared.project
    kept = Records(prepared.root.parent / f"faults-{args.seed}.jsonl", {"seed": args.seed, "sha256": project.sha256})
    if "bugs" not in kept:
        bugs = seed_bugs(prepared, args.seed, prepared.root.parent / "seeding" / prepared.root.name)
        kept.add("bugs", {"all": [asdict(bug) for bug in bugs]})
    return [Bug(**{**fields, "failing": tuple(fields["failing"])}) for fields in kept["bugs"]["all"]]


def measured(args: argparse.Namespace, projects: Sequence[Project]) -> int:
    plan = Plan(args.model, args.minutes, tuple(args.option))
    settings = {"model": plan.model, "minutes": plan.minutes, "options": list(plan.options), "seed": args.seed}
    records = Records(args.output / "results.jsonl", settings)
    results = list(every(args, projects, plan, records))
    for half in (None, *HALVES):
        chosen = [one for one in results if half in (None, one.half)]
        if chosen:
            write(args.output, f"summary-{half}" if half else "summary", chosen, settings)
    print((args.output / "summary.md").read_text(encoding="utf-8") if results else "no results yet")
    return 0


def every(args: argparse.Namespace, projects: Sequence[Project], plan: Plan, records: Records) -> Iterator[Measure]:
    started, warm = time.monotonic(), False
    for project in projects:
        try:
            prepared, bugs = ready(args, project, faulty=True)
        except InhouseError as error:
            say(f"{project.name} ({project.half}): {error}")
            continue
        for bug in bugs:
            if bug.name not in records:
                out_of_time = args.stop_after is not None and time.monotonic() - started > 60 * args.stop_after
                if args.action == "summary" or out_of_time:
                    continue
                if not warm:
                    warm_up(plan.model)
                    warm = True
                records.add(bug.name, as_record(measure(prepared, bug, plan, args.output / "copies")))
            result = from_record(records[bug.name])
            ended = "repaired" if result.repaired else f"missed ({result.miss}): {result.reason}"
            say(f"{bug.name}: {ended}; rank {result.rank}, {result.attempts} attempts, {result.seconds:.0f} s")
            yield result


def write(folder: Path, name: str, results: Sequence[Measure], settings: dict[str, Any]) -> None:
    (folder / f"{name}.md").write_text(to_markdown(results, settings), encoding="utf-8")
    summary = json.dumps(to_json(results, settings), indent=2, ensure_ascii=False)
    (folder / f"{name}.json").write_text(summary + "\n", encoding="utf-8")


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
