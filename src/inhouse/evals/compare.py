"""Ours and llama.cpp on the same file, run after run, each run a process of its own. Knows no pictures.

The two read different files (ours the packed copy, llama.cpp the original), which together may not fit into memory.
So one process runs at a time; where both do not fit, the other's pages are given back first, and before anything is
timed the run's own file is read and one prompt is computed. Each run's result is one JSON file in the folder, written
whole or not at all: an interrupted comparison goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np

from inhouse.errors import InhouseError, ParameterError
from inhouse.evals.bench_engines import EngineProcess, Kind
from inhouse.kernels.cpu import read_bandwidth
from inhouse.weights.atomic import replacing

KINDS: tuple[Kind, ...] = ("inhouse", "llama.cpp")
_WARM_UP = 512  # tokens: they touch every expert
_SPARE = 3 << 30  # bytes for all but the two files

Progress = Callable[[str, int, int], None]
Measurements = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """`prompts`: tokens read from nothing; `after` tokens behind `depth` others (0: not measured); then decoding."""

    runs: int = 5
    prompts: tuple[int, ...] = (128, 512, 2048)
    depth: int = 8192
    after: int = 512
    decode_after: int = 128
    decode_tokens: int = 64

    def __post_init__(self) -> None:
        if min(self.runs, *self.prompts, self.after, self.decode_after, self.decode_tokens) < 1 or self.depth < 0:
            raise ParameterError(f"{self}: give numbers of at least 1")

    @property
    def context(self) -> int:
        deep = self.depth + self.after if self.depth else 0
        return max(_WARM_UP, *self.prompts, deep, self.decode_after + self.decode_tokens) + 2

    @property
    def rates(self) -> dict[str, int]:
        """Name of each figure to the tokens it counts, in the table's order."""
        figures = {f"prefill {size}": size for size in self.prompts}
        if self.depth:
            figures[f"prefill {self.after} at {self.depth}"] = self.after
        return figures | {"decode": self.decode_tokens}


class Engine(Protocol):
    name: str
    load_seconds: float

    def prefill(self, ids: Sequence[int]) -> float: ...
    def prefill_at(self, ids: Sequence[int], depth: int) -> float: ...
    def decode(self, ids: Sequence[int], count: int) -> float: ...
    def peak_memory(self) -> int: ...


Opener = Callable[[Kind], AbstractContextManager[Engine]]


def compare(
    files: dict[Kind, Path],
    folder: Path,
    plan: Plan,
    *,
    threads: int,
    vocabulary: int,
    memory: int,
    progress: Progress = lambda what, done, total: None,
    opener: Opener | None = None,
    bandwidth: Callable[[int], float] = read_bandwidth,
) -> list[dict[str, Any]]:
    """All runs' results, those in `folder` already included. `memory`: bytes that both files may share.

    Raises ParameterError if the folder holds runs of another plan, and what the engines raise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "plan": {**plan.__dict__, "prompts": list(plan.prompts), "runs": None},
        "files": {kind: [str(path), path.stat().st_size] for kind, path in files.items()},
        "threads": threads,
    }
    _check_settings(folder / "settings.json", settings)
    crowded = sum(path.stat().st_size for path in files.values()) + _SPARE > memory
    steps = [(run, kind) for run in range(plan.runs) for kind in (KINDS if run % 2 == 0 else KINDS[::-1])]
    results = []
    for done, (run, kind) in enumerate(steps):
        target = folder / f"run-{run:02}-{kind}.json"
        if not target.is_file():
            progress(f"run {run + 1} of {plan.runs}: {kind}", done, len(steps))
            for other, path in files.items():
                if crowded and other != kind:
                    give_back(path)
            read_through(files[kind])

            def open_engine(kind: Kind) -> AbstractContextManager[Engine]:
                return EngineProcess(kind, files[kind], threads, plan.context)

            result = _run(kind, opener or open_engine, plan, vocabulary, run)
            result |= {"engine": kind, "run": run, "read_bandwidth": bandwidth(threads)}
            _write_json(target, result)
        results.append(_read_json(target))
    return results


def _run(kind: Kind, opener: Opener, plan: Plan, vocabulary: int, run: int) -> dict[str, Any]:
    """One process from its start to its end."""

    def prompt(size: int, salt: int) -> list[int]:
        random = np.random.default_rng((run, size, salt))
        return [int(id) for id in random.integers(vocabulary // 4, vocabulary // 4 * 3, size)]

    started = time.perf_counter()
    with opener(kind) as engine:
        engine.prefill(prompt(16, 0))
        first = time.perf_counter() - started
        engine.prefill(prompt(_WARM_UP, 1))
        seconds = {f"prefill {size}": engine.prefill(prompt(size, 2)) for size in plan.prompts}
        seconds["decode"] = engine.decode(prompt(plan.decode_after, 3), plan.decode_tokens)
        if plan.depth:
            ids = prompt(plan.depth + plan.after, 4)
            seconds[f"prefill {plan.after} at {plan.depth}"] = engine.prefill_at(ids, plan.depth)
        return {
            "name": engine.name,
            "start_to_first_token": first,
            "seconds": seconds,
            "peak_memory": engine.peak_memory(),
        }


def summarise(results: Sequence[dict[str, Any]], plan: Plan, bytes_per_token: int) -> dict[str, Any]:
    """Medians per engine, ratios of medians, and the share of the bandwidth measured in the same runs."""
    engines: dict[str, Any] = {}
    for kind in KINDS:
        runs = [result for result in results if result["engine"] == kind]
        rates = {name: [tokens / run["seconds"][name] for run in runs] for name, tokens in plan.rates.items()}
        shares = [
            rate * bytes_per_token / run["read_bandwidth"] for rate, run in zip(rates["decode"], runs, strict=True)
        ]
        engines[kind] = {
            "name": runs[0]["name"],
            "tokens_per_second": {name: median(values) for name, values in rates.items()},
            "samples": rates,
            "bandwidth_share": median(shares),
            "start_to_first_token": median(run["start_to_first_token"] for run in runs),
            "peak_memory": max(run["peak_memory"] for run in runs),
        }
    ours, theirs = (engines[kind]["tokens_per_second"] for kind in KINDS)
    return {
        "runs": plan.runs,
        "bytes_per_decoded_token": bytes_per_token,
        "read_bandwidth": median(result["read_bandwidth"] for result in results),
        "engines": engines,
        "ratios": {name: ours[name] / theirs[name] for name in plan.rates},
    }


def give_back(path: Path) -> None:
    """Lets go of a file's pages, as far as nobody maps them."""
    if hasattr(os, "posix_fadvise"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_through(path: Path) -> None:
    """Brings a file into memory, as far as it fits."""
    buffer = bytearray(16 << 20)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    if not path.is_file():
        _write_json(path, settings)
    elif _read_json(path) != settings:
        raise ParameterError(f"{path.parent} holds runs of other files or another plan: choose a new folder")


def _write_json(path: Path, value: Any) -> None:
    with replacing(path) as file:
        file.write((json.dumps(value, indent=2) + "\n").encode())


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return value
    except ValueError as error:
        raise InhouseError(f"{path}: cannot be read ({error}); delete it, and that run is done again") from error
