"""Interactive requests that arrive while a long prompt is read in the background: how soon does each begin, and is the
background answer the same as without them?

Run: .venv/bin/python benchmarks/priority.py starter [--tokens 8192] [--rounds 3] [--share 0.1] [--threads N]
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from inhouse.cli.common import model_path, packed_copies, positive
from inhouse.engine import SamplingParams
from inhouse.engine.completion import Chunk
from inhouse.engine.events import Event, Failure, Priority, Progress
from inhouse.engine.open import open_engine
from inhouse.engine.serving import Engine, Options
from inhouse.errors import InhouseError

ANSWER = 8  # tokens of every answer
PROMPT = (8, 64)  # tokens of an interactive prompt: from, to
PAUSE = (0.0, 0.4)  # seconds from one interactive answer to the next arrival: from, to
WITHIN = 0.150  # seconds: what is promised of a first quantum


@dataclass
class Asked:
    """One request; `began` and `first` are seconds from its arrival to its first quantum and its first token."""

    length: int
    began: float = 0.0
    first: float = 0.0
    cached: int = 0
    tokens: list[int] = field(default_factory=list)
    error: Exception | None = None
    arrived: float = field(default_factory=time.perf_counter)
    done: threading.Event = field(default_factory=threading.Event)

    def hear(self, event: Event) -> None:
        """Called on the engine's thread. The first progress is told as the first quantum begins."""
        now = time.perf_counter() - self.arrived
        match event:
            case Progress():
                self.began = self.began or now
            case Failure():
                self.error = event.error
                self.done.set()
            case Chunk():
                if event.token_ids:
                    self.first = self.first or now
                self.tokens += event.token_ids
                self.cached = event.usage.cached_tokens if event.usage else 0
                if event.finish_reason is not None:
                    self.done.set()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a name or a GGUF file")
    parser.add_argument("--tokens", type=positive, default=8192, help="of the background prompt (default: 8192)")
    parser.add_argument("--rounds", type=positive, default=3, help="such prompts, one after the other (default: 3)")
    parser.add_argument("--share", type=float, default=0.1, help="of the time, for background work (default: 0.1)")
    parser.add_argument("--threads", type=positive)
    parser.add_argument("--json", action="store_true", help="write JSON")
    args = parser.parse_args()
    try:
        result = measure(args)
    except InhouseError as error:
        print(f"priority: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2) if args.json else to_text(result))
    return 0 if result["same"] and not result["read_twice"] and result["began_worst"] <= WITHIN else 1


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All figures, seconds. Every background prompt is read alone, by an engine that remembers nothing, and then by
    one with all its memory among arrivals."""
    draw = random.Random(7)
    prompts = [[draw.randrange(100, 20_000) for _ in range(args.tokens)] for _ in range(args.rounds)]
    with opened(args, cache_bytes=0) as engine:
        warm_up(engine, draw)
        begun = time.perf_counter()
        alone = [waited(submit(engine, prompt, "background")).tokens for prompt in prompts]
        seconds = (time.perf_counter() - begun) / args.rounds
    quick: list[Asked] = []
    with opened(args) as engine:
        warm_up(engine, draw)
        before = engine.stats().prefill_tokens
        among = [interrupted(engine, prompt, draw, quick) for prompt in prompts]
        computed = engine.stats().prefill_tokens - before - sum(each.length - each.cached for each in quick)
    return {
        "background_tokens": args.tokens,
        "rounds": args.rounds,
        "arrivals": len(quick),
        "alone_seconds": seconds,
        "same": among == alone,
        "read_twice": computed - args.tokens * args.rounds,
        **spread("began", [each.began for each in quick]),
        **spread("first", [each.first for each in quick]),
    }


@contextmanager
def opened(args: argparse.Namespace, cache_bytes: int | None = None) -> Iterator[Engine]:
    """An engine as a server has it: with a cache in memory and on disk, unless it has no bytes."""
    with tempfile.TemporaryDirectory() as folder:
        options = Options(args.tokens + ANSWER, cache_bytes, Path(folder), background_share=args.share)
        engine = open_engine(model_path(args.model), options, threads=args.threads, packed_root=packed_copies().root)
        try:
            yield engine
        finally:
            engine.drain(60)


def warm_up(engine: Engine, draw: random.Random) -> None:
    """Its speed is known from then on, as it is in a server that has run for a while."""
    waited(ask(engine, draw, 600))


def interrupted(engine: Engine, prompt: list[int], draw: random.Random, quick: list[Asked]) -> list[int]:
    """The background answer, with one interactive request after the other until it is done."""
    among = submit(engine, prompt, "background")
    while not among.done.is_set():
        time.sleep(draw.uniform(*PAUSE))
        quick.append(waited(ask(engine, draw, draw.randint(*PROMPT))))
    return waited(among).tokens


def ask(engine: Engine, draw: random.Random, length: int) -> Asked:
    return submit(engine, [draw.randrange(100, 20_000) for _ in range(length)], "interactive")


def submit(engine: Engine, prompt: list[int], priority: Priority) -> Asked:
    asked = Asked(len(prompt))
    params = SamplingParams(max_tokens=ANSWER, ignore_eos=True)
    engine.submit_text(prompt, params, priority=priority, on_event=asked.hear)
    return asked


def waited(asked: Asked) -> Asked:
    """The same, answered. Raises what went wrong with it."""
    asked.done.wait()
    if asked.error is not None:
        raise asked.error
    return asked


def spread(name: str, values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        f"{name}_median": median(ordered),
        f"{name}_p95": ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)],
        f"{name}_worst": ordered[-1],
    }


def to_text(result: dict[str, Any]) -> str:
    def line(name: str) -> str:
        return ", ".join(f"{part} {1000 * result[f'{name}_{part}']:.0f} ms" for part in ("median", "p95", "worst"))

    return (
        f"{result['arrivals']} interactive requests while {result['background_tokens']} tokens were read in the "
        f"background, {result['rounds']} times\n"
        f"to the first quantum: {line('began')} (promised: {1000 * WITHIN:.0f})\n"
        f"to the first token:   {line('first')}\n"
        f"the background answer is {'the same' if result['same'] else 'NOT the same'} as alone "
        f"({result['alone_seconds']:.1f} s alone); {result['read_twice']} of its tokens were read twice"
    )


if __name__ == "__main__":
    sys.exit(main())
