"""GGUF files, read in place: metadata as Python values, tensors as views on the mapped file.

Knows the container (versions 2 and 3, little-endian), not what its keys or tensor names mean. Nothing in the header
is trusted: every count and length is held against the bytes that are left before memory is taken for it.

Source: the GGUF specification of the ggml project.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from inhouse.errors import ModelFileError, ModelNotFoundError, TensorError
from inhouse.weights.formats import BY_GGUF_ID, BY_NAME, U8, Format
from inhouse.weights.tensor import Tensor

MAGIC = b"GGUF"
DEFAULT_ALIGNMENT = 32
STRING, ARRAY, BOOL = 8, 9, 7
SCALARS: Mapping[int, str] = MappingProxyType(
    {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", BOOL: "?", 10: "Q", 11: "q", 12: "d"}
)
"""GGUF's value types as `struct` codes (also NumPy's, little-endian)."""

_REFETCH = "download or convert the file again"
_MAX_NESTING = 4
_MAX_DIMENSIONS = 4
_OTHER_TYPES = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 21: "IQ3_S", 22: "IQ2_S",
    24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
    40: "NVFP4",
}  # fmt: skip


@dataclass(frozen=True)
class TensorInfo:
    """Where a tensor lies: `shape` in NumPy's order, `offset` from the start of the file."""

    name: str
    shape: tuple[int, ...]
    type_id: int
    offset: int

    @property
    def format(self) -> Format | None:
        """None for a type that `formats` does not have."""
        return BY_GGUF_ID.get(self.type_id)

    @property
    def kind(self) -> str:
        """The name of its number format, also of one that `formats` does not have."""
        return self.format.name if self.format else _OTHER_TYPES.get(self.type_id, f"number {self.type_id}")

    @property
    def nbytes(self) -> int | None:
        return prod(self.shape[:-1]) * self.format.row_bytes(self.shape[-1]) if self.format else None


@dataclass(frozen=True, eq=False)
class GGUFFile:
    """A mapped file, or the first of several whose tensors are one model's (see `gguf_parts`).

    The mapping lives as long as this object or any tensor taken from it.
    """

    path: Path
    version: int
    metadata: Mapping[str, Any]
    infos: Mapping[str, TensorInfo]
    data: U8  # the whole file
    parts: Mapping[str, GGUFFile] = field(default_factory=dict)  # which other file holds a tensor, by its name

    def tensor(self, name: str) -> Tensor:
        """A view. Raises TensorError if its number format is not supported."""
        if name in self.parts:
            return self.parts[name].tensor(name)
        info = self.infos[name]
        if info.format is None or info.nbytes is None:
            formats = ", ".join(BY_NAME)
            raise TensorError(self.path, name, f"number format {info.kind}", f"use a file in one of {formats}")
        raw = self.data[info.offset : info.offset + info.nbytes]
        shape = (*info.shape[:-1], info.format.row_bytes(info.shape[-1]))
        return Tensor(name, info.shape, info.format, raw.reshape(shape))


def read_gguf(path: Path) -> GGUFFile:
    """Maps `path` and checks its header. Raises ModelNotFoundError, ModelFileError or TensorError."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 24:
                raise ModelFileError(path, f"only {size} bytes, too short for a GGUF file", _REFETCH)
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: no such file; check the path or run `inhouse models`") from error
    except OSError as error:
        raise ModelFileError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    cursor = _Cursor(path, mapped)
    version, tensor_count, pair_count = _read_preamble(cursor)
    metadata = _read_metadata(cursor, pair_count)
    infos = _read_infos(cursor, tensor_count, _alignment(path, metadata))
    return GGUFFile(
        path, version, MappingProxyType(metadata), MappingProxyType(infos), np.frombuffer(mapped, dtype=np.uint8)
    )


class _Cursor:
    """Reads little-endian values one after the other, never past the end."""

    def __init__(self, path: Path, buffer: mmap.mmap) -> None:
        self.path = path
        self.buffer = buffer
        self.end = len(buffer)
        self.position = 0

    def fail(self, problem: str) -> NoReturn:
        raise ModelFileError(self.path, f"{problem} (near byte {self.position})", _REFETCH)

    @property
    def left(self) -> int:
        return self.end - self.position

    def take(self, length: int, what: str) -> bytes:
        if length > self.left:
            self.fail(f"{what} needs {length} bytes, {self.left} are left")
        start = self.position
        self.position += length
        return self.buffer[start : self.position]

    def scalar(self, code: str, what: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code), what))[0]

    def count(self, smallest: int, what: str) -> int:
        """A number of things of at least `smallest` bytes each, all of which must fit in what is left."""
        count = int(self.scalar("Q", what))
        if count * smallest > self.left:
            self.fail(f"{what} is {count}, more than fit in the {self.left} bytes left")
        return count

    def string(self, what: str) -> str:
        try:
            return str(self.take(self.count(1, f"length of {what}"), what), "utf-8")
        except UnicodeDecodeError:
            self.fail(f"{what} is not UTF-8")

    def strings(self, what: str) -> list[str]:
        """An array of strings, in one tight loop: vocabularies have hundreds of thousands."""
        count = self.count(8, f"number of strings in {what}")
        buffer, end, position = self.buffer, self.end, self.position
        length_at = struct.Struct("<Q").unpack_from
        result: list[str] = []
        try:
            for _ in range(count):
                if position + 8 > end:
                    self.fail(f"{what} is cut short")
                start = position + 8
                position = start + length_at(buffer, position)[0]
                if position > end:
                    self.fail(f"{what} is cut short")
                result.append(str(buffer[start:position], "utf-8"))
        except UnicodeDecodeError:
            self.fail(f"{what} holds a string that is not UTF-8")
        self.position = position
        return result


def _read_preamble(cursor: _Cursor) -> tuple[int, int, int]:
    """Version, number of tensors, number of key/value pairs."""
    magic = cursor.take(4, "the magic number")
    if magic != MAGIC:
        problem = f"not a GGUF file (it begins with {magic!r})"
        raise ModelFileError(cursor.path, problem, "give a .gguf file or a Hugging Face model directory")
    version = cursor.scalar("I", "the version")
    if version not in (2, 3):
        swapped = version in (2 << 24, 3 << 24)
        problem = "a big-endian GGUF file" if swapped else f"GGUF version {version}"
        raise ModelFileError(cursor.path, problem, "convert it again to little-endian GGUF version 3")
    tensor_count = cursor.count(24, "the number of tensors")
    return version, tensor_count, cursor.count(13, "the number of metadata keys")


def _read_metadata(cursor: _Cursor, pairs: int) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for index in range(pairs):
        key = cursor.string(f"metadata key {index}")
        if key in metadata:
            cursor.fail(f"metadata key {key!r} appears twice")
        metadata[key] = _read_value(cursor, cursor.scalar("I", f"type of {key!r}"), key, 0)
    return metadata


def _read_value(cursor: _Cursor, kind: int, key: str, depth: int) -> Any:
    """A scalar, a string or a list (of lists)."""
    what = f"value of {key!r}"
    if kind == STRING:
        return cursor.string(what)
    if kind in SCALARS:
        return cursor.scalar(SCALARS[kind], what)
    if kind != ARRAY:
        cursor.fail(f"{what} has unknown type {kind}")
    if depth == _MAX_NESTING:
        cursor.fail(f"{what} nests arrays too deeply")
    element = cursor.scalar("I", f"element type of {key!r}")
    if element == STRING:
        return cursor.strings(what)
    if element == ARRAY:
        count = cursor.count(12, f"length of {key!r}")
        return [_read_value(cursor, ARRAY, key, depth + 1) for _ in range(count)]
    if element not in SCALARS:
        cursor.fail(f"{what} has elements of unknown type {element}")
    dtype = np.dtype("<" + SCALARS[element])
    count = cursor.count(dtype.itemsize, f"length of {key!r}")
    # Any byte but 0 is true, as for a single bool: NumPy would keep such bytes as they are.
    raw = np.frombuffer(cursor.take(count * dtype.itemsize, what), dtype=np.uint8 if element == BOOL else dtype)
    return (raw != 0).tolist() if element == BOOL else raw.tolist()


def _alignment(path: Path, metadata: Mapping[str, Any]) -> int:
    alignment = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if type(alignment) is not int or not 1 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise ModelFileError(path, f"general.alignment is {alignment!r}, not a power of two", _REFETCH)
    return alignment


def _read_infos(cursor: _Cursor, count: int, alignment: int) -> dict[str, TensorInfo]:
    relative: dict[str, TensorInfo] = {}
    for index in range(count):
        info = _read_info(cursor, index)
        if info.name in relative:
            raise TensorError(cursor.path, info.name, "appears twice", _REFETCH)
        if info.offset % alignment:
            raise TensorError(
                cursor.path, info.name, f"offset {info.offset} is not a multiple of {alignment}", _REFETCH
            )
        relative[info.name] = info
    base = -(-cursor.position // alignment) * alignment
    infos = {i.name: TensorInfo(i.name, i.shape, i.type_id, base + i.offset) for i in relative.values()}
    _check_extents(cursor.path, sorted(infos.values(), key=lambda i: i.offset), cursor.end)
    return infos


def _read_info(cursor: _Cursor, index: int) -> TensorInfo:
    """One entry of the tensor table; its offset is relative to the data section."""
    name = cursor.string(f"name of tensor {index}")
    dimensions = cursor.scalar("I", f"number of dimensions of {name!r}")
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise TensorError(cursor.path, name, f"{dimensions} dimensions", _REFETCH)
    raw = cursor.take(8 * dimensions, f"shape of {name!r}")
    shape = tuple(reversed(struct.unpack(f"<{dimensions}Q", raw)))
    info = TensorInfo(name, shape, cursor.scalar("I", f"type of {name!r}"), cursor.scalar("Q", f"offset of {name!r}"))
    if 0 in shape:
        raise TensorError(cursor.path, name, f"empty shape {shape}", _REFETCH)
    if info.format is not None and shape[-1] % info.format.block_size:
        problem = f"rows of {shape[-1]} are not whole {info.format.name} blocks of {info.format.block_size}"
        raise TensorError(cursor.path, name, problem, _REFETCH)
    return info


def _check_extents(path: Path, ordered: list[TensorInfo], size: int) -> None:
    """Each tensor within the file and none over another; of an unknown type only the start is known."""
    end, before = 0, ""
    for info in ordered:
        if info.offset < end:
            raise TensorError(path, info.name, f"overlaps tensor {before!r}", _REFETCH)
        end, before = info.offset + (info.nbytes or 1), info.name
        if end > size:
            problem = f"ends at byte {end} of a file of {size} bytes"
            raise TensorError(path, info.name, problem, "the download was cut short: fetch it again")
