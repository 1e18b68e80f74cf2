"""Whole engines with a memory, on disk as well: whatever was asked before or is asked beside it, and however little is
kept, an answer is the one of an engine that remembers nothing."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence as Tokens
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import Reader
from test_scheduler import Owner

from inhouse import SamplingParams
from inhouse.engine.completion import Chunk, collect
from inhouse.engine.events import Priority
from inhouse.engine.serving import Engine, Options
from inhouse.models import CausalLM

TOLERANCE = 5e-3  # logits reach 30; a wrong state moves them by whole units
ANSWER = 3
TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=30)  # few distinct ones, so that prompts share beginnings
PRIORITIES: tuple[Priority, ...] = ("interactive", "background")


@dataclass(frozen=True)
class Turn:
    """One request: goes on from what conversation `parent` had said, cut after `kept` of it, with `new` tokens."""

    parent: int
    kept: float
    new: list[int]
    priority: Priority


TURN = st.builds(Turn, st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0, 1.0]), TOKENS, st.sampled_from(PRIORITIES))
ROUNDS = st.lists(st.tuples(st.lists(TURN, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    rounds=ROUNDS,
    memory=st.sampled_from([0, 60_000, 1 << 28]),
    disk=st.sampled_from([0, 200_000, 1 << 28]),
    chunk=st.sampled_from([5, 32]),
)
def test_memory_company_and_restarts_change_nothing(
    model: CausalLM, rounds: list[tuple[list[Turn], bool]], memory: int, disk: int, chunk: int
) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) if disk else None
        options = Options(None, memory, folder, disk, chunk=chunk)
        engine = Engine(model, None, options, "model")
        stack.callback(lambda: engine.drain(10))
        said: list[list[int]] = [[]]
        for turns, restart in rounds:
            prompts = [_prompt(turn, said) for turn in turns]
            owners = [_ask(engine, prompt, turn.priority) for prompt, turn in zip(prompts, turns, strict=True)]
            assert all(owner.done.wait(60) for owner in owners)  # the model computes for one at a time
            for prompt, owner in zip(prompts, owners, strict=True):
                said.append([*prompt, *_checked(model, prompt, owner)])
            if restart:
                engine.drain(10)
                engine = Engine(model, None, options, "model")


def _prompt(turn: Turn, said: Tokens[list[int]]) -> list[int]:
    parent = said[turn.parent % len(said)]
    return parent[: int(turn.kept * len(parent))] + turn.new


def _ask(engine: Engine, prompt: Tokens[int], priority: Priority) -> Owner:
    owner = Owner()
    params = SamplingParams(max_tokens=ANSWER, logprobs=20, ignore_eos=True)
    engine.submit_text(prompt, params, priority=priority, on_event=owner)
    return owner


def _checked(model: CausalLM, prompt: list[int], owner: Owner) -> Tokens[int]:
    """The answer's tokens, whose log-probabilities are those of an engine that read all of it at once."""
    answer = collect(event for event in owner.events if isinstance(event, Chunk))
    assert len(answer.token_ids) == ANSWER
    assert answer.usage.cached_tokens < len(prompt)
    rows = Reader(model).logits([*prompt, *answer.token_ids])[len(prompt) - 1 : -1].astype(np.float64)
    for row, entry in zip(rows, answer.logprobs, strict=True):
        total = row.max() + math.log(np.exp(row - row.max()).sum())
        for token, value in (*entry.top, (entry.id, entry.logprob)):
            assert abs(value - (row[token] - total)) < TOLERANCE
        assert row[entry.id] > row.max() - TOLERANCE
    return answer.token_ids
