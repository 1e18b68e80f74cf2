"""Who computes when: together, in turn, urgent ones first, and nothing lost or mixed up by it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence

import numpy as np
import pytest
from parrot import TEMPLATE, parrot
from schedule_kit import LONG, Owner, generation, greedy, scheduler

from inhouse import SamplingParams
from inhouse.engine.cache import PrefixCache
from inhouse.engine.constraints import Constraint
from inhouse.engine.events import Event, Progress, Queued
from inhouse.engine.loops import EVERY, TIMES, TOKENS, goes_round
from inhouse.engine.marks import NEAR, SPACING, places
from inhouse.engine.runner import F32, ModelRunner, Work
from inhouse.engine.scheduler import Limits, Scheduler
from inhouse.engine.serving import Engine, Options
from inhouse.errors import InhouseError, QueueFullError
from inhouse.models import CausalLM


def test_background_work_stops_within_a_layer_and_loses_nothing(model: CausalLM) -> None:
    turns = scheduler(model, background_share=0.0)
    slow, quick = Owner(), Owner()
    turns.add(generation(LONG, slow, 6, "background"))
    for _ in range(5):
        assert turns.step()
    before = turns.prefilled
    urgent = generation([3, 1, 4], quick, 4)
    turns.add(urgent)
    assert turns.step()
    assert urgent.computed >= 2  # its prompt, or all but the last token, in the very next quantum
    while not quick.done.is_set():
        assert turns.step()
    assert turns.prefilled == before + 3
    while turns.step():
        pass
    assert quick.tokens == greedy(model, [3, 1, 4], 4)
    assert slow.tokens == greedy(model, LONG, 6)


def test_background_work_gets_its_share(attention: CausalLM) -> None:
    turns = scheduler(attention, background_share=0.5)
    slow, quick = Owner(), Owner()
    turns.add(generation(LONG, slow, 1, "background"))
    turns.add(generation([3, 1, 4], quick, 400))
    while not slow.done.is_set():
        assert turns.step()
    assert not quick.done.is_set()


class TimedRunner(ModelRunner):
    """Every half of a layer takes a hundredth of a second of a clock that knows nothing else."""

    now = 0.0

    def by_layer(self, work: Sequence[Work]) -> Generator[None, None, list[F32 | None]]:
        steps = super().by_layer(work)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                logits: list[F32 | None] = done.value
                return logits
            self.now += 0.01
            yield

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_background_work_gets_no_more_than_its_share_of_a_busy_machine(
    attention: CausalLM, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    runner = TimedRunner(attention)
    monkeypatch.setattr("inhouse.engine.scheduler.time", runner)
    turns = Scheduler(runner, PrefixCache(attention.new_layers, 0), Limits(background_share=share))
    background = generation(LONG, Owner(), 10_000, "background", ignore_eos=True)
    busy = generation([3, 1, 4], Owner(), 10_000, ignore_eos=True)
    turns.add(background)
    turns.add(busy)
    while busy.produced < 1000:
        assert turns.step()
    spent = runner.now - 0.04 * busy.produced  # two layers for each of its tokens
    assert spent / runner.now == pytest.approx(share, abs=0.01)
    turns.cancel(busy)
    before, begun = background.produced + background.computed, runner.now
    while runner.now < begun + 1:
        assert turns.step()
    assert background.produced + background.computed >= before + 24  # all of the time is its own again


def test_work_for_which_there_is_no_room_takes_no_turns(attention: CausalLM, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1 << 30))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))

    def steps(company: bool) -> int:
        turns, busy, waiting = scheduler(attention, tokens=330, background_share=0.5), Owner(), Owner()
        turns.add(generation(LONG, busy, 20))
        turns.step()
        if company:  # as many tokens do not fit beside the other's
            turns.add(generation([1, 2], waiting, 40, "background"))
        count = 0
        while not busy.done.is_set():
            count += turns.step()
        while turns.step():
            pass
        assert not company or waiting.tokens == greedy(attention, [1, 2], 40)
        return count

    assert steps(company=True) == steps(company=False)


def test_answers_go_on_while_a_long_prompt_is_read(model: CausalLM) -> None:
    turns = scheduler(model)
    talker, reader = Owner(), Owner()
    talking = generation([3, 1, 4], talker, 200)
    turns.add(talking)
    while talking.produced < 3:
        turns.step()
    turns.add(generation(LONG, reader, 1))
    begun = talking.produced
    while not reader.done.is_set():
        turns.step()
    assert talking.produced - begun >= len(LONG) // 32
    while turns.step():
        pass
    assert talker.tokens == greedy(model, [3, 1, 4], 200)[:200]


def test_progress_tells_what_is_known_and_ends_with_all(model: CausalLM) -> None:
    turns, owner = scheduler(model), Owner()
    turns.add(generation(LONG, owner, 1))
    while turns.step():
        pass
    steps = [(event.done, event.total) for event in owner.events if isinstance(event, Progress)]
    assert steps[0] == (0, 300)
    assert steps[-1] == (300, 300)
    assert steps == sorted(steps)


def test_one_prompt_asked_for_many_times_is_read_once(model: CausalLM) -> None:
    turns, owners = scheduler(model), [Owner() for _ in range(4)]
    for owner in owners:
        turns.add(generation(LONG, owner, 5))
    while turns.step():
        pass
    assert turns.prefilled <= len(LONG) + 3
    assert {tuple(owner.tokens) for owner in owners} == {tuple(greedy(model, LONG, 5))}


def test_cancelling_in_the_middle_of_a_pass(model: CausalLM) -> None:
    turns, owner, other = scheduler(model), Owner(), Owner()
    victim = generation(LONG, owner, 5, "background")
    turns.add(victim)
    while not (victim.computed and victim.busy):
        turns.step()
    turns.cancel(victim)
    assert owner.reason == "cancelled"
    turns.add(generation(LONG, other, 5, "background"))
    while turns.step():
        pass
    assert other.tokens == greedy(model, LONG, 5)
    assert list(turns) == []


@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_company_changes_nothing(model: CausalLM, temperature: float) -> None:
    prompts = [[i + 1, *range(1, 9 + i)] for i in range(5)]

    def run(together: bool) -> list[list[int]]:
        turns, owners = scheduler(model), [Owner() for _ in prompts]
        for i, (prompt, owner) in enumerate(zip(prompts, owners, strict=True)):
            turns.add(generation(prompt, owner, 12, temperature=temperature, seed=i))
            while not together and turns.step():
                pass
        while turns.step():
            pass
        return [owner.tokens for owner in owners]

    assert run(together=True) == run(together=False)


def test_a_full_queue_says_when_to_come_again(attention: CausalLM) -> None:
    engine = Engine(attention, options=Options(queue=2, active=1))
    first, second, params = Owner(), Owner(), SamplingParams(max_tokens=5)
    kept = engine.submit_text([1, 2], params, on_event=first, credit=0)
    engine.submit_text([1, 2], params, on_event=second, credit=0)
    with pytest.raises(QueueFullError) as full:
        engine.submit_text([1, 2], params, on_event=print)
    assert 1 <= full.value.retry_after <= 120
    kept.cancel()
    assert first.done.wait(20)
    third = Owner()
    engine.submit_text([1, 2], params, on_event=third)
    assert third.done.wait(20)
    assert third.tokens == greedy(attention, [1, 2], 5)
    assert engine.stats().cache.lookups >= 1
    engine.drain(0.0)


def test_draining_finishes_what_was_begun(model: CausalLM) -> None:
    engine, owners = Engine(model), [Owner() for _ in range(6)]
    for i, owner in enumerate(owners):
        engine.submit_text([i + 1, 2], SamplingParams(max_tokens=10), on_event=owner)
    assert engine.drain(60.0)
    assert [owner.reason for owner in owners] == ["length"] * 6
    with pytest.raises(InhouseError, match="closed"):
        engine.submit_text([1], SamplingParams(), on_event=print)


def test_draining_has_an_end(model: CausalLM) -> None:
    engine, owner = Engine(model), Owner()
    engine.submit_text([1, 2], SamplingParams(max_tokens=10), on_event=owner, credit=0)
    assert not engine.drain(0.0)
    assert owner.reason == "cancelled"


def test_an_owner_that_fails_disturbs_nobody(model: CausalLM) -> None:
    engine, owner = Engine(model), Owner()

    def broken(event: Event) -> None:
        raise RuntimeError("gone")

    engine.submit_text([1, 2], SamplingParams(max_tokens=50), on_event=broken)
    engine.submit_text([1, 2], SamplingParams(max_tokens=5), on_event=owner)
    assert owner.done.wait(20)
    assert owner.tokens == greedy(model, [1, 2], 5)
    assert engine.drain(20.0)


def test_places_worth_keeping() -> None:
    prompt = [1] * 50 + [0] + [1] * 10 + [0] + [1] * 3000 + [0] + [1] * 200 + [0] + [1, 1, 1]
    marks = places(prompt, {0}, tail=1)
    assert [at for at, durable in marks.items() if durable] == [51, 51 + SPACING, 51 + 2 * SPACING, len(prompt) - 1]
    assert 62 not in marks  # too near to be worth it
    assert np.diff([0, *marks])[1:-1].min() >= NEAR
    assert not marks[63 + 3000]
    assert places([1, 1, 1], {0}) == {2: True, 3: True}


def test_an_answer_that_goes_round_in_circles_is_ended() -> None:
    llm, owner = parrot("Good", " day"), Owner()
    params = SamplingParams(max_tokens=900, ignore_eos=False)
    llm.engine.submit_text("Hi", params, constraint=Constraint(regex="(x|y)+"), on_event=owner)
    assert owner.done.wait(60)
    assert owner.reason == "repetition"
    assert len(owner.tokens) <= TOKENS + EVERY


def test_what_repeats_itself_for_good_reasons_goes_on() -> None:
    assert not goes_round([1] * (TOKENS - 1))
    assert goes_round([5, *[1, 2, 3] * 100])
    assert not goes_round([*range(40)] * (TIMES - 1))
    assert goes_round([*range(40)] * TIMES)
    assert not goes_round([*[1] * TOKENS, 2])


def test_who_is_in_debt_rests() -> None:
    llm = parrot("Hm.", " Well.", "\n</think>", *(f" Done{i}" for i in range(40)), template=TEMPLATE)
    owner, ended = Owner(), threading.Event()

    def on_event(event: Event) -> None:
        owner(event)
        if owner.count >= 20:
            ended.set()

    ticket = llm.engine.submit_chat(
        [{"role": "user", "content": "a"}], SamplingParams(reasoning_budget=2, max_tokens=90),
        template_flags={"thinking": True}, on_event=on_event, credit=2,
    )  # fmt: skip
    assert ended.wait(20)  # the reasoning is brought to its end with many tokens at once
    llm.engine.stats()  # and all of them are here
    drawn = owner.count
    for _ in range(drawn - 2):
        ticket.more()
    llm.engine.stats()
    assert owner.count == drawn
    ticket.more()
    ticket.more()
    for _ in range(5):
        llm.engine.stats()  # lets the engine go on
    assert owner.count == drawn + 2
    ticket.cancel()
    llm.close()


def test_reasoning_comes_to_an_end() -> None:
    llm = parrot("Hm.", " Well.", " But", " then", " again", " and", "\n</think>", "Done", template=TEMPLATE)
    flags = {"thinking": True}
    free = llm.chat([{"role": "user", "content": "a"}], template_flags=flags)
    assert free.reasoning == "Hm. Well. But then again and"
    short = llm.chat([{"role": "user", "content": "a"}], SamplingParams(reasoning_budget=2), template_flags=flags)
    assert short.reasoning.startswith("Hm. Well.")
    assert "But" not in short.reasoning
    assert short.finish_reason == "stop"
    none = llm.chat([{"role": "user", "content": "a"}], SamplingParams(reasoning_budget=20), template_flags=flags)
    assert none.reasoning == free.reasoning


def test_who_waits_is_told_how_many_are_before(attention: CausalLM) -> None:
    turns = scheduler(attention, active=1)
    owners = [Owner() for _ in range(4)]
    requests = [generation([3, 1, 4 + number], owner, 3) for number, owner in enumerate(owners)]
    turns.add(requests[0])
    assert turns.step()
    for request in requests[1:]:
        turns.add(request)

    def places(owner: Owner) -> list[int]:
        return [event.ahead for event in owner.events if isinstance(event, Queued)]

    assert [places(owner) for owner in owners] == [[], [0], [1], [2]]
    turns.cancel(requests[2])
    while turns.step():
        pass
    assert places(owners[3]) == [2, 1, 0]
    assert places(owners[1]) == [0]
    assert all(owner.reason == ("cancelled" if owner is owners[2] else "length") for owner in owners)
