"""Runs a model over the new tokens of several sequences at once. Knows neither requests, text nor sampling."""

from __future__ import annotations

from collections.abc import Generator
from collections.abc import Sequence as Tokens
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inhouse.engine.sequence import Sequence
from inhouse.models import CausalLM, Segment

F32 = npt.NDArray[np.float32]

CHUNK = 512  # tokens: enough for full matrix-product speed; activations of more leave the caches


@dataclass(frozen=True)
class Work:
    """`ids` are to be appended to `sequence`; `wanted`: the logits after the last of them are of use."""

    sequence: Sequence
    ids: list[int]
    wanted: bool = True


class ModelRunner:
    """The one place where the model computes. Not for several threads at once."""

    def __init__(self, model: CausalLM) -> None:
        self._model = model

    @property
    def layers(self) -> int:
        """Of the model; a pass pauses twice in each."""
        return len(self._model.layers)

    @property
    def vocab_size(self) -> int:
        return self._model.config.vocab_size

    def by_layer(self, work: Tokens[Work]) -> Generator[None, None, list[F32 | None]]:
        """One pass, which pauses twice in every layer; the logits (V,) after each item of `work` that wants them.

        Sequences of a pass that does not come to its end are of no more use.
        """
        with ExitStack() as stack:
            segments = [
                Segment(np.asarray(item.ids, np.int32), stack.enter_context(item.sequence.extending(item.ids)))
                for item in work
            ]
            hidden = yield from self._model.by_layer(segments)
        rows = np.cumsum([len(item.ids) for item in work]) - 1
        wanted = [int(row) for row, item in zip(rows, work, strict=True) if item.wanted]
        if not wanted:
            return [None] * len(work)
        logits = iter(self._model.logits(np.ascontiguousarray(hidden[wanted])))
        return [next(logits) if item.wanted else None for item in work]

    def rows(self, work: Work, skipped: int = 0) -> F32:
        """One pass without a pause; the logits (T - skipped, V) after each of its tokens but the first ones."""
        with work.sequence.extending(work.ids) as layers:
            hidden = self._model.hidden([Segment(np.asarray(work.ids, np.int32), layers)])
        if skipped >= len(work.ids):
            return np.empty((0, self.vocab_size), np.float32)
        return np.asarray(self._model.logits(np.ascontiguousarray(hidden[skipped:])))

    def normed(self, work: Work) -> F32:
        """One pass without a pause; the hidden states (T, H) of its tokens after the final norm."""
        with work.sequence.extending(work.ids) as layers:
            hidden = self._model.hidden([Segment(np.asarray(work.ids, np.int32), layers)])
        return self._model.normed(hidden)

    def new_sequence(self, capacity: int) -> Sequence:
        """An empty one of at most so many tokens."""
        return Sequence(self._model.new_layers, capacity)

    def logits(self, ids: Tokens[int], chunk: int = CHUNK) -> F32:
        """Next-token logits (T, V) after each of `ids` (T ≥ 1), from an empty sequence."""
        sequence = Sequence(self._model.new_layers, len(ids))
        out = np.empty((len(ids), self.vocab_size), np.float32)
        for begin in range(0, len(ids), chunk):
            part = list(ids[begin : begin + chunk])
            out[begin : begin + len(part)] = self.rows(Work(sequence, part))
        return out
