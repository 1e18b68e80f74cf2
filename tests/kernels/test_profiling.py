"""The measuring backend: the same results, and costs that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inhouse.kernels.cpu import CpuBackend
from inhouse.kernels.profiling import ProfilingBackend
from inhouse.models import Segment, build_model
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.summary import summarize
from inhouse.weights.synthetic import synthesize

IDS = np.arange(300, 324, dtype=np.int32)


@pytest.fixture(scope="module", params=["tiny-qwen2", "tiny-qwen35moe"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("profiling") / "model.gguf"
    synthesize(request.param, path, layers=4)
    return path


def test_changes_no_result(model: Path) -> None:
    with open_checkpoint(model) as opened:
        results = []
        for backend in (CpuBackend(threads=1), ProfilingBackend(CpuBackend(threads=1))):
            built = build_model(opened.config, opened.tensors, backend)
            results.append(built.logits(built.hidden([Segment(IDS, built.new_layers(len(IDS)))])))
    np.testing.assert_array_equal(*results)


def test_counts_what_the_weights_amount_to(model: Path) -> None:
    """Two operations per active parameter and token; for one token, the active bytes."""
    with open_checkpoint(model) as opened:
        summary = summarize(opened)
        backend = ProfilingBackend(CpuBackend(threads=1))
        built = build_model(opened.config, opened.tensors, backend)
    built.logits(built.hidden([Segment(IDS[:1], built.new_layers(4))]))
    costs = backend.costs
    weights = [cost for name, cost in costs.items() if name not in ("embed", "attention", "gated_delta_net")]
    assert sum(cost.operations for cost in weights) == pytest.approx(2 * summary.active_parameters, rel=0.03)
    assert sum(cost.bytes for cost in weights) == pytest.approx(summary.active_bytes, rel=0.03)
    layers = opened.config.layer_types
    mixers = costs["attention"].calls + (costs["gated_delta_net"].calls if "gated_delta_net" in costs else 0)
    assert mixers == len(layers) == costs["project_add"].calls
    assert all(cost.seconds > 0 for cost in costs.values())


def test_attention_costs_grow_with_the_context(model: Path) -> None:
    with open_checkpoint(model) as opened:
        backend = ProfilingBackend(CpuBackend(threads=1))
        built = build_model(opened.config, opened.tensors, backend)
    states = built.new_layers(len(IDS))
    built.hidden([Segment(IDS[:12], states)])
    first = backend.costs.pop("attention")
    built.hidden([Segment(IDS[12:], states)])
    second = backend.costs["attention"]
    assert second.bytes / first.bytes == pytest.approx((12 + 2 * 12) / (2 * 12))
    assert second.operations / first.operations == pytest.approx((12 * 12 + 78) / 78)
