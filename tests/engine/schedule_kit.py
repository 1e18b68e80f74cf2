"""Schedulers, requests and their owners, for the tests of who computes when."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from reading import Reader

from inhouse import SamplingParams
from inhouse.engine.cache import PrefixCache
from inhouse.engine.completion import Chunk, collect
from inhouse.engine.events import Event, Failure, Priority
from inhouse.engine.generation import Generation, Request
from inhouse.engine.marks import places
from inhouse.engine.runner import ModelRunner
from inhouse.engine.scheduler import Limits, Scheduler
from inhouse.engine.text import PlainText
from inhouse.models import CausalLM


def greedy(model: CausalLM, prompt: Sequence[int], count: int) -> list[int]:
    """What an engine that knows only `logits` answers."""
    reader, out = Reader(model), list(prompt)
    for _ in range(count):
        out.append(int(reader.logits(out)[-1].argmax()))
    return out[len(prompt) :]


class Owner:
    """Keeps what it is told; `done` is set at the end."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.done = threading.Event()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Failure) or (isinstance(event, Chunk) and event.finish_reason):
            self.done.set()

    @property
    def tokens(self) -> list[int]:
        return list(collect(event for event in self.events if isinstance(event, Chunk)).token_ids)

    @property
    def count(self) -> int:
        """Tokens so far, also before the end."""
        return sum(len(event.token_ids) for event in self.events if isinstance(event, Chunk))

    @property
    def reason(self) -> str | None:
        last = self.events[-1]
        return last.finish_reason if isinstance(last, Chunk) else None


def scheduler(model: CausalLM, **limits: object) -> Scheduler:
    """One whose every background pass is interrupted after every layer."""
    chosen = Limits(**{"chunk": 32, **limits})  # type: ignore[arg-type]
    return Scheduler(ModelRunner(model), PrefixCache(model.new_layers, 1 << 28), chosen, lambda: True)


def generation(
    prompt: Sequence[int], owner: Owner, count: int, priority: Priority = "interactive", **params: object
) -> Generation:
    sampling = SamplingParams(max_tokens=count, **params)  # type: ignore[arg-type]
    marks = places(prompt, {0})
    text = PlainText(None, ())
    return Generation(Request(list(prompt), sampling, text, frozenset(), count, owner, priority, marks))


LONG = [t * 7 % 60 + 1 for t in range(300)]
