"""Packed formats: panels of sixteen interleaved rows, laid down once so that kernels need not rearrange them again.

A panel block holds sixteen rows × one block of columns. Four neighbouring columns are a *step*; a stretch of 32 columns
has eight. Chunk i (64 bytes: four for each row) of a stretch holds step i in its low nibbles and step i + 4 in its high
ones, so one vector load yields one step of all rows. Fifth and sixth bits lie in planes of their own, a step at a
time. Scales stand row beside row, those of two neighbouring groups together. Nothing is rounded: a packed tensor has
exactly the values of its source.

As bytes, a panel's sixteen rows are indistinct: a packed tensor may be cut between panels only, and a matrix whose rows
are not whole panels stays as it is. The same layouts are written down for C++ in `csrc/formats.h`. Knows neither files
nor devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from inhouse.weights import formats
from inhouse.weights.formats import IQ4_VALUES, U8, Floats, Format

ROWS = 16  # of a panel

_CHUNK = 1024  # panel blocks at once: temporaries stay in the cache


@dataclass(frozen=True)
class Fields:
    """N blocks taken apart: w = d · scale · (code − zero) − dmin · low, or d · (code − zero) + m.

    codes (N, columns); scale and low (N, groups) of the formats with integer scales, else None; d, dmin, m (N, 1) as
    the packed format stores them.
    """

    codes: npt.NDArray[Any]
    d: npt.NDArray[Any]
    scale: npt.NDArray[Any] | None = None
    low: U8 | None = None
    extra: npt.NDArray[Any] | None = None  # dmin, or m


def _half_bits(b: U8, at: int) -> npt.NDArray[Any]:
    return b[:, at : at + 2].copy().view("<u2")


def _q4_k(b: U8) -> Fields:
    scale, low = formats.unpack_scales(b[:, 4:16])
    return Fields(formats.planes(b[:, 16:], 32, 4), _half_bits(b, 0), scale, low, _half_bits(b, 2))


def _q5_k(b: U8) -> Fields:
    scale, low = formats.unpack_scales(b[:, 4:16])
    codes = formats.planes(b[:, 48:], 32, 4) | (formats.planes(b[:, 16:48], 32, 1) << 4)
    return Fields(codes, _half_bits(b, 0), scale, low, _half_bits(b, 2))


def _q6_k(b: U8) -> Fields:
    codes = formats.planes(b[:, :128], 64, 4) | (formats.planes(b[:, 128:192], 32, 2) << 4)
    return Fields(codes, _half_bits(b, 208), b[:, 192:208].view(np.int8))


def _single(b: U8) -> npt.NDArray[Any]:
    return b[:, :2].copy().view("<f2").astype("<f4")


def _q4_0(b: U8) -> Fields:
    return Fields(formats.planes(b[:, 2:], 16, 4), _single(b))


def _q4_1(b: U8) -> Fields:
    return Fields(formats.planes(b[:, 4:], 16, 4), _half_bits(b, 0), extra=_half_bits(b, 2))


def _q5_0(b: U8) -> Fields:
    return Fields(formats.planes(b[:, 6:], 16, 4) | (formats.bit_row(b[:, 2:6]) << 4), _single(b))


def _q5_1(b: U8) -> Fields:
    codes = formats.planes(b[:, 8:], 16, 4) | (formats.bit_row(b[:, 4:8]) << 4)
    return Fields(codes, _half_bits(b, 0), extra=_half_bits(b, 2))


def _q8_0(b: U8) -> Fields:
    return Fields(b[:, 2:], _half_bits(b, 0))


def _iq4_nl(b: U8) -> Fields:
    return Fields(formats.planes(b[:, 2:], 16, 4), _single(b))


def _iq4_xs(b: U8) -> Fields:
    d = _single(b) * (formats.iq4_xs_scales(b).astype(np.float32) - 32)  # (N, 8)
    return Fields(formats.planes(b[:, 8:], 16, 4).reshape(-1, 32), d.reshape(-1, 1))


@dataclass(frozen=True)
class Layout:
    """One packed format and where it comes from. `bits` per code; `zero` is subtracted from codes."""

    format: Format
    bits: int
    zero: int
    scale_type: str  # of d: "<u2" (a half's bits) or "<f4"
    groups: int = 0  # integer scales per block; 0: the block's d is its only scale
    signed_scales: bool = False
    has_extra: bool = False
    table: bool = False  # codes are places in IQ4_VALUES


def _format(name: str, base: int, columns: int, row_bytes: int) -> Format:
    return Format(f"{name}_P16", 1000 + base, columns, row_bytes, panel_rows=ROWS)


Q4_K_P16 = Layout(_format("Q4_K", 12, 256, 148), 4, 0, "<u2", 8, has_extra=True)
Q5_K_P16 = Layout(_format("Q5_K", 13, 256, 180), 5, 0, "<u2", 8, has_extra=True)
Q6_K_P16 = Layout(_format("Q6_K", 14, 256, 210), 6, 32, "<u2", 16, signed_scales=True)
Q4_0_P16 = Layout(_format("Q4_0", 2, 32, 20), 4, 8, "<f4")
Q4_1_P16 = Layout(_format("Q4_1", 3, 32, 20), 4, 0, "<u2", has_extra=True)
Q5_0_P16 = Layout(_format("Q5_0", 6, 32, 24), 5, 16, "<f4")
Q5_1_P16 = Layout(_format("Q5_1", 7, 32, 24), 5, 0, "<u2", has_extra=True)
Q8_0_P16 = Layout(_format("Q8_0", 8, 32, 34), 8, 0, "<u2")
IQ4_P16 = Layout(_format("IQ4", 20, 32, 20), 4, 0, "<f4", table=True)

LAYOUTS: tuple[Layout, ...] = (
    Q4_K_P16, Q5_K_P16, Q6_K_P16, Q4_0_P16, Q4_1_P16, Q5_0_P16, Q5_1_P16, Q8_0_P16, IQ4_P16,
)  # fmt: skip
BY_NAME: Mapping[str, Layout] = MappingProxyType({layout.format.name: layout for layout in LAYOUTS})

_SOURCES: Mapping[str, tuple[Layout, Callable[[U8], Fields]]] = MappingProxyType(
    {
        "Q4_K": (Q4_K_P16, _q4_k), "Q5_K": (Q5_K_P16, _q5_k), "Q6_K": (Q6_K_P16, _q6_k),
        "Q4_0": (Q4_0_P16, _q4_0), "Q4_1": (Q4_1_P16, _q4_1), "Q5_0": (Q5_0_P16, _q5_0),
        "Q5_1": (Q5_1_P16, _q5_1), "Q8_0": (Q8_0_P16, _q8_0),
        "IQ4_NL": (IQ4_P16, _iq4_nl), "IQ4_XS": (IQ4_P16, _iq4_xs),
    }
)  # fmt: skip


def packed_format(fmt: Format, rows: int) -> Format | None:
    """What a matrix of that format and number of rows is packed to; None if it stays as it is."""
    source = _SOURCES.get(fmt.name)
    return source[0].format if source and rows % ROWS == 0 else None


def pack(fmt: Format, data: U8) -> U8:
    """Rows (R, row_bytes) of a format that has a packed one to new packed bytes (R, packed row_bytes)."""
    layout, take_apart = _SOURCES[fmt.name]
    rows, columns = len(data), data.shape[1] // fmt.block_bytes * fmt.block_size
    out = np.empty((rows, layout.format.row_bytes(columns)), np.uint8)
    source = data.reshape(rows // ROWS, ROWS, -1, fmt.block_bytes)
    target = out.reshape(rows // ROWS, -1, layout.format.block_bytes * ROWS)
    split = fmt.block_size // layout.format.block_size  # packed blocks per source block
    step = max(1, _CHUNK // source.shape[2])
    for first in range(0, len(source), step):
        panels = source[first : first + step]
        blocks = np.ascontiguousarray(panels.swapaxes(1, 2))  # (P, S, 16, bytes)
        fields = take_apart(blocks.reshape(-1, fmt.block_bytes))
        packed = _assemble(layout, fields, split)
        target[first : first + step] = packed.reshape(len(panels), -1, target.shape[2])
    return out


def _assemble(layout: Layout, fields: Fields, split: int) -> U8:
    """Fields of blocks in the order (…, 16 rows, `split`) to panel blocks in the order (…, split)."""

    def panels(values: npt.NDArray[Any]) -> npt.NDArray[Any]:  # (N, X) to (N / 16, 16, X)
        shaped = values.reshape(-1, ROWS, split, values.shape[1]).swapaxes(1, 2)
        return np.ascontiguousarray(shaped).reshape(-1, ROWS, values.shape[1])

    codes = panels(fields.codes)
    parts = [*_code_parts(layout, codes.astype(np.uint8, copy=False))]
    for values in (fields.scale, fields.low):
        if values is not None:  # (M, 16, G) to (M, G / 2, 16, 2)
            pairs = panels(values).reshape(len(codes), ROWS, -1, 2).swapaxes(1, 2)
            parts.append(np.ascontiguousarray(pairs).view(np.uint8))
    for values in (fields.d, fields.extra):
        if values is not None:
            parts.append(panels(values).view(np.uint8))
    return np.concatenate([part.reshape(len(codes), -1) for part in parts], axis=1)


def _code_parts(layout: Layout, codes: U8) -> list[U8]:
    """Codes (M, 16, columns) as chunks and planes."""
    m = len(codes)
    if layout.bits == 8:
        return [np.ascontiguousarray(codes.reshape(m, ROWS, -1, 4).swapaxes(1, 2))]
    steps = codes.reshape(m, ROWS, -1, 2, 4, 4)  # stretch, half, step of the half, byte
    nibble = steps & 15
    chunks = nibble[:, :, :, 0] | (nibble[:, :, :, 1] << 4)  # (M, 16, stretch, 4, 4)
    parts = [np.ascontiguousarray(chunks.transpose(0, 2, 3, 1, 4))]
    if layout.bits > 4:
        width = layout.bits - 4
        per_byte = 8 // width if width == 1 else 4  # steps of a plane's byte
        high = (codes >> 4).reshape(m, ROWS, -1, per_byte, 4)
        shifted = high << (np.arange(per_byte, dtype=np.uint8) * np.uint8(width))[:, None]
        plane = np.bitwise_or.reduce(shifted, axis=3)  # (M, 16, bytes, 4)
        parts.append(np.ascontiguousarray(plane.swapaxes(1, 2)))
    return parts


def dequantize(fmt: Format, data: U8) -> Floats:
    """Packed bytes (..., R, row_bytes) to new float32 memory (..., R, columns): the twin of the kernels' unpacking."""
    layout = BY_NAME[fmt.name]
    *lead, rows, row_bytes = data.shape
    columns = row_bytes // fmt.block_bytes * fmt.block_size
    blocks = np.ascontiguousarray(data).reshape(-1, fmt.block_bytes * ROWS)
    out = np.empty((len(blocks), ROWS, fmt.block_size), np.float32)
    with np.errstate(all="ignore"):
        for first in range(0, len(blocks), _CHUNK):
            out[first : first + _CHUNK] = _values(layout, blocks[first : first + _CHUNK])
    per_row = columns // fmt.block_size
    panels = out.reshape(-1, per_row, ROWS, fmt.block_size).swapaxes(1, 2)
    return panels.reshape(*lead, rows, columns)


def _values(layout: Layout, blocks: U8) -> Floats:
    """Panel blocks (M, bytes) as (M, 16, columns)."""
    m, columns = len(blocks), layout.format.block_size
    at = 0

    def take(count: int) -> U8:
        nonlocal at
        part = blocks[:, at : at + count]
        at += count
        return np.ascontiguousarray(part)

    def halves_or_floats() -> Floats:
        raw = take(ROWS * np.dtype(layout.scale_type).itemsize)
        return raw.view("<f4" if layout.scale_type == "<f4" else "<f2").astype(np.float32)[..., None]

    if layout.bits == 8:
        wide = take(columns * ROWS).view(np.int8).reshape(m, -1, ROWS, 4).swapaxes(1, 2).reshape(m, ROWS, columns)
        return wide.astype(np.float32) * halves_or_floats()
    chunks = take(columns // 2 * ROWS).reshape(m, -1, 4, ROWS, 4)
    both = np.stack([chunks & 15, chunks >> 4], axis=2)  # (M, stretch, half, 4, 16, 4)
    codes = both.transpose(0, 4, 1, 2, 3, 5).reshape(m, ROWS, columns)
    if layout.bits > 4:
        width = layout.bits - 4
        per_byte = 8 if width == 1 else 4
        plane = take(columns * width // 8 * ROWS).reshape(m, -1, 1, ROWS, 4)
        bits = plane >> (np.arange(per_byte, dtype=np.uint8) * np.uint8(width))[:, None, None] & ((1 << width) - 1)
        codes |= bits.transpose(0, 3, 1, 2, 4).reshape(m, ROWS, columns) << 4
    values = np.array(IQ4_VALUES, np.float32)[codes] if layout.table else codes.astype(np.float32) - layout.zero
    if not layout.groups:
        scaled = values * halves_or_floats()
        return scaled + halves_or_floats() if layout.has_extra else scaled

    def pairs() -> Floats:
        raw = take(layout.groups * ROWS).view(np.int8 if layout.signed_scales else np.uint8)
        return raw.reshape(m, -1, ROWS, 2).swapaxes(1, 2).reshape(m, ROWS, -1).astype(np.float32)

    scale, low = pairs(), pairs() if layout.has_extra else None
    values = values.reshape(m, ROWS, layout.groups, -1) * (halves_or_floats() * scale)[..., None]
    if low is not None:
        values -= (halves_or_floats() * low)[..., None]
    return values.reshape(m, ROWS, columns)
