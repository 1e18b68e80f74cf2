"""How fast a model runs on this machine, beside the speed of its memory and, if asked, beside llama.cpp.

Knows engines only as processes that take orders (`bench_engines`): one at a time works while the others sleep, so that
their measurements alternate under the same conditions, and each one's memory is its own.

A decoded token reads all active weights once, the keys and values of its context, and reads and writes the recurrent
states; decoding can therefore not be faster than memory bandwidth divided by those bytes. `bandwidth_share` is how
near it comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import numpy as np
import psutil

from inhouse.engine.packing import packed_or_not
from inhouse.errors import ParameterError
from inhouse.evals.bench_engines import EngineProcess, Kind
from inhouse.kernels.cpu import read_bandwidth, usable_cpus
from inhouse.store.packed import PackedCopies
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.kv import kv_format
from inhouse.weights.summary import kv_bytes_per_token, state_bytes, summarize

_REST = 0.2  # seconds between two engines: idle threads have gone to sleep by then
_WARM_UP = 512  # tokens: they touch every expert, so that none is read from disk later
_SPARE = 3 << 30  # bytes for all but the weights, when two engines are open at once

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Plan:
    """What is measured. A figure is measured `repeats` times, or until `budget` seconds per engine are spent on it."""

    prompts: tuple[int, ...] = (128, 512, 2048)  # tokens
    decode_after: int = 128  # tokens already in the context
    decode_tokens: int = 64
    repeats: int = 3
    budget: float = 60.0

    def __post_init__(self) -> None:
        if min(*self.prompts, self.decode_after, self.decode_tokens, self.repeats) < 1:
            raise ParameterError(f"{self}: give numbers of at least 1")

    @property
    def context(self) -> int:
        return max(*self.prompts, self.decode_after + self.decode_tokens) + 2


@dataclass(frozen=True)
class Measured:
    """Repeated measurements of one thing that takes `tokens` tokens."""

    tokens: int
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def rate(self) -> float:
        """Tokens per second."""
        return self.tokens / self.median


@dataclass(frozen=True)
class Figures:
    """One engine's measurements. `prefill[i].median` is the time to the first token after a prompt of that length."""

    engine: str
    load_seconds: float
    prefill: tuple[Measured, ...]
    decode: Measured
    peak_memory: int  # bytes resident, the mapped file included

    def to_json(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "load_seconds": round(self.load_seconds, 3),
            "prefill": [
                {
                    "tokens": measured.tokens,
                    "tokens_per_second": round(measured.rate, 2),
                    "first_token_seconds": round(measured.median, 4),
                    "samples_seconds": [round(seconds, 4) for seconds in measured.seconds],
                }
                for measured in self.prefill
            ],
            "decode": {
                "tokens": self.decode.tokens,
                "tokens_per_second": round(self.decode.rate, 2),
                "samples_seconds": [round(seconds, 4) for seconds in self.decode.seconds],
            },
            "peak_memory_bytes": self.peak_memory,
        }


@dataclass(frozen=True)
class Report:
    """The whole measurement. `alternating`: whether the engines took turns (they do if both fit into memory)."""

    model: str
    threads: int
    bandwidth: float  # bytes per second
    bytes_per_token: int  # moved to decode one token
    alternating: bool
    ours: Figures
    peer: Figures | None = None

    def bandwidth_share(self, figures: Figures) -> float:
        """The part of the memory's bandwidth that decoding uses, if every byte is moved once."""
        return figures.decode.rate * self.bytes_per_token / self.bandwidth

    @property
    def ratios(self) -> Mapping[str, float]:
        """Our speed over the peer's; empty without a peer."""
        if self.peer is None:
            return {}
        pairs = zip(self.ours.prefill, self.peer.prefill, strict=True)
        prefill = {f"prefill_{mine.tokens}": mine.rate / theirs.rate for mine, theirs in pairs}
        return prefill | {"decode": self.ours.decode.rate / self.peer.decode.rate}

    def to_json(self) -> dict[str, Any]:
        both = [figures for figures in (self.ours, self.peer) if figures is not None]
        return {
            "model": self.model,
            "threads": self.threads,
            "read_bandwidth_bytes_per_second": round(self.bandwidth),
            "bytes_per_decoded_token": self.bytes_per_token,
            "alternating": self.alternating,
            "engines": [
                {**figures.to_json(), "bandwidth_share": round(self.bandwidth_share(figures), 4)} for figures in both
            ],
            "ratios": {name: round(ratio, 3) for name, ratio in self.ratios.items()},
        }


class Engine(Protocol):
    """What is measured: an engine that has loaded the model and waits."""

    name: str
    load_seconds: float

    def prefill(self, ids: Sequence[int]) -> float:
        """Seconds from a prompt never seen to the first token after it."""

    def decode(self, ids: Sequence[int], count: int) -> float:
        """Seconds for `count` more tokens, after the prompt and a first one."""

    def peak_memory(self) -> int:
        """Bytes resident at most so far."""


Opener = Callable[[Kind], AbstractContextManager[Engine]]


def bench(
    model: Path,
    *,
    plan: Plan,
    threads: int | None = None,
    kv: str = "f16",
    peer: bool = False,
    copies: PackedCopies | None = None,
    progress: Progress = lambda what, done, total: None,
    bandwidth: Callable[[int], float] = read_bandwidth,
) -> Report:
    """Measures `model`, and with `peer` llama.cpp in turn with it. With `copies`, ours runs from the packed copy.

    `threads`: default all usable processors; `kv`: how ours keeps keys and values. Raises ParameterError, PeerError and
    what opening a model raises.
    """
    threads, kept = threads or usable_cpus(), kv_format(kv)
    with open_checkpoint(model) as checkpoint:
        config, summary = checkpoint.config, summarize(checkpoint)
        if peer and checkpoint.format != "gguf":
            raise ParameterError(f"{model}: llama.cpp reads GGUF files only; choose one, or leave the peer out")
    if plan.context > config.max_position_embeddings:
        raise ParameterError(
            f"{model} has a context of {config.max_position_embeddings} tokens, {plan.context} are needed: "
            "measure shorter prompts (--prompts)"
        )
    progress("measuring memory bandwidth", 0, 1)
    speed = bandwidth(threads)
    ours = model if copies is None else packed_or_not(model, copies, partial(progress, "packing"))
    kinds: tuple[Kind, ...] = ("inhouse", "llama.cpp") if peer else ("inhouse",)
    room = psutil.virtual_memory().available
    # A peer may rearrange all weights into a copy of its own, beside the mapped file that the engines share.
    alternating = peer and (2 if ours == model else 3) * summary.weight_bytes + _SPARE <= room

    def opener(kind: Kind) -> AbstractContextManager[Engine]:
        return EngineProcess(kind, ours if kind == "inhouse" else model, threads, plan.context, kept)

    figures = measure(kinds, opener, plan, config.vocab_size, alternating, progress)
    middle = plan.decode_after + plan.decode_tokens // 2
    return Report(
        model=str(model),
        threads=threads,
        bandwidth=speed,
        bytes_per_token=summary.active_bytes + middle * kv_bytes_per_token(config, kept) + 2 * state_bytes(config),
        alternating=alternating,
        ours=figures[0],
        peer=figures[1] if peer else None,
    )


def measure(
    kinds: Sequence[Kind], opener: Opener, plan: Plan, vocabulary: int, alternating: bool, progress: Progress
) -> list[Figures]:
    """Each engine's figures: all engines at once and taking turns, or one engine after the other."""
    done, total = 0, len(kinds) * (len(plan.prompts) + 2)
    results: list[Figures] = []
    for group in [tuple(kinds)] if alternating else [(kind,) for kind in kinds]:
        with ExitStack() as stack:
            engines: list[Engine] = []
            for kind in group:
                progress(f"{kind}: loading and warming up", done, total)
                engines.append(stack.enter_context(opener(kind)))
                _warm_up(engines[-1], plan, vocabulary)
                done += 1
            timings: list[list[Measured]] = [[] for _ in engines]
            for what, tokens, job in _jobs(plan, vocabulary):
                turns = _repeat(job, engines, plan, partial(progress, what, done, total))
                for kept, seconds in zip(timings, turns, strict=True):
                    kept.append(Measured(tokens, tuple(seconds)))
                done += len(engines)
            results += [
                Figures(engine.name, engine.load_seconds, tuple(kept[:-1]), kept[-1], engine.peak_memory())
                for engine, kept in zip(engines, timings, strict=True)
            ]
    return results


Job = Callable[[Engine, int], float]


def _jobs(plan: Plan, vocabulary: int) -> Iterator[tuple[str, int, Job]]:
    """(name, tokens, how to measure it with an engine in round r), decoding last."""
    for size in plan.prompts:

        def prefill(engine: Engine, turn: int, size: int = size) -> float:
            return engine.prefill(_prompt(size, vocabulary, turn))

        yield f"prefill of {size} tokens", size, prefill

    def decode(engine: Engine, turn: int) -> float:
        return engine.decode(_prompt(plan.decode_after, vocabulary, turn), plan.decode_tokens)

    yield f"decoding {plan.decode_tokens} tokens", plan.decode_tokens, decode


def _repeat(job: Job, engines: Sequence[Engine], plan: Plan, alive: Callable[[], None]) -> list[list[float]]:
    """Seconds of each engine, measured in turn; `alive` is called before each turn."""
    seconds: list[list[float]] = [[] for _ in engines]
    for turn in range(plan.repeats):
        alive()
        for engine, kept in zip(engines, seconds, strict=True):
            time.sleep(_REST)
            kept.append(job(engine, turn))
        if max(sum(kept) * (turn + 2) / (turn + 1) for kept in seconds) > plan.budget:
            break  # one more turn would go beyond it
    return seconds


def _warm_up(engine: Engine, plan: Plan, vocabulary: int) -> None:
    engine.prefill(_prompt(min(_WARM_UP, plan.context - 2), vocabulary, -1))


def _prompt(size: int, vocabulary: int, turn: int) -> list[int]:
    """Random ordinary tokens, the same for every engine in the same turn."""
    random = np.random.default_rng((size, turn + 1))
    return [int(id) for id in random.integers(vocabulary // 4, vocabulary // 4 * 3, size)]
