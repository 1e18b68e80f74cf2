"""How often and how fast the demo succeeds: repairs copies of examples/ledger with ten seeds, one after the other.

    .venv/bin/python scripts/demo_seeds.py [SEED ...]

One line per seed: how it ended, seconds in all, turns, tokens read and written. Fails below nine of ten.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 4


def main(seeds: list[int]) -> int:
    repaired = 0
    for seed in seeds:
        with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
            repository = Path(folder) / "ledger"
            shutil.copytree(ROOT / "examples/ledger", repository, ignore=shutil.ignore_patterns("__pycache__"))
            started = time.monotonic()
            events = repair(repository, seed)
            seconds = time.monotonic() - started
        tried = [event for event in events if event["event"] == "tried"]
        read = sum(event["prompt_tokens"] - event["cached_tokens"] for event in tried)
        written = sum(event["answer_tokens"] for event in tried)
        status = events[-1].get("status", "error") if events else "error"
        repaired += status == "verified"
        print(f"seed {seed}: {status}, {seconds:.0f} s, {len(tried)} turns, {read} read, {written} written", flush=True)
    print(f"{repaired} of {len(seeds)}")
    return 0 if 10 * repaired >= 9 * len(seeds) else 1


def repair(repository: Path, seed: int) -> list[dict[str, object]]:
    binaries = ROOT / ".venv/bin"
    problem = (ROOT / "examples/ledger.issue.txt").read_text("utf-8").strip()
    options = ["--model", "starter", "--seed", str(seed), "--minutes", str(MINUTES), "--json", "--yes"]
    done = subprocess.run(
        [str(binaries / "inhouse"), "fix", "--repo", str(repository), problem, *options],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"},
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    sys.exit(main([int(seed) for seed in sys.argv[1:]] or list(range(10))))
