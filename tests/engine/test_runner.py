"""Prefill and steps: how a prompt is cut does not matter, and an interrupt never leaves half a state behind."""

from __future__ import annotations

from collections.abc import Generator
from collections.abc import Sequence as Tokens
from functools import partial
from typing import Any

import numpy as np
import pytest
from reading import Reader

from inhouse.engine.cache import PrefixCache
from inhouse.engine.sequence import Sequence
from inhouse.models import CausalLM, Segment

PROMPT = [t * 7 % 61 for t in range(50)]
TOLERANCE = 5e-3


class Failing:
    """A model that raises `error` in its n-th forward pass, after `layers` of its layers have moved."""

    def __init__(self, model: CausalLM, error: type[BaseException], nth: int, layers: int) -> None:
        self.config, self.new_layers, self.logits = model.config, model.new_layers, model.logits
        self._model, self._error, self._left, self._layers = model, error, nth, layers

    def by_layer(self, segments: Tokens[Segment]) -> Generator[None, None, Any]:
        self._left -= 1
        if self._left:
            return (yield from self._model.by_layer(segments))
        moved = [Segment(segment.ids, self._model.new_layers(1000)) for segment in segments]
        for segment, twin in zip(segments, moved, strict=True):
            twin.layers[: self._layers] = segment.layers[: self._layers]  # type: ignore[index]
        self._model.hidden(moved)
        raise self._error


@pytest.mark.parametrize("chunk", [1, 3, 16, 512])
def test_chunks_do_not_matter(model: CausalLM, chunk: int) -> None:
    whole = Reader(model).logits(PROMPT)
    assert whole.shape == (len(PROMPT), model.config.vocab_size)
    assert whole.dtype == np.float32
    np.testing.assert_allclose(Reader(model, chunk).logits(PROMPT), whole, atol=TOLERANCE)
    sequence = Sequence(model.new_layers)
    runner = Reader(model, chunk)
    last = runner.prefill(sequence, PROMPT[:-2], marks={5, 11})
    np.testing.assert_allclose(last, whole[-3], atol=TOLERANCE)
    np.testing.assert_allclose(runner.step(sequence, PROMPT[-2]), whole[-2], atol=TOLERANCE)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("nth", [1, 2, 3])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_an_interrupted_pass_leaves_the_cache_sound(
    model: CausalLM, error: type[BaseException], nth: int, layers: int
) -> None:
    cache = PrefixCache(model.new_layers, 1 << 30)
    failing = Reader(Failing(model, error, nth, layers), 20)  # type: ignore[arg-type]
    sequence = cache.acquire(PROMPT)
    with pytest.raises(error):
        failing.prefill(sequence, PROMPT, marks={10, 30, 49}, keep=partial(cache.keep, states=True))
    cache.release(sequence)
    again = cache.acquire(PROMPT)
    runner = Reader(model, 20)
    logits = runner.prefill(again, PROMPT)
    np.testing.assert_allclose(logits, runner.logits(PROMPT)[-1], atol=TOLERANCE)
