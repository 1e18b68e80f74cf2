"""Where the time goes: each op's share, and how near it comes to what this machine can do. Knows no peers.

The roofs are measured in the same run: memory read in a stream, and bytes multiplied from registers. An op is judged by
the nearer one: it cannot be faster than its bytes take to arrive, nor than its operations take to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inhouse.engine import LLM
from inhouse.errors import ParameterError
from inhouse.kernels.cpu import CpuBackend, byte_peak, read_bandwidth
from inhouse.kernels.profiling import OpCost, ProfilingBackend

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Roofs:
    """bytes_per_second of memory, operations_per_second on bytes (a multiplication and an addition are two)."""

    bytes_per_second: float
    operations_per_second: float


@dataclass(frozen=True)
class Phase:
    """One kind of work: `tokens` read or written in `seconds`, of which the ops took their parts."""

    name: str
    tokens: int
    seconds: float
    ops: Mapping[str, OpCost]

    def roof_share(self, cost: OpCost, roofs: Roofs) -> float:
        """The least time this machine needs for an op over the time that it took."""
        least = max(cost.bytes / roofs.bytes_per_second, cost.operations / roofs.operations_per_second)
        return least / cost.seconds if cost.seconds else 0.0


@dataclass(frozen=True)
class Profile:
    model: str
    engine: str
    roofs: Roofs
    phases: tuple[Phase, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "engine": self.engine,
            "roofs": asdict(self.roofs),
            "phases": [
                {
                    "name": phase.name,
                    "tokens": phase.tokens,
                    "seconds": round(phase.seconds, 4),
                    "ops": {name: _figures(phase, cost, self.roofs) for name, cost in phase.ops.items()},
                }
                for phase in self.phases
            ],
        }


def _figures(phase: Phase, cost: OpCost, roofs: Roofs) -> dict[str, Any]:
    return {
        "calls": cost.calls,
        "seconds": round(cost.seconds, 6),
        "share": round(cost.seconds / phase.seconds, 4),
        "bytes": round(cost.bytes),
        "operations": round(cost.operations),
        "gigabytes_per_second": round(cost.bytes / cost.seconds / 1e9, 2),
        "gigaoperations_per_second": round(cost.operations / cost.seconds / 1e9, 1),
        "roof_share": round(phase.roof_share(cost, roofs), 4),
    }


def profile(
    model: Path,
    *,
    prompt: int = 512,
    decode: int = 32,
    threads: int | None = None,
    kv: str = "f16",
    progress: Progress = lambda what, done, total: None,
    roofs: Callable[[CpuBackend], Roofs] | None = None,
) -> Profile:
    """Reads a random prompt and writes `decode` tokens after it, once to warm up and once to measure.

    `model` is opened as it is. Raises ParameterError and what opening a model raises.
    """
    if min(prompt, decode) < 1:
        raise ParameterError(f"prompt of {prompt} and answer of {decode} tokens: give at least 1")
    cpu = CpuBackend(threads=threads, kv=kv)
    progress("measuring the machine", 0, 4)
    measured = (roofs or measure_roofs)(cpu)
    backend = ProfilingBackend(cpu)
    progress("loading", 1, 4)
    with LLM(model, backend=backend, context=prompt + decode + 1, cache_bytes=0) as llm:
        random = np.random.default_rng(prompt)
        ids = [int(id) for id in random.integers(llm.config.vocab_size // 4, llm.config.vocab_size // 4 * 3, prompt)]
        progress("warming up", 2, 4)
        _run(llm, backend, ids, decode)
        progress("measuring", 3, 4)
        phases = _run(llm, backend, ids, decode)
    return Profile(str(model), cpu.name, measured, phases)


def measure_roofs(cpu: CpuBackend) -> Roofs:
    return Roofs(read_bandwidth(cpu.threads), byte_peak(cpu.threads, cpu.isa))


def _run(llm: LLM, backend: ProfilingBackend, ids: list[int], decode: int) -> tuple[Phase, ...]:
    params = llm.sampling_params(max_tokens=decode + 1, ignore_eos=True)
    backend.costs.clear()
    read: dict[str, OpCost] = {}
    for chunk in llm.stream(ids, params):
        if chunk.token_ids and not read:
            read = dict(backend.costs)
            backend.costs.clear()
    written = dict(backend.costs)
    backend.costs.clear()
    return _phase("prefill", len(ids), read), _phase("decode", decode, written)


def _phase(name: str, tokens: int, costs: dict[str, OpCost]) -> Phase:
    by_time = sorted(costs.items(), key=lambda item: -item[1].seconds)
    return Phase(name, tokens, sum(cost.seconds for cost in costs.values()), dict(by_time))
