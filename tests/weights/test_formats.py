"""Dequantisers agree with the `gguf` package bit for bit, whatever the bytes."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize as gguf_dequantize

from inhouse.weights.formats import BY_GGUF_ID, BY_NAME, FORMATS, Format, dequantize
from inhouse.weights.tensor import U8, Tensor

SCALE_BYTES = {  # where a block's float16 scales lie
    "Q4_0": (0,), "Q4_1": (0, 2), "Q5_0": (0,), "Q5_1": (0, 2), "Q8_0": (0,), "Q2_K": (80, 82), "Q3_K": (108,),
    "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,), "IQ4_NL": (0,), "IQ4_XS": (0,),
}  # fmt: skip


def random_bytes(fmt: Format, lead: tuple[int, ...], blocks: int, seed: int = 0) -> U8:
    """Any bytes at all for the codes; finite scales of both signs, zeros and subnormals among them."""
    rng = np.random.default_rng(seed)
    if fmt.block_size == 1:
        floats = rng.normal(size=(*lead, blocks)).astype(np.float32)
        if fmt.name == "BF16":
            return np.ascontiguousarray(floats.view(np.uint16)[..., 1::2]).view(np.uint8)
        return (floats.astype(np.float16) if fmt.name == "F16" else floats).view(np.uint8)
    raw = rng.integers(0, 256, (*lead, blocks, fmt.block_bytes), dtype=np.uint8)
    for at in SCALE_BYTES[fmt.name]:
        bits = rng.integers(0, 1 << 16, (*lead, blocks, 1), dtype=np.uint16)
        finite = np.where((bits & 0x7C00) == 0x7C00, bits & 0x83FF, bits).astype("<u2")
        raw[..., at : at + 2] = finite.view(np.uint8)
    return raw.reshape(*lead, blocks * fmt.block_bytes)


@pytest.mark.parametrize("shape", [((), 1), ((1,), 1), ((3,), 5), ((2, 3), 2), ((0,), 2), ((5, 1, 2), 1), ((7,), 700)])
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_equals_the_gguf_package(fmt: Format, shape: tuple[tuple[int, ...], int]) -> None:
    lead, blocks = shape
    raw = random_bytes(fmt, lead, blocks)
    got = dequantize(fmt, raw)
    assert got.dtype == np.float32
    assert got.shape == (*lead, blocks * fmt.block_size)
    if got.size:
        expected = gguf_dequantize(raw, gguf.GGMLQuantizationType(fmt.gguf_id)).reshape(got.shape)
        np.testing.assert_array_equal(got, expected)
        assert np.array_equal(np.signbit(got), np.signbit(expected))


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_block_layout_is_the_published_one(fmt: Format) -> None:
    kind = gguf.GGMLQuantizationType(fmt.gguf_id)
    assert kind.name == fmt.name
    assert gguf.GGML_QUANT_SIZES[kind] == (fmt.block_size, fmt.block_bytes)
    assert BY_NAME[fmt.name] is fmt
    assert BY_GGUF_ID[fmt.gguf_id] is fmt


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_strided_views_are_read_where_they_lie(fmt: Format) -> None:
    """The up half of a fused (E, 2I, H) tensor is a view with a gap between experts."""
    raw = random_bytes(fmt, (3, 8), 2)
    fused = Tensor("experts", (3, 8, 2 * fmt.block_size), fmt, raw)
    upper = Tensor("up", (3, 4, 2 * fmt.block_size), fmt, raw[:, 4:])
    assert np.shares_memory(upper.data, fused.data)
    np.testing.assert_array_equal(upper.float32(), fused.float32()[:, 4:])
    np.testing.assert_array_equal(fused[1].float32(), fused.float32()[1])


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_damaged_scales_give_numbers_not_errors(fmt: Format) -> None:
    assert dequantize(fmt, np.full((4, fmt.block_bytes), 0xFF, np.uint8)).shape == (4, fmt.block_size)
    raw = np.zeros((4, fmt.block_bytes), np.uint8)
    raw[:, 1::2] = 0x7C  # +inf wherever a float16 may lie
    assert dequantize(fmt, raw).shape == (4, fmt.block_size)
