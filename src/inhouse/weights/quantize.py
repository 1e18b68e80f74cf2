"""Quantisers: float32 to the blocks of every format in `formats`. Knows neither files nor importance matrices.

Formats with one scale per 32 elements are rounded as GGML rounds them. Formats with scales of scales search, per
group, a few scales around the one that just spans the values, refit each by least squares, and keep the best; codes
are then rounded again with the scales as stored. Good enough to make test models and to convert; a file made with an
importance matrix is better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from inhouse.weights.formats import IQ4_VALUES, U8, Floats, Format

Codes = npt.NDArray[np.uint8]

_CHUNK = 1 << 18  # elements quantised at once
_STEPS = np.arange(-9, 10, dtype=np.float32) / 10  # scales tried: the spanning one, up to a few percent off


def quantize(fmt: Format, values: Floats) -> U8:
    """Finite float32 (..., columns), columns being whole blocks, to new bytes (..., row_bytes)."""
    values = np.ascontiguousarray(values, dtype=np.float32)
    data = np.empty((*values.shape[:-1], fmt.row_bytes(values.shape[-1])), np.uint8)
    rows, out = values.reshape(-1, fmt.block_size), data.reshape(-1, fmt.block_bytes)
    encode = _ENCODERS[fmt.name]
    step = _CHUNK // fmt.block_size
    with np.errstate(over="ignore", under="ignore"):
        for start in range(0, len(rows), step):
            out[start : start + step] = encode(rows[start : start + step])
    return data


def _half(values: Floats) -> tuple[U8, Floats]:
    """Values (N,) as float16 bytes (N, 2), and what those bytes mean (N, 1)."""
    halves = values.astype("<f2")[:, None]
    return halves.view(np.uint8), halves.astype(np.float32)


def _inverse(scale: Floats) -> Floats:
    """1 / scale, and 0 where the scale is 0 (or so small that its inverse is not finite)."""
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scale
    return np.where(np.isfinite(inverse), inverse, np.float32(0))


def _round(values: Floats, low: int, high: int) -> npt.NDArray[np.int8]:
    return np.clip(np.rint(values), low, high).astype(np.int8)


def _planes(codes: npt.NDArray[np.integer], width: int, bits: int) -> U8:
    """The lowest `bits` of codes (N, M) packed to (N, M·bits/8), in the planes that `formats` unpacks."""
    per_byte = 8 // bits
    masked = codes.astype(np.uint8) & np.uint8((1 << bits) - 1)
    runs = masked.reshape(len(codes), -1, per_byte, width) << np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    packed: U8 = np.bitwise_or.reduce(runs, axis=2)
    return packed.reshape(len(codes), -1)


def _fifth_bits(codes: Codes) -> U8:
    return np.packbits(codes >> 4, axis=-1, bitorder="little")


def _f32(x: Floats) -> U8:
    return x.astype("<f4").view(np.uint8)


def _f16(x: Floats) -> U8:
    return x.astype("<f2").view(np.uint8)


def _bf16(x: Floats) -> U8:
    """Rounded to nearest, ties to even."""
    bits = x.view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))
    halves: U8 = (rounded >> 16).astype("<u2").view(np.uint8)
    return halves


def _q8_0(x: Floats) -> U8:
    d = np.abs(x).max(axis=-1) / np.float32(127)
    codes = _round(x * _inverse(d)[:, None], -127, 127)
    return np.concatenate([_half(d)[0], codes.view(np.uint8)], axis=-1)


def _extreme(x: Floats) -> Floats:
    """The entry of largest magnitude, with its sign, along the last axis."""
    at = np.abs(x).argmax(axis=-1)[..., None]
    return np.take_along_axis(x, at, axis=-1)[..., 0]


def _symmetric32(x: Floats, zero: int) -> tuple[U8, Codes]:
    """One scale per block; the entry of largest magnitude gets code 0, which lies `zero` below the middle."""
    d = _extreme(x) / np.float32(-zero)
    codes = np.trunc(x * _inverse(d)[:, None] + np.float32(zero + 0.5)).clip(0, 2 * zero - 1)
    return _half(d)[0], codes.astype(np.uint8)


def _affine32(x: Floats, levels: int) -> tuple[U8, Codes]:
    """A scale and a minimum per block, as four bytes."""
    low = x.min(axis=-1)
    d = (x.max(axis=-1) - low) / np.float32(levels)
    codes = np.trunc((x - low[:, None]) * _inverse(d)[:, None] + np.float32(0.5)).clip(0, levels)
    return np.concatenate([_half(d)[0], _half(low)[0]], axis=-1), codes.astype(np.uint8)


def _q4_0(x: Floats) -> U8:
    head, codes = _symmetric32(x, 8)
    return np.concatenate([head, _planes(codes, 16, 4)], axis=-1)


def _q4_1(x: Floats) -> U8:
    head, codes = _affine32(x, 15)
    return np.concatenate([head, _planes(codes, 16, 4)], axis=-1)


def _q5_0(x: Floats) -> U8:
    head, codes = _symmetric32(x, 16)
    return np.concatenate([head, _fifth_bits(codes), _planes(codes, 16, 4)], axis=-1)


def _q5_1(x: Floats) -> U8:
    head, codes = _affine32(x, 31)
    return np.concatenate([head, _fifth_bits(codes), _planes(codes, 16, 4)], axis=-1)


def _fit_affine(x: Floats, levels: int) -> tuple[Floats, Floats]:
    """Groups (N, G, M) to scale ≥ 0 and offset ≥ 0, both (N, G), so that x ≈ scale × code − offset."""
    low = np.minimum(x.min(axis=-1), 0)
    span = _inverse(x.max(axis=-1) - low)
    best = np.full(low.shape, np.inf, np.float32)
    scale, offset = np.zeros_like(low), -low
    sum_x = x.sum(axis=-1)
    for step in _STEPS:
        codes = np.clip(np.rint((x - low[..., None]) * (span * (levels + step))[..., None]), 0, levels)
        sum_q, sum_qq, sum_xq = codes.sum(axis=-1), (codes * codes).sum(axis=-1), (codes * x).sum(axis=-1)
        fit = (x.shape[-1] * sum_xq - sum_x * sum_q) * _inverse(x.shape[-1] * sum_qq - sum_q * sum_q)
        base = (sum_x - fit * sum_q) / np.float32(x.shape[-1])
        above = base > 0  # an offset below zero cannot be stored: refit through the origin
        fit, base = np.where(above, sum_xq * _inverse(sum_qq), fit), np.where(above, np.float32(0), base)
        error = np.square(fit[..., None] * codes + base[..., None] - x).sum(axis=-1)
        better = error < best
        best = np.where(better, error, best)
        scale, offset = np.where(better, fit, scale), np.where(better, -base, offset)
    return np.maximum(scale, 0), np.maximum(offset, 0)


def _affine_super(x: Floats, groups: int, levels: int, top: int) -> tuple[U8, U8, Codes, Codes, Codes]:
    """Super-blocks (N, 256) to d, dmin (N, 2), scales, minima (N, groups) ≤ `top`, codes (N, 256) ≤ `levels`."""
    x = x.reshape(len(x), groups, -1)
    scale, offset = _fit_affine(x, levels)
    d_bytes, d = _half(scale.max(axis=-1) / np.float32(top))
    m_bytes, dmin = _half(offset.max(axis=-1) / np.float32(top))
    scales, minima = _round(scale * _inverse(d), 0, top), _round(offset * _inverse(dmin), 0, top)
    codes = _round((x + (dmin * minima)[..., None]) * _inverse(d * scales)[..., None], 0, levels)
    flat = codes.reshape(len(x), -1).view(np.uint8)
    return d_bytes, m_bytes, scales.view(np.uint8), minima.view(np.uint8), flat


def _pack_scales(scales: Codes, minima: Codes) -> U8:
    """Two of (N, 8) six-bit codes to (N, 12), as `formats.unpack_scales` reads them."""
    first = scales[:, :4] | (scales[:, 4:] >> 4 << 6)
    second = minima[:, :4] | (minima[:, 4:] >> 4 << 6)
    return np.concatenate([first, second, (scales[:, 4:] & 15) | (minima[:, 4:] << 4)], axis=-1)


def _q2_k(x: Floats) -> U8:
    d, dmin, scales, minima, codes = _affine_super(x, 16, 3, 15)
    return np.concatenate([scales | (minima << 4), _planes(codes, 32, 2), d, dmin], axis=-1)


def _q4_k(x: Floats) -> U8:
    d, dmin, scales, minima, codes = _affine_super(x, 8, 15, 63)
    return np.concatenate([d, dmin, _pack_scales(scales, minima), _planes(codes, 32, 4)], axis=-1)


def _q5_k(x: Floats) -> U8:
    d, dmin, scales, minima, codes = _affine_super(x, 8, 31, 63)
    packed = _pack_scales(scales, minima)
    return np.concatenate([d, dmin, packed, _planes(codes >> 4, 32, 1), _planes(codes, 32, 4)], axis=-1)


def _fit_symmetric(x: Floats, levels: Callable[[Floats], Floats], reach: float) -> Floats:
    """Groups (N, G, M) to a signed scale (N, G) so that x ≈ scale × levels(x / scale); `reach` is the lowest level."""
    inverse = _inverse(_extreme(x))
    best, scale = np.full(inverse.shape, -1, np.float32), np.zeros_like(inverse)
    for step in _STEPS:
        codes = levels(x * (inverse * np.float32(reach * (1 - step / 8)))[..., None])
        sum_qq, sum_xq = (codes * codes).sum(axis=-1), (codes * x).sum(axis=-1)
        fit = sum_xq * _inverse(sum_qq)
        explained = fit * sum_xq  # squared error falls by this much
        better = explained > best
        best, scale = np.where(better, explained, best), np.where(better, fit, scale)
    return scale


def _symmetric_super(
    x: Floats, groups: int, levels: Callable[[Floats], Floats], reach: float, lowest: int
) -> tuple[U8, npt.NDArray[np.int8], Floats]:
    """Super-blocks (N, 256) to d (N, 2), scales (N, groups) from `lowest` to −lowest − 1, levels (N, 256)."""
    x = x.reshape(len(x), groups, -1)
    scale = _fit_symmetric(x, levels, reach)
    d_bytes, d = _half(_extreme(scale) / np.float32(lowest))
    scales = _round(scale * _inverse(d), lowest, -lowest - 1)
    codes = levels(x * _inverse(d * scales)[..., None])
    return d_bytes, scales, codes.reshape(len(x), -1)


def _integers(low: int, high: int) -> Callable[[Floats], Floats]:
    return lambda x: np.clip(np.rint(x), low, high)


def _q3_k(x: Floats) -> U8:
    d, scales, levels = _symmetric_super(x, 16, _integers(-4, 3), -4, -32)
    codes, packed = (levels + 4).astype(np.uint8), (scales + 32).view(np.uint8)
    low, high = _planes(packed, 8, 4), _planes(packed >> 4, 4, 2)
    return np.concatenate([_planes(codes >> 2, 32, 1), _planes(codes, 32, 2), low, high, d], axis=-1)


def _q6_k(x: Floats) -> U8:
    d, scales, levels = _symmetric_super(x, 16, _integers(-32, 31), -32, -128)
    codes = (levels + 32).astype(np.uint8)
    return np.concatenate([_planes(codes, 64, 4), _planes(codes >> 4, 32, 2), scales.view(np.uint8), d], axis=-1)


def _iq4_code(x: Floats) -> npt.NDArray[np.intp]:
    """The nearest of IQ4_VALUES, as its index."""
    values = np.array(IQ4_VALUES, np.float32)
    return np.searchsorted((values[1:] + values[:-1]) / 2, x)


def _iq4_level(x: Floats) -> Floats:
    return np.array(IQ4_VALUES, np.float32)[_iq4_code(x)]


def _iq4_nl(x: Floats) -> U8:
    d_bytes, d = _half(_fit_symmetric(x[:, None], _iq4_level, IQ4_VALUES[0])[:, 0])
    return np.concatenate([d_bytes, _planes(_iq4_code(x * _inverse(d)), 16, 4)], axis=-1)


def _iq4_xs(x: Floats) -> U8:
    d, scales, levels = _symmetric_super(x, 8, _iq4_level, IQ4_VALUES[0], -32)
    packed = (scales + 32).view(np.uint8)
    low = (packed[:, 0::2] & 15) | (packed[:, 1::2] << 4)
    high = _planes(np.ascontiguousarray(packed.reshape(-1, 2, 4) >> 4).reshape(-1, 8), 1, 2)
    return np.concatenate([d, high, low, _planes(_iq4_code(levels), 16, 4)], axis=-1)


_ENCODERS: Mapping[str, Callable[[Floats], U8]] = MappingProxyType(
    {
        "F32": _f32, "F16": _f16, "BF16": _bf16, "Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q5_0": _q5_0,
        "Q5_1": _q5_1, "Q2_K": _q2_k, "Q3_K": _q3_k, "Q4_K": _q4_k, "Q5_K": _q5_k, "Q6_K": _q6_k,
        "IQ4_NL": _iq4_nl, "IQ4_XS": _iq4_xs,
    }
)  # fmt: skip
