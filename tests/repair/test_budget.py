"""Questions within one budget of time: what is not asked any more, and what is not asked twice."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from inhouse.client.scripted import ScriptedClient
from inhouse.client.types import ChatRequest, Delta, Message, Sampling, Usage
from inhouse.repair.budget import Budget, Interview
from inhouse.repair.prompts import Prompt

GREEDY, SAMPLED = Sampling(max_tokens=8), Sampling(temperature=1.0, max_tokens=8)


class Measured:
    """A client that takes some time to read, and says how many tokens that were."""

    def __init__(self) -> None:
        self.requests: list[ChatRequest] = []

    def stream(self, request: ChatRequest) -> Iterator[Delta]:
        self.requests.append(request)
        time.sleep(0.2)
        yield Delta("a")
        yield Delta(finish="stop", usage=Usage(100, 0, 1))

    def count_tokens(self, text: str) -> int:
        return len(text)

    @property
    def scorer(self) -> None:
        return None


def prompt(text: str) -> Prompt:
    return Prompt((Message("user", text),), "", ())


def test_a_prompt_that_cannot_be_read_in_the_time_that_is_left_is_not_afforded() -> None:
    interview = Interview(Measured(), Budget(time.monotonic() + 30, 9, 0))
    assert interview.affords(prompt("x" * 1_000_000), 10)  # nothing is known of its speed yet
    interview.ask(prompt("x" * 100), SAMPLED)  # 2 ms a token
    assert not interview.affords(prompt("y" * 100_000), 1)
    assert interview.affords(prompt("x" * 100), 1)
    assert interview.affords(prompt("x" * 100 + "y" * 20), 1)  # what it shares with one before is not read again


def test_a_greedy_answer_that_was_had_costs_nothing_again() -> None:
    client = ScriptedClient(["one", "two", "three"])
    interview = Interview(client, Budget(time.monotonic() + 60, 9, 0))
    first, again = interview.ask(prompt("p"), GREEDY), interview.ask(prompt("p"), GREEDY)
    assert (first.text, again.text, len(client.requests)) == ("one", "one", 1)
    assert again.usage.completion_tokens == 0
    assert interview.ask(prompt("p"), SAMPLED).text == "two"
    assert interview.ask(prompt("q"), GREEDY).text == "three"


def test_a_request_is_cancelled_when_time_is_up() -> None:
    client = ScriptedClient(["one"])
    interview = Interview(client, Budget(time.monotonic() + 60, 9, 0))
    interview.ask(prompt("p"), GREEDY)
    cancelled = client.requests[0].cancelled
    assert cancelled is not None
    assert not cancelled()
    interview.budget = Budget(time.monotonic() - 1, 9, 0)
    assert cancelled()


def test_answers_to_one_prompt_come_in_order_though_some_are_asked_for_at_a_time() -> None:
    client = Measured()
    interview = Interview(client, Budget(time.monotonic() + 60, 9, 0), parallel=3)
    asked = [(prompt("p"), Sampling(temperature=1.0, seed=seed)) for seed in range(4)]
    assert [reply.text for reply in interview.ask_all(asked)] == ["a"] * 4
    assert client.requests[0].sampling.seed == 0  # alone, so that what the prompts share is read once


class Interrupted(Measured):
    """A client whose second answer is interrupted, and whose others come only when nobody wants them any more."""

    def stream(self, request: ChatRequest) -> Iterator[Delta]:
        if request.sampling.seed == 0:
            yield from super().stream(request)
            return
        if request.sampling.seed == 1:
            raise KeyboardInterrupt
        while not (request.cancelled and request.cancelled()):
            time.sleep(0.01)
        yield Delta(finish="cancelled", usage=Usage(1, 0, 0))


def test_an_interrupt_ends_the_answers_that_are_asked_for_at_a_time() -> None:
    interview = Interview(Interrupted(), Budget(time.monotonic() + 600, 9, 0), parallel=3)
    asked = [(prompt("p"), Sampling(temperature=1.0, seed=seed)) for seed in range(4)]
    with pytest.raises(KeyboardInterrupt):
        list(interview.ask_all(asked))
