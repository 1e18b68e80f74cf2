"""Perplexity against figures that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
import numpy.typing as npt
import pytest

from inhouse.errors import ParameterError
from inhouse.evals.perplexity import library_text, perplexity

F32 = npt.NDArray[np.float32]


def even(ids: Sequence[int]) -> F32:
    """Knows nothing about sixteen tokens."""
    return np.zeros((len(ids), 16), np.float32)


def test_of_a_model_that_knows_nothing_is_its_vocabulary() -> None:
    result = perplexity(even, [1, 2, 3, 4, 5, 6, 7], window=4)
    assert result.tokens == 3 + 2  # each window's first token is given
    assert result.value == pytest.approx(16)


def test_of_certainty_is_one_and_large_logits_do_not_overflow() -> None:
    def counting(ids: Sequence[int]) -> F32:
        out = np.full((len(ids), 16), -1e30, np.float32)
        out[np.arange(len(ids)), [id + 1 for id in ids]] = 1e30
        return out

    assert perplexity(counting, [3, 4, 5, 6]).value == pytest.approx(1)


def test_means_over_tokens_not_windows() -> None:
    def halves(ids: Sequence[int]) -> F32:
        """A quarter for token 0, the rest even over three others."""
        return np.log(np.tile(np.array([1, 1, 1, 1], np.float32) / 4, (len(ids), 1)))

    assert perplexity(halves, [0, 1, 2, 3, 0, 1], window=4).nats == pytest.approx(log(4))


def test_windows_are_read_from_nothing() -> None:
    seen: list[list[int]] = []

    def score(ids: Sequence[int]) -> F32:
        seen.append(list(ids))
        return even(ids)

    perplexity(score, [1, 2, 3, 4, 5], window=2)
    assert seen == [[1, 2], [3, 4]]  # a last token alone predicts nothing


def test_needs_two_tokens() -> None:
    with pytest.raises(ParameterError, match="at least two"):
        perplexity(even, [1])


def test_the_library_is_code_enough_for_twenty_thousand_tokens() -> None:
    text = library_text()
    assert text == library_text()
    assert len(text) > 200_000
    assert "class ArgumentParser" in text
