"""Safetensors files, read in place: one file, or the shards that an index names, as views on mapped files.

Knows the container, not what its tensor names mean. Nothing in a header is trusted.

Source: the safetensors format description (8 bytes of header length, a JSON header, the data).
"""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

import numpy as np

from inhouse.errors import ModelFileError, ModelNotFoundError, TensorError
from inhouse.weights.formats import BF16, F16, F32, U8, Format
from inhouse.weights.tensor import Tensor

INDEX_NAME = "model.safetensors.index.json"

_FORMATS: Mapping[str, Format] = MappingProxyType({"F32": F32, "F16": F16, "BF16": BF16})
_REFETCH = "download the file again"
_MAX_HEADER = 100_000_000  # the limit of the reference implementation
_MAX_DIMENSIONS = 16


@dataclass(frozen=True, eq=False)
class Entry:
    """One tensor as it lies in a file; `raw` is a view on the mapping."""

    path: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    raw: U8

    def tensor(self) -> Tensor:
        """A view. Raises TensorError if its number format is not supported."""
        if self.dtype not in _FORMATS:
            problem = f"number format {self.dtype}"
            raise TensorError(self.path, self.name, problem, f"use a model in one of {', '.join(_FORMATS)}")
        if not self.shape or 0 in self.shape:
            raise TensorError(self.path, self.name, f"shape {self.shape}", _REFETCH)
        fmt = _FORMATS[self.dtype]
        return Tensor(self.name, self.shape, fmt, self.raw.reshape(*self.shape[:-1], self.shape[-1] * fmt.block_bytes))


def read_safetensors(path: Path) -> dict[str, Entry]:
    """The tensors of one file. Raises ModelNotFoundError or ModelFileError."""
    header, data = _read_header(path)
    header.pop("__metadata__", None)
    entries = {name: _entry(path, name, value, data) for name, value in header.items()}
    _check_extents(path, header, len(data))
    return entries


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a file carries beside its tensors. Raises ModelNotFoundError or ModelFileError."""
    values = _read_header(path)[0].get("__metadata__")
    items = values.items() if isinstance(values, dict) else ()
    return {key: value for key, value in items if isinstance(value, str)}


def _read_header(path: Path) -> tuple[dict[str, Any], U8]:
    """The header, and the mapped bytes after it."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            if size < 10:
                raise ModelFileError(path, f"only {size} bytes, too short for a safetensors file", _REFETCH)
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: no such file; download the model again") from error
    except OSError as error:
        raise ModelFileError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    length = struct.unpack("<Q", mapped[:8])[0]
    if length > min(size - 8, _MAX_HEADER):
        raise ModelFileError(path, f"its header claims {length} bytes of a file of {size}", _REFETCH)
    return read_json(path, mapped[8 : 8 + length]), np.frombuffer(mapped, dtype=np.uint8)[8 + length :]


def read_indexed(path: Path) -> dict[str, Entry]:
    """The tensors of all shards that an index file names. Raises ModelNotFoundError or ModelFileError."""
    weight_map = read_json(path, _read_bytes(path)).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ModelFileError(path, "has no weight_map", _REFETCH)
    shards: dict[str, dict[str, Entry]] = {}
    entries: dict[str, Entry] = {}
    for name, shard in weight_map.items():
        if not isinstance(shard, str) or shard != Path(shard).name or not shard.endswith(".safetensors"):
            raise ModelFileError(path, f"tensor {name!r} is said to lie in {shard!r}", _REFETCH)
        if shard not in shards:
            shards[shard] = read_safetensors(path.parent / shard)
        if name not in shards[shard]:
            raise TensorError(path.parent / shard, name, "missing, although the index lists it", _REFETCH)
        entries[name] = shards[shard][name]
    return entries


def read_json(path: Path, raw: bytes) -> dict[str, Any]:
    """A JSON object without repeated keys. Raises ModelFileError."""
    try:
        value = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(path, f"its JSON cannot be read ({error})", _REFETCH) from error
    if not isinstance(value, dict):
        raise ModelFileError(path, "its JSON is not an object", _REFETCH)
    return value


def read_json_file(path: Path) -> dict[str, Any]:
    """As `read_json`, for a file. Raises also ModelNotFoundError."""
    return read_json(path, _read_bytes(path))


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MAX_HEADER:
            raise ModelFileError(path, "is far larger than such a file can be", _REFETCH)
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelNotFoundError(f"{path}: no such file; a model directory needs it, so download it again") from error
    except OSError as error:
        raise ModelFileError(path, f"cannot be read ({error.strerror})", "check its permissions") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key is repeated")
    return result


def _entry(path: Path, name: str, value: Any, data: U8) -> Entry:
    if not isinstance(value, dict):
        raise TensorError(path, name, "its header entry is not an object", _REFETCH)
    dtype, shape, extent = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or not _whole_numbers(shape) or not _whole_numbers(extent) or len(extent) != 2:
        raise TensorError(path, name, "its header entry lacks dtype, shape or data_offsets", _REFETCH)
    start, end = extent
    if not start <= end <= len(data):
        raise TensorError(path, name, f"bytes {start} to {end} of {len(data)} bytes of data", _REFETCH)
    if len(shape) > _MAX_DIMENSIONS:
        raise TensorError(path, name, f"{len(shape)} dimensions", _REFETCH)
    if dtype in _FORMATS and prod(shape) * _FORMATS[dtype].block_bytes != end - start:
        raise TensorError(path, name, f"shape {tuple(shape)} in {dtype} does not take {end - start} bytes", _REFETCH)
    return Entry(path, name, dtype, tuple(shape), data[start:end])


def _whole_numbers(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 1 << 63 for v in value)


def _check_extents(path: Path, header: Mapping[str, Any], size: int) -> None:
    """Tensors lie one after the other, without a gap or an overlap, to the end of the file."""
    end = 0
    for name, (start, stop) in sorted(((n, v["data_offsets"]) for n, v in header.items()), key=lambda item: item[1]):
        if start != end:
            raise TensorError(path, name, f"begins at byte {start} of the data, not {end}", _REFETCH)
        end = stop
    if end != size:
        raise ModelFileError(path, f"{size} bytes of data, {end} of them in tensors", _REFETCH)
