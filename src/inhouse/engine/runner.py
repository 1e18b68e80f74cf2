"""Runs a model over sequences: prompts in chunks, answers token by token. Knows neither text nor sampling.

A prompt's logits are computed for its last token only. Between two chunks the caller sees progress and may cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Sequence as Tokens
from threading import Lock

import numpy as np
import numpy.typing as npt

from inhouse.engine.sequence import Sequence
from inhouse.models import CausalLM, Segment

F32 = npt.NDArray[np.float32]

CHUNK = 512  # tokens: enough for full matrix-product speed, short enough to be interrupted at

Progress = Callable[[int, int], None]  # (tokens of the prompt done so far, all of them)
Cancelled = Callable[[], bool]


class ModelRunner:
    """The one place where the model computes. `lock` is held for the length of one chunk or step at a time."""

    def __init__(self, model: CausalLM, lock: Lock, chunk: int = CHUNK) -> None:
        self._model = model
        self._lock = lock
        self._chunk = chunk

    def prefill(
        self,
        sequence: Sequence,
        prompt: Tokens[int],
        *,
        marks: Collection[int] = (),
        keep: Callable[[Sequence], None] | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> F32 | None:
        """Computes what `sequence` has not yet of `prompt` and returns the logits (V,) after it; None if cancelled.

        At the positions in `marks` `keep` is called with the sequence, under the lock: states can be copied then.
        """
        total = len(prompt)
        stops = [*sorted(mark for mark in set(marks) if mark < total), total]
        hidden: F32 | None = None
        while (done := len(sequence.ids)) < total:
            if cancelled is not None and cancelled():
                return None
            end = min(done + self._chunk, next(stop for stop in stops if stop > done))
            hidden = self._extend(sequence, list(prompt[done:end]))
            if keep is not None and end in stops and end < total:
                with self._lock:
                    keep(sequence)
            if progress is not None:
                progress(end, total)
        assert hidden is not None
        return self._head(hidden[-1:]).reshape(-1)

    def step(self, sequence: Sequence, token: int) -> F32:
        """The logits (V,) after one more token."""
        return self._head(self._extend(sequence, [token])).reshape(-1)

    def logits(self, ids: Tokens[int]) -> F32:
        """Next-token logits (T, V) after each of `ids` (T ≥ 1), from an empty sequence."""
        sequence = Sequence(self._model.new_layers, len(ids))
        out = np.empty((len(ids), self._model.config.vocab_size), np.float32)
        for begin in range(0, len(ids), self._chunk):
            end = min(begin + self._chunk, len(ids))
            out[begin:end] = self._head(self._extend(sequence, list(ids[begin:end])))
        return out

    def _head(self, hidden: F32) -> F32:
        """Logits (n, V) after rows (n, H)."""
        with self._lock:
            return self._model.logits(hidden)

    def _extend(self, sequence: Sequence, ids: list[int]) -> F32:
        """Appends `ids` to `sequence`; their rows (T, H) before the final norm."""
        with self._lock, sequence.extending(ids) as layers:
            return self._model.hidden([Segment(np.asarray(ids, np.int32), layers)])
