"""Quantisers lose no more than their format must."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.quants import quantize as gguf_quantize

from inhouse.weights.formats import FORMATS, Floats, Format, dequantize
from inhouse.weights.quantize import quantize

NORMAL_ERROR = {  # root mean square error for standard normal values
    "F32": 0.0, "F16": 0.0003, "BF16": 0.002, "Q8_0": 0.0056, "Q6_K": 0.0175, "Q5_K": 0.037, "Q5_1": 0.039,
    "Q5_0": 0.044, "Q4_K": 0.073, "IQ4_NL": 0.077, "IQ4_XS": 0.078, "Q4_1": 0.08, "Q4_0": 0.088, "Q3_K": 0.15,
    "Q2_K": 0.28,
}  # fmt: skip


def rms(x: Floats) -> float:
    return float(np.sqrt(np.square(x, dtype=np.float64).mean()))


def round_trip(fmt: Format, x: Floats) -> Floats:
    return dequantize(fmt, quantize(fmt, x))


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_error_on_normal_values(fmt: Format) -> None:
    x = np.random.default_rng(1).normal(size=(3, 11, 1024)).astype(np.float32)
    assert rms(round_trip(fmt, x) - x) <= NORMAL_ERROR[fmt.name]


@pytest.mark.parametrize("scale", [0.01, 30.0])
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_error_follows_the_scale_of_the_values(fmt: Format, scale: float) -> None:
    x = np.random.default_rng(2).normal(size=(16, 512)).astype(np.float32) * np.float32(scale)
    assert rms(round_trip(fmt, x) - x) <= 1.1 * scale * NORMAL_ERROR[fmt.name]


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_zeros_constants_and_one_sided_groups(fmt: Format) -> None:
    assert not round_trip(fmt, np.zeros((2, 256), np.float32)).any()
    rng = np.random.default_rng(3)
    for x in (
        np.full((1, 256), 0.75, np.float32),
        np.full((1, 256), -0.75, np.float32),
        rng.uniform(1.0, 2.0, (4, 256)).astype(np.float32),
        rng.uniform(-2.0, -1.0, (4, 256)).astype(np.float32),
    ):
        assert rms(round_trip(fmt, x) - x) <= max(NORMAL_ERROR[fmt.name], 1e-3) * 2


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_quantising_again_keeps_what_can_be_kept(fmt: Format) -> None:
    x = np.random.default_rng(4).normal(size=(8, 256)).astype(np.float32)
    once = round_trip(fmt, x)
    assert rms(round_trip(fmt, once) - once) <= 0.6 * NORMAL_ERROR[fmt.name] + 1e-7


@pytest.mark.parametrize("name", ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"])
def test_plain_formats_round_as_the_gguf_package(name: str) -> None:
    fmt = next(f for f in FORMATS if f.name == name)
    x = np.random.default_rng(5).normal(size=(64, 256)).astype(np.float32)
    expected = np.asarray(gguf_quantize(x, gguf.GGMLQuantizationType(fmt.gguf_id))).view(np.uint8)
    same = (quantize(fmt, x) == expected).mean()
    assert same > 0.995, "only ties may fall the other way"
