"""Writes GGUF version 3 files, tensor by tensor, so that a file may be larger than memory.

The file appears under its name only when complete. Knows the container, not what its keys or tensor names mean.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from inhouse.errors import ParameterError
from inhouse.weights.atomic import replacing
from inhouse.weights.formats import U8, Format
from inhouse.weights.gguf import ARRAY, DEFAULT_ALIGNMENT, MAGIC, SCALARS, STRING
from inhouse.weights.tensor import Tensor

Progress = Callable[[int, int], None]
"""Called with the bytes written and the bytes in all."""

_KIND_OF_DTYPE = {np.dtype("<" + code): kind for kind, code in SCALARS.items()}


@dataclass(frozen=True)
class TensorSource:
    """A tensor to be written: `chunks()` yields its bytes, in order, in pieces of any size."""

    name: str
    shape: tuple[int, ...]
    format: Format
    chunks: Callable[[], Iterable[U8]]

    @property
    def nbytes(self) -> int:
        return prod(self.shape[:-1]) * self.format.row_bytes(self.shape[-1])

    @staticmethod
    def of(tensor: Tensor) -> TensorSource:
        """A tensor that exists already."""
        return TensorSource(tensor.name, tensor.shape, tensor.format, lambda: (tensor.data,))


def write_gguf(
    path: Path, metadata: Mapping[str, Any], tensors: Sequence[TensorSource], progress: Progress | None = None
) -> None:
    """Writes `path`, replacing what was there only when the new file is complete.

    Values: str, bool, float (stored as float32), int (uint32, or int32 if negative, else 64 bits), NumPy scalars and
    arrays (stored as they are) and lists of one of str, bool, int (int32) or float. Raises ParameterError for others.
    """
    alignment = int(metadata.get("general.alignment", DEFAULT_ALIGNMENT))
    header = _header(metadata, tensors, alignment)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(header)
        _write_data(file, tensors, alignment, progress)


def _write_data(file: IO[bytes], tensors: Sequence[TensorSource], alignment: int, progress: Progress | None) -> None:
    total, done = sum(t.nbytes for t in tensors), 0
    for tensor in tensors:
        written = 0
        for chunk in tensor.chunks():
            file.write(np.ascontiguousarray(chunk).data)
            written += chunk.size
            if progress is not None:
                progress(done + written, total)
        assert written == tensor.nbytes, (tensor.name, written, tensor.nbytes)
        file.write(bytes(-written % alignment))
        done += written


def _header(metadata: Mapping[str, Any], tensors: Sequence[TensorSource], alignment: int) -> bytes:
    parts = [MAGIC, struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        kind, body = _encode(key, value)
        parts += [_string(key), struct.pack("<I", kind), body]
    offset = 0
    for t in tensors:
        shape = struct.pack(f"<I{len(t.shape)}Q", len(t.shape), *reversed(t.shape))
        parts += [_string(t.name), shape, struct.pack("<IQ", t.format.gguf_id, offset)]
        offset += -(-t.nbytes // alignment) * alignment
    header = b"".join(parts)
    return header + bytes(-len(header) % alignment)


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def _encode(key: str, value: Any) -> tuple[int, bytes]:
    """A value as GGUF's type number and bytes."""
    if isinstance(value, str):
        return STRING, _string(value)
    if isinstance(value, (list, tuple)) and all(isinstance(v, str) for v in value):
        return ARRAY, struct.pack("<IQ", STRING, len(value)) + b"".join(map(_string, value))
    if isinstance(value, (list, tuple)):
        return _encode_array(key, np.array(value, dtype=_element_dtype(key, value)))
    if isinstance(value, np.ndarray):
        return _encode_array(key, value)
    scalar = np.asarray(value, dtype=None if isinstance(value, np.generic) else _scalar_dtype(key, value))
    little = scalar.dtype.newbyteorder("<")
    if little not in _KIND_OF_DTYPE:
        raise ParameterError(f"metadata {key!r}: cannot store {scalar.dtype}; use text, a number or a list")
    return _KIND_OF_DTYPE[little], scalar.astype(little).tobytes()


def _encode_array(key: str, values: np.ndarray[Any, Any]) -> tuple[int, bytes]:
    kind = _KIND_OF_DTYPE.get(values.dtype.newbyteorder("<"))
    if kind is None or values.ndim != 1:
        raise ParameterError(f"metadata {key!r}: cannot store an array of {values.dtype}; use 1-D numbers or strings")
    return ARRAY, struct.pack("<IQ", kind, len(values)) + values.astype(values.dtype.newbyteorder("<")).tobytes()


def _element_dtype(key: str, values: Sequence[Any]) -> str:
    for kinds, dtype in ((bool, "?"), (int, "<i4"), ((int, float), "<f4")):
        if all(isinstance(v, kinds) for v in values):
            return dtype
    raise ParameterError(f"metadata {key!r}: a list must hold one kind of value; got {values[:3]!r}")


def _scalar_dtype(key: str, value: object) -> str:
    if isinstance(value, bool):
        return "?"
    if isinstance(value, float):
        return "<f4"
    if isinstance(value, int):
        return ("<u4" if value < 1 << 32 else "<u8") if value >= 0 else ("<i4" if value >= -1 << 31 else "<i8")
    raise ParameterError(f"metadata {key!r}: cannot store {type(value).__name__}; use text, a number or a list")
