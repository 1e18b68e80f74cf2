"""Quantised models of every architecture: the same text however tokens are cut, and the same on every backend.

The CPU backend rounds activations to eight bits and keys and values to half precision. Rounding turns sums that
differ in their last bit into errors of the rounding's own size, hence its tolerance; a state that is off by one token
would be wrong by more than half.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from inhouse.kernels import reference
from inhouse.kernels.cpu import CpuBackend
from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import CausalLM, Segment, build_model
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.synthetic import synthesize
from inhouse.weights.tensor import Tensor

F32 = npt.NDArray[np.float32]
PRESETS = ("tiny-qwen2", "tiny-qwen3", "tiny-qwen3moe", "tiny-qwen35", "tiny-qwen35moe")
TOKENS = 24
IDS = np.random.default_rng(1).integers(0, 1024, TOKENS).astype(np.int32)


@pytest.fixture(scope="module", params=PRESETS)
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CausalLM]:
    """One random file of mixed 4- to 6-bit blocks on both backends."""
    path: Path = tmp_path_factory.mktemp("quantised") / "model.gguf"
    synthesize(request.param, path, mix="Q4_K_M")
    opened = open_checkpoint(path)
    backends = {"reference": ReferenceBackend(), "cpu": CpuBackend(threads=2)}
    return {name: build_model(opened.config, opened.tensors, backend) for name, backend in backends.items()}


def logits(model: CausalLM, chunk: int) -> F32:
    """(T, V), the tokens going through in chunks."""
    layers = model.new_layers(TOKENS)
    parts = [model.hidden([Segment(IDS[first : first + chunk], layers)]) for first in range(0, TOKENS, chunk)]
    return model.logits(np.concatenate(parts))


def distance(got: F32, wanted: F32) -> float:
    """Root mean square of the difference over that of the logits."""
    return float(np.sqrt(np.mean((got - wanted) ** 2)) / wanted.std())


@pytest.mark.parametrize(("backend", "tolerance"), [("reference", 1e-5), ("cpu", 0.05)])
@pytest.mark.parametrize("chunk", [1, 7])
def test_chunks_give_the_logits_of_one_pass(
    models: dict[str, CausalLM], backend: str, tolerance: float, chunk: int
) -> None:
    assert distance(logits(models[backend], chunk), logits(models[backend], TOKENS)) < tolerance


def test_the_backends_agree_but_for_the_rounding_of_activations(
    models: dict[str, CausalLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference with activations rounded as the CPU backend rounds them is as far from itself, and nearer to it."""
    exact, cpu = logits(models["reference"], TOKENS), logits(models["cpu"], TOKENS)
    matmul = reference.matmul

    def rounded_matmul(x: F32, weight: Tensor) -> F32:
        return matmul(rounded(x) if weight.format.block_size > 1 else x, weight)

    monkeypatch.setattr(reference, "matmul", rounded_matmul)
    rounding = logits(models["reference"], TOKENS)
    assert distance(cpu, exact) < 1.25 * distance(rounding, exact)
    assert distance(cpu, rounding) < 0.05


def rounded(x: F32) -> F32:
    """Activations (T, H) as 127 steps to either side, per token and 256 columns."""
    spans = x.reshape(len(x), -1, 256)
    step = np.abs(spans).max(-1, keepdims=True) / 127
    return (np.round(spans / step) * step).reshape(x.shape)
