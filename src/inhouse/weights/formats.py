"""Number formats of weights: their block layouts, written once, with a NumPy dequantiser for each.

The layouts are GGML's. A block is a run of consecutive elements of one row that share their scales; inside a block
codes lie in *planes*: a byte's low bits hold element i, its next bits element i + 16 (or + 32), and so on, so that a
vector unit unpacks a register with one shift and one mask. Knows neither files nor tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_CHUNK = 4096  # blocks dequantised at once: temporaries stay in the cache, and memory stays near that of the result


@dataclass(frozen=True)
class Format:
    """A block of `block_size` elements takes `block_bytes` bytes; ids are GGUF's (ggml_type), or ours from 1000 up.

    Formats with `panel_rows` > 1 interleave that many rows (see `packed`): only their sum of bytes is a row's.
    """

    name: str
    gguf_id: int
    block_size: int
    block_bytes: int
    panel_rows: int = 1

    def row_bytes(self, columns: int) -> int:
        """Bytes of a row of `columns` elements, which must be whole blocks."""
        assert columns % self.block_size == 0, (self.name, columns)
        return columns // self.block_size * self.block_bytes

    @property
    def bits(self) -> float:
        """Bits per weight, scales included."""
        return 8 * self.block_bytes / self.block_size


F32 = Format("F32", 0, 1, 4)
F16 = Format("F16", 1, 1, 2)
BF16 = Format("BF16", 30, 1, 2)
Q4_0 = Format("Q4_0", 2, 32, 18)
Q4_1 = Format("Q4_1", 3, 32, 20)
Q5_0 = Format("Q5_0", 6, 32, 22)
Q5_1 = Format("Q5_1", 7, 32, 24)
Q8_0 = Format("Q8_0", 8, 32, 34)
Q2_K = Format("Q2_K", 10, 256, 84)
Q3_K = Format("Q3_K", 11, 256, 110)
Q4_K = Format("Q4_K", 12, 256, 144)
Q5_K = Format("Q5_K", 13, 256, 176)
Q6_K = Format("Q6_K", 14, 256, 210)
IQ4_NL = Format("IQ4_NL", 20, 32, 18)
IQ4_XS = Format("IQ4_XS", 23, 256, 136)

FORMATS: tuple[Format, ...] = (
    F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS,
)  # fmt: skip
BY_NAME: Mapping[str, Format] = MappingProxyType({f.name: f for f in FORMATS})
BY_GGUF_ID: Mapping[int, Format] = MappingProxyType({f.gguf_id: f for f in FORMATS})

IQ4_VALUES = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
"""The sixteen levels of IQ4_NL and IQ4_XS."""


def dequantize(fmt: Format, data: U8) -> Floats:
    """Bytes (..., row_bytes) to new float32 memory (..., columns).

    Scales may be infinite or NaN in a damaged file: the result then holds such values, and nothing is raised.
    """
    *lead, row_bytes = data.shape
    assert row_bytes % fmt.block_bytes == 0, (fmt.name, row_bytes)
    values = np.empty((*lead, row_bytes // fmt.block_bytes * fmt.block_size), np.float32)
    blocks = np.ascontiguousarray(data).reshape(-1, fmt.block_bytes)
    out = values.reshape(-1, fmt.block_size)
    decode = _DECODERS[fmt.name]
    step = _CHUNK * max(1, 256 // fmt.block_size)
    with np.errstate(all="ignore"):
        for start in range(0, len(blocks), step):
            out[start : start + step] = decode(blocks[start : start + step])
    return values


def _half(blocks: U8, at: int) -> Floats:
    """The float16 at byte `at` of each block, as (N, 1)."""
    return blocks[:, at : at + 2].copy().view("<f2").astype(np.float32)


def planes(codes: U8, width: int, bits: int) -> U8:
    """Bytes (N, M) to codes (N, M·8/bits): per run of `width` bytes all lowest bits first, then the next, ..."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    runs = codes.reshape(len(codes), -1, 1, width) >> shifts  # (N, runs, planes, width)
    return (runs & np.uint8((1 << bits) - 1)).reshape(len(codes), -1)


def bit_row(packed: U8) -> U8:
    """Bytes (N, 4) to one bit per element (N, 32), lowest bit first."""
    return np.unpackbits(packed, axis=-1, bitorder="little")


def _signed(codes: npt.NDArray[np.integer], zero: int) -> npt.NDArray[np.int8]:
    return codes.astype(np.int8) - np.int8(zero)


def _affine(codes: npt.NDArray[np.integer], scale: Floats, offset: Floats | None = None) -> Floats:
    """scale × codes (− offset), each of the scales (N, G) serving an equal run of the codes (N, M)."""
    runs = codes.reshape(*scale.shape, -1).astype(np.float32) * scale[..., None]
    if offset is not None:
        runs -= offset[..., None]
    return runs.reshape(len(codes), -1)


def _f32(b: U8) -> Floats:
    return b.view("<f4")


def _f16(b: U8) -> Floats:
    return b.view("<f2").astype(np.float32)


def _bf16(b: U8) -> Floats:
    return (b.view("<u2").astype(np.uint32) << 16).view(np.float32)


def _q8_0(b: U8) -> Floats:
    """d (2), codes (32): d × code."""
    return _affine(b[:, 2:].view(np.int8), _half(b, 0))


def _q4_0(b: U8) -> Floats:
    """d (2), nibbles (16): d × (code − 8)."""
    return _affine(_signed(planes(b[:, 2:], 16, 4), 8), _half(b, 0))


def _q4_1(b: U8) -> Floats:
    """d (2), m (2), nibbles (16): d × code + m."""
    return _affine(planes(b[:, 4:], 16, 4), _half(b, 0), -_half(b, 2))


def _q5_0(b: U8) -> Floats:
    """d (2), fifth bits (4), nibbles (16): d × (code − 16)."""
    codes = planes(b[:, 6:], 16, 4) | (bit_row(b[:, 2:6]) << 4)
    return _affine(_signed(codes, 16), _half(b, 0))


def _q5_1(b: U8) -> Floats:
    """d (2), m (2), fifth bits (4), nibbles (16): d × code + m."""
    codes = planes(b[:, 8:], 16, 4) | (bit_row(b[:, 4:8]) << 4)
    return _affine(codes, _half(b, 0), -_half(b, 2))


def _q2_k(b: U8) -> Floats:
    """16 × (scale nibble | min nibble) (16), 2-bit codes (64), d (2), dmin (2)."""
    scale, low = (b[:, :16] & 15).astype(np.float32), (b[:, :16] >> 4).astype(np.float32)
    return _affine(planes(b[:, 16:80], 32, 2), _half(b, 80) * scale, _half(b, 82) * low)


def _q3_k(b: U8) -> Floats:
    """Third bits (32), 2-bit codes (64), 16 × 6-bit scales (12), d (2): d × (scale − 32) × (code − 4)."""
    codes = planes(b[:, 32:96], 32, 2) | (planes(b[:, :32], 32, 1) << 2)
    scales = planes(b[:, 96:104], 8, 4) | (planes(b[:, 104:108], 4, 2) << 4)
    return _affine(_signed(codes, 4), _half(b, 108) * _signed(scales, 32).astype(np.float32))


def unpack_scales(packed: U8) -> tuple[U8, U8]:
    """The 6-bit scales and minima of Q4_K and Q5_K: bytes (N, 12) to two of (N, 8)."""
    first, second, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    scale = np.concatenate([first & 63, (rest & 15) | (first >> 6 << 4)], axis=-1)
    low = np.concatenate([second & 63, (rest >> 4) | (second >> 6 << 4)], axis=-1)
    return scale, low


def _q4_k(b: U8) -> Floats:
    """d (2), dmin (2), 8 × 6-bit (scale, min) (12), nibbles (128): d·scale × code − dmin·min."""
    scale, low = unpack_scales(b[:, 4:16])
    return _affine(planes(b[:, 16:], 32, 4), _half(b, 0) * scale, _half(b, 2) * low)


def _q5_k(b: U8) -> Floats:
    """As Q4_K with fifth bits (32) before the nibbles (128)."""
    scale, low = unpack_scales(b[:, 4:16])
    codes = planes(b[:, 48:], 32, 4) | (planes(b[:, 16:48], 32, 1) << 4)
    return _affine(codes, _half(b, 0) * scale, _half(b, 2) * low)


def _q6_k(b: U8) -> Floats:
    """Nibbles (128), top bits (64), 16 × int8 scale (16), d (2): d·scale × (code − 32)."""
    codes = planes(b[:, :128], 64, 4) | (planes(b[:, 128:192], 32, 2) << 4)
    return _affine(_signed(codes, 32), _half(b, 208) * b[:, 192:208].view(np.int8).astype(np.float32))


def _iq4_nl(b: U8) -> Floats:
    """d (2), nibbles (16): d × IQ4_VALUES[code]."""
    return _affine(np.array(IQ4_VALUES, np.int8)[planes(b[:, 2:], 16, 4)], _half(b, 0))


def iq4_xs_scales(b: U8) -> U8:
    """The eight 6-bit scales of IQ4_XS blocks (N, 136) as (N, 8)."""
    pairs = (b[:, 2:4, None] >> np.arange(0, 8, 2, dtype=np.uint8)) & 3  # (N, 2, 4)
    nibbles = (b[:, 4:8, None] >> np.array([0, 4], np.uint8)) & 15  # (N, 4, 2)
    scales: U8 = np.bitwise_or(nibbles.reshape(-1, 8), pairs.reshape(-1, 8) << 4, dtype=np.uint8)
    return scales


def _iq4_xs(b: U8) -> Floats:
    """d (2), top bits of 8 scales (2), their nibbles (4), nibbles (128): d·(scale − 32) × IQ4_VALUES[code]."""
    scales = iq4_xs_scales(b)
    values = np.array(IQ4_VALUES, np.int8)[planes(b[:, 8:], 16, 4)]
    return _affine(values, _half(b, 0) * _signed(scales, 32).astype(np.float32))


_DECODERS: Mapping[str, Callable[[U8], Floats]] = MappingProxyType(
    {
        "F32": _f32, "F16": _f16, "BF16": _bf16, "Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0,
        "Q5_1": _q5_1, "Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
        "IQ4_NL": _iq4_nl, "IQ4_XS": _iq4_xs,
    }
)  # fmt: skip
