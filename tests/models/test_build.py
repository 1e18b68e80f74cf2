"""A checkpoint that does not fit its configuration is refused by name, never run with wrong results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from inhouse.errors import TensorError, UnsupportedModelError
from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import build_model
from inhouse.weights.checkpoint import Checkpoint
from inhouse.weights.tensor import Tensor

LAST_NORM = "model.norm.weight"


def test_a_missing_tensor_is_named(checkpoint: Checkpoint) -> None:
    for name in checkpoint.tensors:
        tensors = {key: value for key, value in checkpoint.tensors.items() if key != name}
        with pytest.raises(TensorError, match="is missing") as refusal:
            build_model(checkpoint.config, tensors, ReferenceBackend())
        assert refusal.value.tensor == name


def test_a_misshapen_tensor_is_named_with_both_shapes(checkpoint: Checkpoint) -> None:
    tensors = {**checkpoint.tensors, LAST_NORM: Tensor.from_float32(LAST_NORM, np.ones(5, np.float32))}
    with pytest.raises(TensorError, match=rf"{LAST_NORM}.*\(5,\).*\({checkpoint.config.hidden_size},\)"):
        build_model(checkpoint.config, tensors, ReferenceBackend())


def test_a_tensor_without_a_place_is_refused(checkpoint: Checkpoint) -> None:
    extra = "model.layers.0.self_attn.sinks"
    tensors = {**checkpoint.tensors, extra: Tensor.from_float32(extra, np.ones(4, np.float32))}
    with pytest.raises(UnsupportedModelError, match=extra):
        build_model(checkpoint.config, tensors, ReferenceBackend())


@pytest.mark.parametrize(
    ("checkpoint", "change"),
    [("qwen2", {"architecture": "rwkv"}), ("qwen3_moe", {"moe": None}), ("qwen3_5", {"delta": None})],
    indirect=["checkpoint"],
)
def test_a_configuration_without_what_it_needs_is_refused(checkpoint: Checkpoint, change: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedModelError):
        build_model(replace(checkpoint.config, **change), checkpoint.tensors, ReferenceBackend())
