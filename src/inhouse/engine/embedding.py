"""A whole text as one vector. Computes through a runner, in chunks; knows neither text nor HTTP.

What stands for a text is the hidden state after the final norm, of its last token or the mean of all, as the model was
trained; scaled to length 1.
"""

from __future__ import annotations

from collections.abc import Sequence as Tokens

import numpy as np
import numpy.typing as npt

from inhouse.engine.runner import ModelRunner, Work
from inhouse.weights.config import Pooling

CHUNK = 256  # tokens at once: others wait for so long


class Embedding:
    """One text on its way; each `step` computes a chunk, on the engine's thread."""

    def __init__(self, runner: ModelRunner, ids: Tokens[int], pooling: Pooling) -> None:
        self._runner, self._ids, self._pooling = runner, list(ids), pooling
        self._sequence = runner.new_sequence(len(ids))
        self._sum: npt.NDArray[np.float64] | None = None

    def step(self) -> bool:
        """Computes the next chunk; whether all of it is done."""
        first = len(self._sequence.ids)
        part = self._ids[first : first + CHUNK]
        rows = self._runner.normed(Work(self._sequence, part)).astype(np.float64)
        if self._pooling == "mean":
            total = rows.sum(axis=0)
            self._sum = total if self._sum is None else self._sum + total
        else:
            self._sum = rows[-1]
        return first + len(part) >= len(self._ids)

    @property
    def vector(self) -> npt.NDArray[np.float32]:
        """(H,), of length 1."""
        assert self._sum is not None
        length = float(np.linalg.norm(self._sum))
        return np.asarray(self._sum / (length or 1.0), np.float32)
