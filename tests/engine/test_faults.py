"""What fails in an engine fails for those concerned, once, and leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence

import pytest
from schedule_kit import LONG, Owner, generation, greedy, scheduler

from inhouse import SamplingParams
from inhouse.engine.cache import PrefixCache
from inhouse.engine.completion import Chunk
from inhouse.engine.events import Event, Failure
from inhouse.engine.runner import F32, ModelRunner, Work
from inhouse.engine.scheduler import Limits, Scheduler
from inhouse.engine.serving import Engine
from inhouse.models import CausalLM


def test_an_error_of_the_model_fails_those_concerned_only(model: CausalLM) -> None:
    turns, bad, good = scheduler(model), Owner(), Owner()
    turns.add(generation([1, 99], bad, 3))  # no such token
    while turns.step():
        pass
    turns.add(generation([1, 2], good, 3))
    while turns.step():
        pass
    assert isinstance(bad.events[-1], Failure)
    assert good.tokens == greedy(model, [1, 2], 3)


class Faulty(ModelRunner):
    """Fails in the middle of any pass that `wrong` says, after some layers have moved on."""

    def __init__(self, model: CausalLM, wrong: Callable[[Sequence[Work]], bool]) -> None:
        super().__init__(model)
        self.wrong = wrong

    def by_layer(self, work: Sequence[Work]) -> Generator[None, None, list[F32 | None]]:
        steps = super().by_layer(work)
        if self.wrong(work):
            next(steps)
            next(steps)
            raise MemoryError("no more")
        return (yield from steps)


def test_a_pass_that_fails_leaves_nothing_behind(model: CausalLM) -> None:
    cache = PrefixCache(model.new_layers, 1 << 28)
    runner = Faulty(model, lambda work: len(work) > 1 and all(len(item.ids) == 1 for item in work))
    turns = Scheduler(runner, cache, Limits(chunk=32), lambda: False)
    owners = [Owner() for _ in range(4)]
    members = [generation([i + 1, 2, 3], owner, 5) for i, owner in enumerate(owners[:2])]
    members.append(generation(LONG[:50], owners[2], 5, "background"))
    for member in members:
        turns.add(member)
    while turns.step():
        pass
    for owner, member in zip(owners[:2], members, strict=False):
        assert isinstance(owner.events[-1], Failure)
        assert member.sequence is None
        assert not member.busy
    assert owners[2].tokens == greedy(model, LONG[:50], 5)
    assert list(turns) == []
    turns.add(generation([1, 2, 3], owners[3], 5))
    while turns.step():
        pass
    assert owners[3].tokens == greedy(model, [1, 2, 3], 5)


def test_what_cannot_be_remembered_is_answered_all_the_same(model: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    turns, one, other, later = scheduler(model), Owner(), Owner(), Owner()
    with monkeypatch.context() as short:
        short.setattr("inhouse.engine.cache.block_of", none)
        turns.add(generation(LONG, one, 5))
        turns.add(generation([1, 2], other, 5, "background"))
        while turns.step():
            pass
    assert (one.tokens, other.tokens) == (greedy(model, LONG, 5), greedy(model, [1, 2], 5))
    turns.add(generation(LONG, later, 5))  # and half a memory is no memory
    while turns.step():
        pass
    assert later.tokens == one.tokens
    assert turns.cache.nbytes > 0


def test_an_engine_that_failed_goes_on(model: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Scheduler) -> None:
        raise RuntimeError("a mistake of ours")

    engine, bad, waiting, good, begun = Engine(model), Owner(), Owner(), Owner(), threading.Event()
    params = SamplingParams(max_tokens=5)

    def first(event: Event) -> None:
        bad(event)
        if isinstance(event, Chunk):
            begun.set()

    ticket = engine.submit_text(LONG, params, on_event=first, credit=1)
    assert begun.wait(20)
    with monkeypatch.context() as wrong:
        wrong.setattr(Scheduler, "_turn", broken)
        engine.submit_text([1, 2], params, on_event=waiting)
        assert waiting.done.wait(20)
        assert bad.done.wait(20)
    assert isinstance(bad.events[-1], Failure)
    assert isinstance(waiting.events[-1], Failure)
    assert (engine.stats().active_interactive, engine.stats().waiting_interactive) == (0, 0)
    ticket.more()
    engine.submit_text([1, 2], params, on_event=good)
    assert good.done.wait(20)
    assert good.tokens == greedy(model, [1, 2], 5)
    assert engine.drain(20.0)
