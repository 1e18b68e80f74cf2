"""A small model with the logits that its architecture's own implementation gives, on one of our backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inhouse.kernels.backend import Backend
from inhouse.kernels.cpu import CpuBackend
from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import CausalLM

GOLDENS = Path(__file__).parent / "goldens"
ARCHITECTURES = ("qwen2", "qwen3", "qwen3_moe", "qwen3_5", "qwen3_5_moe")

# A backend, and how far from exact logits it may be: float32 sums in another order for the reference (absolute);
# half-precision keys and values, or eight-bit ones (measured: at most 0.024), for the others (relative to the largest
# logit).
BACKENDS: dict[str, tuple[Callable[[], Backend], float, float]] = {
    "reference": (ReferenceBackend, 1e-3, 0.0),
    "cpu": (lambda: CpuBackend(threads=2), 0.0, 5e-3),
    "reference-int8": (lambda: ReferenceBackend(kv="int8"), 0.0, 3e-2),
    "cpu-int8": (lambda: CpuBackend(threads=2, kv="int8"), 0.0, 3e-2),
}


@dataclass(frozen=True)
class Golden:
    model: CausalLM
    cases: dict[str, tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]]  # name: ids (T,), logits (T, V)
    absolute: float
    relative: float

    def check(self, got: npt.NDArray[np.float32], wanted: npt.NDArray[np.float32]) -> None:
        assert got.shape == wanted.shape
        error = np.abs(got - wanted).max()
        assert error <= self.absolute + self.relative * np.abs(wanted).max()
