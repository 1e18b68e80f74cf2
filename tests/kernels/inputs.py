"""Activations for kernels, and what is left of them where weights are quantised."""

from __future__ import annotations

import numpy as np

from inhouse.kernels.backend import Array


def activations(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def quantised_activations(x: Array) -> Array:
    """What int8 with one scale per 256 columns leaves of x."""
    out = np.empty_like(x)
    for c in range(0, x.shape[1], 256):
        part = x[:, c : c + 256]
        scale = np.abs(part).max(axis=1, keepdims=True) / np.float32(127)
        out[:, c : c + 256] = np.rint(part / scale) * scale
    return out
