"""Building a model takes a checkpoint's tensors: all of them, and each once."""

from __future__ import annotations

import numpy as np
import pytest

from inhouse.kernels.backend import Weight
from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import build_model
from inhouse.weights.checkpoint import Checkpoint
from inhouse.weights.tensor import Tensor


class CountingBackend(ReferenceBackend):
    def __init__(self) -> None:
        self.loaded: list[str] = []

    def load(self, tensor: Tensor) -> Weight:
        self.loaded.append(tensor.name)
        return super().load(tensor)


def test_every_matrix_is_loaded_once(checkpoint: Checkpoint) -> None:
    """Above all a tied table, which may be a tenth of the model."""
    backend = CountingBackend()
    build_model(checkpoint.config, checkpoint.tensors, backend)
    assert "model.embed_tokens.weight" in backend.loaded
    assert len(backend.loaded) == len(set(backend.loaded))


def test_a_tensor_without_use_is_never_ignored(checkpoint: Checkpoint) -> None:
    extra = Tensor.from_float32("model.layers.0.self_attn.sinks", np.ones(4, np.float32))
    with pytest.raises(AssertionError, match=extra.name):
        build_model(checkpoint.config, {**checkpoint.tensors, extra.name: extra}, ReferenceBackend())
