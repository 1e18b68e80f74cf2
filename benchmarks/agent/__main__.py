"""The agent against its own model alone, over forty bugs made by mutation. See ../README.md.

Run: .venv/bin/python benchmarks/agent starter -o FOLDER [--seeds 0,1,2] [--minutes 2] [--stop-after 9]
The same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

from inhouse.cli.common import model_path, packed_copies, positive
from inhouse.client.inprocess import InProcessClient
from inhouse.engine import LLM
from inhouse.errors import InhouseError
from inhouse.evals.agent_bench import Plan, Result, alone, collect_bugs, measure, with_agent
from inhouse.evals.agent_report import row, to_json, to_markdown
from inhouse.evals.humaneval import load_problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name or a GGUF file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of results; may be resumed")
    parser.add_argument("--bugs", type=positive, default=Plan.bugs)
    parser.add_argument("--bug-seed", type=int, default=Plan.seed, help="draws the bugs")
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=Plan.minutes, help="for the agent, each bug")
    parser.add_argument("--threads", type=positive)
    parser.add_argument("--stop-after", type=float, metavar="M", help="begin no bug after M minutes")
    args = parser.parse_args()
    try:
        return run(args)
    except InhouseError as error:
        print(f"agent: {error}", file=sys.stderr)
        return 1


def run(args: argparse.Namespace) -> int:
    started = time.monotonic()
    plan = Plan(args.bugs, args.bug_seed, args.minutes)
    model = model_path(args.model)
    shared = {"model": model.name, "bugs": plan.bugs, "seed": plan.seed}
    limits = {"minutes": plan.minutes, "attempts": plan.attempts}
    bugs = collect_bugs(load_problems(), plan, args.output / "bugs.jsonl", say)

    def stop() -> bool:
        return args.stop_after is not None and time.monotonic() - started > 60 * args.stop_after

    with LLM(model, threads=args.threads, packed_root=packed_copies().root) as llm:
        client = InProcessClient(llm, template_flags={"enable_thinking": False})
        measured = {}
        for seed in args.seeds:
            kept = args.output / f"agent-seed{seed}.jsonl"
            solve = partial(with_agent, client, plan=plan, seed=seed)
            settings = {**shared, **limits, "agent_seed": seed}
            measured[seed] = measure(bugs, solve, kept, settings, partial(tell, f"seed {seed}"), stop)
        kept = args.output / "baseline.jsonl"
        baseline = measure(bugs, partial(alone, client), kept, shared, partial(tell, "alone"), stop)
    rows = [row(seed, baseline, results) for seed, results in measured.items() if results]
    table = to_markdown(baseline, rows, {**shared, **limits})
    (args.output / "summary.md").write_text(table, encoding="utf-8")
    summary = json.dumps(to_json(baseline, rows, {**shared, **limits}), indent=2)
    (args.output / "summary.json").write_text(summary + "\n", encoding="utf-8")
    print(table)
    return 0


def say(what: str, done: int, total: int) -> None:
    print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


def tell(what: str, result: Result, done: int, total: int) -> None:
    said = f"{result.note}, {result.turns} turns, {result.read} read, {result.written} written, {result.seconds:.0f} s"
    print(f"{what}: {done}/{total} {result.name}: {said}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
