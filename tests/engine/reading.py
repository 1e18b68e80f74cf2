"""A model's reading and stepping, without any scheduler: what a sequence or a cache is tested with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from collections.abc import Sequence as Tokens
from typing import Any

import numpy as np
import numpy.typing as npt

from inhouse.engine.runner import ModelRunner, Work
from inhouse.engine.sequence import Sequence
from inhouse.models import CausalLM

F32 = npt.NDArray[np.float32]


class Reader:
    """Runs one sequence at a time, in chunks."""

    def __init__(self, model: CausalLM, chunk: int = 512) -> None:
        self.runner = ModelRunner(model)
        self._chunk = chunk

    def prefill(
        self,
        sequence: Sequence,
        prompt: Tokens[int],
        *,
        marks: Collection[int] = (),
        keep: Callable[[Sequence], None] | None = None,
    ) -> F32:
        """Computes what `sequence` has not yet of `prompt`; the logits (V,) after it. Calls `keep` at `marks`."""
        total = len(prompt)
        logits = None
        while (done := len(sequence.ids)) < total:
            end = min(min(done + self._chunk, total), *(mark for mark in (*marks, total) if mark > done))
            logits = self._run(sequence, list(prompt[done:end]))
            if keep is not None and end in marks and end < total:
                keep(sequence)
        assert logits is not None
        return logits

    def step(self, sequence: Sequence, token: int) -> F32:
        """The logits (V,) after one more token."""
        return self._run(sequence, [token])

    def logits(self, ids: Tokens[int]) -> F32:
        """Next-token logits (T, V) after each of `ids`, from an empty sequence."""
        return self.runner.logits(ids, self._chunk)

    def _run(self, sequence: Sequence, ids: list[int]) -> Any:
        work = self.runner.by_layer([Work(sequence, ids)])
        while True:
            try:
                next(work)
            except StopIteration as done:
                return done.value[0]
