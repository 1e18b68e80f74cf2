"""Ours and llama.cpp, interleaved, on one GGUF file: runs, then a table and a picture. See README.md beside this file.

Run: .venv/bin/python benchmarks/compare.py MODEL.gguf -o FOLDER [--runs 5] [--depth 8192]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import psutil

from inhouse.cli.common import model_path, packed_copies, positive
from inhouse.engine.packing import packed_or_not
from inhouse.errors import InhouseError
from inhouse.evals.compare import Plan, compare, summarise
from inhouse.evals.compare_report import to_markdown, to_svg
from inhouse.kernels.cpu import usable_cpus
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.summary import kv_bytes_per_token, state_bytes, summarize


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name or a GGUF file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of runs and results; may be resumed")
    parser.add_argument("--runs", type=positive, default=Plan.runs)
    parser.add_argument("--prompts", type=lambda text: tuple(map(positive, text.split(","))), default=Plan.prompts)
    parser.add_argument("--depth", type=int, default=Plan.depth, help="0: leave the prompt at depth out")
    parser.add_argument("--threads", type=positive, default=usable_cpus())
    args = parser.parse_args()
    try:
        return run(args)
    except InhouseError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 1


def run(args: argparse.Namespace) -> int:
    source = model_path(args.model)
    plan = Plan(runs=args.runs, prompts=args.prompts, depth=args.depth)
    packed = packed_or_not(source, packed_copies(), lambda done, total: say("packing", done, total))
    with open_checkpoint(packed) as checkpoint:
        config, active = checkpoint.config, summarize(checkpoint).active_bytes
    middle = plan.decode_after + plan.decode_tokens // 2
    moved = active + middle * kv_bytes_per_token(config) + 2 * state_bytes(config)
    results = compare(
        {"inhouse": packed, "llama.cpp": source},
        args.output,
        plan,
        threads=args.threads,
        vocabulary=config.vocab_size,
        memory=psutil.virtual_memory().available,
        progress=say,
    )
    summary = summarise(results, plan, moved)
    title = source.stem
    (args.output / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (args.output / "summary.svg").write_text(to_svg(summary, title), encoding="utf-8")
    table = to_markdown(summary, title)
    (args.output / "summary.md").write_text(table, encoding="utf-8")
    print(table)
    print(f"packed file {packed.stat().st_size / 1e9:.2f} GB; runs and picture in {args.output}", file=sys.stderr)
    return 0


def say(what: str, done: int, total: int) -> None:
    print(f"\r{what}: {done / max(total, 1):.0%}   ", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
