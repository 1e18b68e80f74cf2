"""The sampler: each filter against its definition, on the sorted distribution."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.engine.params import SamplingParams
from inhouse.engine.sampler import Sampler, token_logprob
from inhouse.errors import InhouseError

F32 = npt.NDArray[np.float32]


def softmax(logits: F32) -> npt.NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - float(logits.max()))
    return weights / weights.sum()


def allowed(logits: F32, params: SamplingParams) -> dict[int, float]:
    """What may be drawn and how likely, by the definitions: temperature, then top-k, top-p, min-p one by one."""
    probabilities = softmax(logits / params.temperature)
    ranked = sorted(range(logits.size), key=lambda i: (-probabilities[i], i))
    if params.top_k:
        ranked = ranked[: params.top_k]
    if params.top_p < 1:
        mass = np.cumsum(probabilities[ranked]) / probabilities[ranked].sum()
        ranked = ranked[: int(np.count_nonzero(mass < params.top_p)) + 1]
    ranked = [i for i in ranked if probabilities[i] >= params.min_p * probabilities[ranked[0]]]
    total = sum(probabilities[i] for i in ranked)
    return {i: probabilities[i] / total for i in ranked}


def draws(logits: F32, params: SamplingParams, count: int) -> list[int]:
    sampler = Sampler(params, [0], logits.size)
    return [sampler.draw(logits) for _ in range(count)]


LOGITS = np.random.default_rng(5).normal(0, 2, 3000).astype(np.float32)


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(temperature=0.5, seed=1),
        SamplingParams(temperature=1.0, top_k=7, seed=2),
        SamplingParams(temperature=1.0, top_p=0.3, seed=3),
        SamplingParams(temperature=2.0, top_p=0.97, seed=4),  # a nucleus wider than the first look
        SamplingParams(temperature=1.0, min_p=0.2, seed=5),
        SamplingParams(temperature=0.7, top_k=20, top_p=0.8, seed=6),
        SamplingParams(temperature=1.3, top_k=40, top_p=0.9, min_p=0.1, seed=7),
        SamplingParams(temperature=1.0, top_k=9000, top_p=0.2, seed=8),
    ],
)
def test_draws_follow_the_filtered_distribution(params: SamplingParams) -> None:
    expected = allowed(LOGITS, params)
    count = 6000
    seen = Counter(draws(LOGITS, params, count))
    assert set(seen) <= set(expected)
    for token, probability in expected.items():
        deviation = (count * probability * (1 - probability)) ** 0.5
        assert abs(seen[token] - count * probability) < 5 * deviation + 5


def test_greedy_takes_the_likeliest_and_leaves_the_logits_alone() -> None:
    before = LOGITS.copy()
    assert draws(LOGITS, SamplingParams(presence_penalty=0.5), 1) == [int(LOGITS.argmax())]
    assert np.array_equal(before, LOGITS)


def test_a_seed_reproduces_a_run_and_another_differs() -> None:
    params = SamplingParams(temperature=1.5, top_p=0.99, seed=11)
    assert draws(LOGITS, params, 50) == draws(LOGITS, params, 50)
    assert draws(LOGITS, params, 50) != draws(LOGITS, SamplingParams(temperature=1.5, top_p=0.99, seed=12), 50)


def test_temperature_near_zero_is_greedy() -> None:
    for temperature in (1e-3, 1e-20, 1e-45):
        assert set(draws(LOGITS, SamplingParams(temperature=temperature, seed=1), 20)) == {int(LOGITS.argmax())}


def test_equal_logits_keep_exactly_k() -> None:
    flat = np.zeros(100, np.float32)
    assert set(draws(flat, SamplingParams(temperature=1, top_k=3, seed=1), 200)) == {0, 1, 2}
    assert set(draws(flat, SamplingParams(temperature=1, top_p=0.055, seed=1), 400)) == set(range(6))


def test_impossible_tokens_are_never_drawn() -> None:
    logits = np.full(2000, -np.inf, np.float32)
    logits[[5, 700]] = 1.0
    assert set(draws(logits, SamplingParams(temperature=1.0, seed=1), 100)) == {5, 700}
    assert set(draws(logits, SamplingParams(temperature=1.0, top_k=50, seed=1), 100)) == {5, 700}
    assert set(draws(logits, SamplingParams(temperature=1.0, top_p=0.9999, seed=1), 100)) == {5, 700}


def test_presence_and_frequency_count_the_answer_only() -> None:
    logits = np.array([1.0, 0.9, 0.0], np.float32)
    presence = Sampler(SamplingParams(presence_penalty=0.2), [0, 0, 0], 3)
    assert [presence.draw(logits) for _ in range(3)] == [0, 1, 0]  # once both have occurred, 0 leads again
    frequency = Sampler(SamplingParams(frequency_penalty=0.2), [0, 0, 0], 3)
    assert [frequency.draw(logits) for _ in range(4)] == [0, 1, 0, 1]


def test_repetition_penalty_counts_the_prompt_and_turns_with_the_sign() -> None:
    params = SamplingParams(repetition_penalty=2.0)
    assert Sampler(params, [0], 3).draw(np.array([1.0, 0.6, 0.1], np.float32)) == 1
    assert Sampler(params, [0], 3).draw(np.array([-1.0, -1.5, -3.0], np.float32)) == 1
    assert Sampler(params, [2], 3).draw(np.array([1.0, 0.6, 0.1], np.float32)) == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_refused(temperature: float) -> None:
    logits = LOGITS.copy()
    logits[7] = np.nan
    with pytest.raises(InhouseError, match="damaged"):
        draws(logits, SamplingParams(temperature=temperature), 1)


def test_logprobs_are_those_of_softmax() -> None:
    entry = token_logprob(LOGITS, 17, 3)
    expected = np.log(softmax(LOGITS))
    assert entry.logprob == pytest.approx(expected[17])
    assert [id for id, _ in entry.top] == list(np.argsort(-LOGITS)[:3])
    assert [value for _, value in entry.top] == pytest.approx(sorted(expected)[::-1][:3])
    assert token_logprob(LOGITS[:2], 0, 20).top != ()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-40, 40, width=32), min_size=1, max_size=30),
    st.floats(0.05, 5),
    st.integers(0, 12),
    st.floats(0.01, 1),
    st.floats(0, 1),
)
def test_only_survivors_are_drawn(
    values: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    logits = np.array(values, np.float32)
    params = SamplingParams(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=0)
    probabilities = softmax(logits / np.float32(temperature))
    permitted = {round(probabilities[i], 9) for i in allowed(logits, params)}
    for token in draws(logits, params, 20):
        # Compared by value, with room for rounding at a filter's edge.
        assert any(probabilities[token] >= value - 1e-6 for value in permitted)


def test_a_large_vocabulary_is_fast() -> None:
    logits = np.random.default_rng(0).normal(0, 3, 248_320).astype(np.float32)
    logits[:20] += 18  # as peaked as a language model's
    params = SamplingParams(temperature=0.7, top_k=20, top_p=0.8, presence_penalty=1.5, seed=0)
    sampler = Sampler(params, [1], logits.size)
    times = []
    for _ in range(20):
        begin = time.perf_counter()
        sampler.draw(logits)
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.005  # typically 0.5 ms; a full sort takes 20
