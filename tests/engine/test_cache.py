"""The sequences' memory: whatever is remembered, answers are those of an engine that remembers nothing."""

from __future__ import annotations

from collections.abc import Sequence as Tokens
from functools import partial

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import Reader

from inhouse.engine.cache import PAGE, PrefixCache
from inhouse.engine.sequence import Sequence
from inhouse.models import CausalLM

PLENTY = 1 << 30
TOLERANCE = 5e-3  # logits reach 30; a wrong state moves them by whole units


def marks(prompt: Tokens[int]) -> set[int]:
    """Where an engine would keep recurrent states: after every token 0, and before the last."""
    return {i + 1 for i, token in enumerate(prompt) if token == 0} | {len(prompt) - 1}


def ask(
    model: CausalLM, cache: PrefixCache, prompt: Tokens[int], answer: int = 3, chunk: int = 7
) -> tuple[list[int], npt.NDArray[np.float32], int]:
    """Greedy answer, the logits after the prompt, and how many tokens were remembered."""
    runner = Reader(model, chunk)
    sequence = cache.acquire(prompt)
    cached = len(sequence.ids)
    first = runner.prefill(sequence, prompt, marks=marks(prompt), keep=partial(cache.keep, states=True))
    logits, tokens = first, []
    for _ in range(answer):
        tokens.append(int(logits.argmax()))
        logits = runner.step(sequence, tokens[-1])
    cache.release(sequence)
    return tokens, first, cached


def cold(model: CausalLM, prompt: Tokens[int]) -> npt.NDArray[np.float32]:
    return Reader(model).logits(prompt)[-1]


TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=12)  # few distinct ones, so that prompts share beginnings


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_warm_cache_changes_nothing(model: CausalLM, data: st.DataObject) -> None:
    cache = PrefixCache(model.new_layers, data.draw(st.sampled_from([0, 400_000, PLENTY])))
    conversation: list[int] = []
    for _ in range(data.draw(st.integers(2, 6))):
        kept = data.draw(st.integers(0, len(conversation)))
        conversation = conversation[:kept] + data.draw(TOKENS)
        tokens, logits, cached = ask(model, cache, conversation)
        assert cached < len(conversation)
        np.testing.assert_allclose(logits, cold(model, conversation), atol=TOLERANCE)
        if data.draw(st.booleans()):
            conversation += tokens


def test_the_next_turn_computes_only_its_new_part(model: CausalLM) -> None:
    cache = PrefixCache(model.new_layers, PLENTY)
    prompt = [5, 6, 7, 0, 8, 9, 10, 11]
    tokens, _, cached = ask(model, cache, prompt)
    assert cached == 0
    assert ask(model, cache, [*prompt, *tokens, 0, 12])[2] == len(prompt) + len(tokens)


def test_the_same_prompt_again_computes_one_token(model: CausalLM) -> None:
    cache = PrefixCache(model.new_layers, PLENTY)
    prompt = list(range(1, 30))
    first = ask(model, cache, prompt)
    again = ask(model, cache, prompt)
    assert again[2] == len(prompt) - 1
    assert again[0] == first[0]


def test_a_recurrent_model_goes_back_to_a_mark(recurrent: CausalLM, attention: CausalLM) -> None:
    prompt = [5, 6, 7, 0, 8, 9, 10, 11]
    other = [5, 6, 7, 0, 8, 9, 20, 21, 22]
    for model, expected in ((recurrent, 4), (attention, 6)):
        cache = PrefixCache(model.new_layers, PLENTY)
        ask(model, cache, prompt)
        _, logits, cached = ask(model, cache, other)
        assert cached == expected
        np.testing.assert_allclose(logits, cold(model, other), atol=TOLERANCE)


def test_conversations_that_share_a_beginning_both_stay(model: CausalLM) -> None:
    cache = PrefixCache(model.new_layers, PLENTY)
    system = [9, 8, 7, 6, 0]
    ours, theirs = [*system, *range(20, 40)], [*system, *range(40, 60)]
    ask(model, cache, ours)
    assert ask(model, cache, theirs)[2] == len(system)
    assert ask(model, cache, [*ours, 1])[2] >= len(ours) - 1
    assert ask(model, cache, [*theirs, 1])[2] >= len(theirs) - 1


def test_another_try_of_a_long_prompt_adds_little(model: CausalLM) -> None:
    cache = PrefixCache(model.new_layers, PLENTY)
    prompt = [t % 50 + 1 for t in range(5 * PAGE)]
    ask(model, cache, prompt, answer=2, chunk=200)
    once = cache.nbytes
    assert ask(model, cache, prompt, answer=2, chunk=200)[2] == len(prompt) - 1
    assert cache.nbytes == once


def test_the_budget_holds_and_the_oldest_goes_first(model: CausalLM) -> None:
    prompts = [[first, *range(20)] for first in (1, 2, 3, 4, 5)]
    alone = PrefixCache(model.new_layers, PLENTY)
    ask(model, alone, prompts[0])
    cache = PrefixCache(model.new_layers, 3 * alone.nbytes // 2)
    for prompt in prompts:
        ask(model, cache, prompt)
        assert 0 < cache.nbytes <= 3 * alone.nbytes // 2
    assert cache.stats.evictions > 0
    assert ask(model, cache, prompts[-1])[2] == 20
    assert any(cache.find(np.array([*prompt, 1], np.int32)).position == 0 for prompt in prompts)
    nothing = PrefixCache(model.new_layers, 0)
    ask(model, nothing, prompts[0])
    assert (nothing.stats.nodes, nothing.nbytes) == (0, 0)


def test_sequences_in_use_never_share_state(model: CausalLM) -> None:
    cache = PrefixCache(model.new_layers, PLENTY)
    runner = Reader(model, 7)
    prompt = list(range(1, 20))
    ask(model, cache, prompt)
    one, two = cache.acquire([*prompt, 1, 2]), cache.acquire([*prompt, 3, 4])
    for sequence, ids in ((one, [1, 2]), (two, [3, 4])):
        runner.prefill(sequence, [*prompt, *ids])
    for token in (7, 8, 9):
        steps = [runner.step(one, token), runner.step(two, token + 1)]
    np.testing.assert_allclose(steps[0], cold(model, [*prompt, 1, 2, 7, 8, 9]), atol=TOLERANCE)
    np.testing.assert_allclose(steps[1], cold(model, [*prompt, 3, 4, 8, 9, 10]), atol=TOLERANCE)


def test_a_sequence_grows_beyond_its_first_room(model: CausalLM) -> None:
    runner = Reader(model, 100)
    sequence = Sequence(model.new_layers)
    prompt = [t % 60 for t in range(700)]
    logits = runner.prefill(sequence, prompt)
    np.testing.assert_allclose(logits, cold(model, prompt), atol=TOLERANCE)
