"""A whole model in packed panels: one safetensors file that needs nothing beside it. Knows neither stores nor kernels.

    "__metadata__"      inhouse.packed (version), inhouse.config, inhouse.formats, inhouse.source: JSON each
    canonical names     the tensors; of number formats that safetensors does not name, as U8 (..., rows, row_bytes)
    "inhouse.metadata"  the source's key/values (tokenizer, chat template) as JSON, in U8

Matrices whose rows are not whole panels, floats, and an embedding that is only looked up stay as they were. Data begin
at a multiple of 64 bytes. The file appears under its name only when complete.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from inhouse.errors import ModelFileError, ParameterError, TensorError
from inhouse.weights import formats, packed
from inhouse.weights.atomic import replacing
from inhouse.weights.config import DeltaNetConfig, ModelConfig, MoEConfig
from inhouse.weights.expected import check_config, check_shapes
from inhouse.weights.formats import U8, Format
from inhouse.weights.safetensors import Entry, read_json, read_metadata, read_safetensors
from inhouse.weights.tensor import Tensor

VERSION = "1"
_MARK = "inhouse.packed"
_METADATA = "inhouse.metadata"
_REMEDY = "pack the model again with `inhouse convert`"
_SLAB = 64 << 20  # bytes packed at a time
_PLAIN = ("F32", "F16", "BF16")  # formats that safetensors names as we do
_FORMATS: Mapping[str, Format] = {**formats.BY_NAME, **{name: layout.format for name, layout in packed.BY_NAME.items()}}

Pack = Callable[[Format, U8], U8]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PackPlan:
    """What packing a model would write. `gain`: bytes of it that are panels."""

    config: ModelConfig
    targets: Mapping[str, tuple[Tensor, Format]]  # in the order of the file
    metadata: Mapping[str, Any]

    @cached_property
    def nbytes(self) -> int:
        return sum(map(_nbytes, self.targets.values())) + len(self.blob)

    @cached_property
    def blob(self) -> bytes:
        return json.dumps(dict(self.metadata), ensure_ascii=False).encode("utf-8", "surrogatepass")

    @property
    def gain(self) -> int:
        return sum(_nbytes(target) for target in self.targets.values() if target[1].panel_rows > 1)


def plan_packing(config: ModelConfig, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> PackPlan:
    """Decides each tensor's format. Tensors of an odd size go last, so that all others begin at a cache line."""
    targets = {}
    for name, tensor in tensors.items():
        looked_up = name == "model.embed_tokens.weight" and not config.tie_word_embeddings
        whole = len(tensor.shape) > 1 and not looked_up
        target = packed.packed_format(tensor.format, tensor.shape[-2]) if whole else None
        targets[name] = (tensor, target or tensor.format)
    ordered = sorted(targets, key=lambda name: _nbytes(targets[name]) % 64 != 0)
    return PackPlan(config, {name: targets[name] for name in ordered}, metadata)


def _nbytes(target: tuple[Tensor, Format]) -> int:
    tensor, fmt = target
    return prod(tensor.shape[:-1]) * fmt.row_bytes(tensor.shape[-1])


def write_packed(
    path: Path, plan: PackPlan, source: Mapping[str, Any], pack: Pack, progress: Progress | None = None
) -> None:
    """Writes `path`, replacing what was there when the new file is complete; never holds more than a slab of it.

    `source`: what the model came from, kept as it is. Raises ParameterError if nothing would be packed.
    """
    if plan.gain == 0:
        raise ParameterError(f"{source.get('path', path)} has no weights that can be packed; use it as it is")
    with replacing(path) as file:
        file.write(_header(plan, source))
        _write_data(file, plan, pack, progress)


def _header(plan: PackPlan, source: Mapping[str, Any]) -> bytes:
    header: dict[str, Any] = {
        "__metadata__": {
            _MARK: VERSION,
            "inhouse.config": json.dumps(asdict(plan.config)),
            "inhouse.formats": json.dumps({name: fmt.name for name, (_, fmt) in plan.targets.items()}),
            "inhouse.source": json.dumps(dict(source)),
        }
    }
    at = 0
    for name, (tensor, fmt) in plan.targets.items():
        size = _nbytes((tensor, fmt))
        plain = fmt.name in _PLAIN
        shape = tensor.shape if plain else (*tensor.shape[:-1], fmt.row_bytes(tensor.shape[-1]))
        header[name] = {"dtype": fmt.name if plain else "U8", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    header[_METADATA] = {"dtype": "U8", "shape": [len(plan.blob)], "data_offsets": [at, at + len(plan.blob)]}
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-(8 + len(raw)) % 64)
    return len(raw).to_bytes(8, "little") + raw


def _write_data(file: IO[bytes], plan: PackPlan, pack: Pack, progress: Progress | None) -> None:
    done = 0
    for tensor, fmt in plan.targets.values():
        for rows in _slabs(tensor):
            out = pack(tensor.format, rows) if fmt.panel_rows > 1 else np.ascontiguousarray(rows)
            file.write(out.data)
            done += out.size
            if progress is not None:
                progress(done, plan.nbytes)
    file.write(plan.blob)


def _slabs(tensor: Tensor) -> Iterator[U8]:
    """The tensor's rows (R, row_bytes), some whole panels at a time, as views."""
    matrices = tensor.data if tensor.data.ndim > 2 else tensor.data[None]
    for matrix in matrices:
        rows = matrix.reshape(-1, matrix.shape[-1])
        step = max(1, _SLAB // max(1, rows.shape[1]) // packed.ROWS) * packed.ROWS
        for first in range(0, len(rows), step):
            yield rows[first : first + step]


def is_packed(path: Path) -> bool:
    """Whether a .safetensors file is one of ours."""
    return _MARK in read_metadata(path)


def packed_source(path: Path) -> dict[str, Any]:
    """What a packed file was made from. Raises ModelFileError."""
    return _json(path, read_metadata(path), "inhouse.source")


def load_packed(path: Path) -> tuple[ModelConfig, dict[str, Tensor], dict[str, Any]]:
    """Configuration, canonical tensors and the source's key/values. Raises ModelFileError, TensorError."""
    metadata = read_metadata(path)
    if metadata.get(_MARK) != VERSION:
        raise ModelFileError(path, f"packed in version {metadata.get(_MARK)}, this program reads {VERSION}", _REMEDY)
    entries = read_safetensors(path)
    config = _config(path, _json(path, metadata, "inhouse.config"))
    check_config(path, config)
    names = _json(path, metadata, "inhouse.formats")
    if _METADATA not in entries:
        raise TensorError(path, _METADATA, "missing", _REMEDY)
    keys = read_json(path, entries.pop(_METADATA).raw.tobytes())
    tensors = {name: _tensor(entry, names.get(name)) for name, entry in entries.items()}
    check_shapes(path, config, {name: tensor.shape for name, tensor in tensors.items()})
    return config, tensors, keys


def _tensor(entry: Entry, name: object) -> Tensor:
    if name in _PLAIN:
        return entry.tensor()
    fmt = _FORMATS.get(name) if isinstance(name, str) else None
    shape = entry.shape
    sound = (
        fmt is not None
        and entry.dtype == "U8"
        and len(shape) >= 2
        and prod(shape) == entry.raw.size > 0
        and shape[-1] % fmt.block_bytes == 0
        and shape[-2] % fmt.panel_rows == 0
    )
    if fmt is None or not sound:
        raise TensorError(entry.path, entry.name, f"shape {shape} of {entry.dtype} is not one of {name!r}", _REMEDY)
    elements = shape[-1] // fmt.block_bytes * fmt.block_size
    return Tensor(entry.name, (*shape[:-1], elements), fmt, entry.raw.reshape(shape))


def _json(path: Path, metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    if key not in metadata:
        raise ModelFileError(path, f"its header has no {key}", _REMEDY)
    return read_json(path, metadata[key].encode())


def _config(path: Path, raw: dict[str, Any]) -> ModelConfig:
    with suppress(TypeError, ValueError, KeyError):
        moe, delta = raw.pop("moe"), raw.pop("delta")
        values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
        config = ModelConfig(
            **values,
            moe=None if moe is None else MoEConfig(**moe),
            delta=None if delta is None else DeltaNetConfig(**delta),
        )
        _check_types(asdict(config), asdict(_EXAMPLE))
        return config
    raise ModelFileError(path, "its inhouse.config does not describe a model", _REMEDY)


_EXAMPLE = ModelConfig(
    "qwen2", 1, 1, 1, 1, 1, 1, 1, 1.0, 1.0, 1, 1, False, ("full_attention",), moe=MoEConfig(1, 1, 1),
    delta=DeltaNetConfig(1, 1, 1, 1, 1),
)  # fmt: skip


def _check_types(values: Mapping[str, Any], example: Mapping[str, Any]) -> None:
    """Raises TypeError where a value is of another type than its example."""
    for key, value in values.items():
        wanted = type(example[key])
        if isinstance(value, dict):
            _check_types(value, example[key])
        elif value is not None and type(value) is not wanted and not (wanted is float and type(value) is int):
            raise TypeError(key)
