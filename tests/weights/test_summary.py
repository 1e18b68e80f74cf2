"""Sizes for a person to read: right to the byte where that can be known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from weight_files import TINY

from inhouse.errors import ParameterError
from inhouse.weights.checkpoint import Checkpoint, open_checkpoint
from inhouse.weights.expected import expected_tensors
from inhouse.weights.formats import BF16, Q4_K
from inhouse.weights.kv import kv_format
from inhouse.weights.presets import PRESETS
from inhouse.weights.summary import kv_bytes_per_token, state_bytes, summarize


@pytest.mark.parametrize("name", TINY)
def test_weights_are_counted_as_they_lie_in_the_file(tiny: Mapping[str, Path], name: str) -> None:
    with open_checkpoint(tiny[name]) as checkpoint:
        summary = summarize(checkpoint, 100)
        assert summary.weight_bytes == sum(t.nbytes for t in checkpoint.tensors.values())
        assert summary.parameters == sum(t.size for t in checkpoint.tensors.values())
        assert dict(summary.bytes_by_format).keys() == {t.format.name for t in checkpoint.tensors.values()}
        assert sum(size for _, size in summary.bytes_by_format) == summary.weight_bytes
        assert summary.memory_bytes == summary.weight_bytes + summary.kv_bytes + summary.state_bytes
        assert summary.kv_bytes == 100 * kv_bytes_per_token(checkpoint.config)
        assert summarize(checkpoint, 100, "int8").kv_bytes == 100 * kv_bytes_per_token(checkpoint.config, "int8")
        assert summarize(checkpoint).context == 4096


def test_the_35b_model() -> None:
    """Figures from its model card: 34.7 B parameters of text, 3 B active, 20 KiB of keys and values per token."""
    config = PRESETS["qwen3.6-35b-a3b"]
    matrices = {n: Q4_K if len(s) > 1 and "conv1d" not in n else BF16 for n, s in expected_tensors(config).items()}
    summary = summarize(Checkpoint(Path("m"), "gguf", config, {}, {}, (), matrices), 262144)
    assert summary.parameters == 34_660_610_688
    assert summary.active_parameters == pytest.approx(2.947e9, rel=1e-3)
    assert summary.active_bytes == pytest.approx(summary.active_parameters * 4.5 / 8, rel=2e-3)
    assert kv_bytes_per_token(config) == 20 * 1024
    assert summary.kv_bytes == 5 * 1024**3
    assert kv_bytes_per_token(config, "int8") == 10 * 2 * (256 + 8 * 4 + 256 + 4)
    assert state_bytes(config) == 30 * (32 * 128 * 128 + 3 * 8192) * 4


def test_a_tied_table_is_read_for_every_token(tiny: Mapping[str, Path]) -> None:
    summary = summarize(open_checkpoint(tiny["tiny-qwen3"]))
    assert summary.active_parameters == summary.parameters
    assert summary.active_bytes == summary.weight_bytes
    assert summary.state_bytes == 0


def test_formats_of_keys_and_values_have_names() -> None:
    assert [kv_format(name) for name in ("f16", "int8", "q8_0")] == ["f16", "int8", "int8"]
    with pytest.raises(ParameterError, match=r"q4_0.*f16 or int8"):
        kv_format("q4_0")


@pytest.mark.parametrize("context", [0, -1, 4097])
def test_an_impossible_context_is_refused(tiny: Mapping[str, Path], context: int) -> None:
    with pytest.raises(ParameterError, match=f"{context} tokens; choose from 1 to 4096"):
        summarize(open_checkpoint(tiny["tiny-qwen3"]), context)
