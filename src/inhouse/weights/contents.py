"""What is in a model file, whether it can be run or not. Knows no graphs and reads headers only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from inhouse.weights.gguf import GGUFFile
from inhouse.weights.gguf_parts import open_gguf, part_paths
from inhouse.weights.safetensors import INDEX_NAME, Entry, read_indexed, read_json_file, read_safetensors


@dataclass(frozen=True)
class Contents:
    """What the headers say; sizes in bytes. What is not said is "" or None."""

    format: str
    architecture: str
    name: str
    quantization: str  # how a converter or a configuration calls it
    parts: int  # files
    tensors: int
    parameters: int  # elements of tensors: more than numbers where a format packs several into one
    bytes_by_format: tuple[tuple[str, int], ...]  # largest first
    layers: int | None
    context: int | None  # tokens


def read_contents(path: Path) -> Contents:
    """Of a .gguf or .safetensors file, or a directory of the latter. Raises ModelNotFoundError, ModelFileError."""
    if path.is_file() and path.suffix != ".safetensors":
        return _of_gguf(open_gguf(path))
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and (path / INDEX_NAME).is_file():
        entries: Iterable[Entry] = read_indexed(path / INDEX_NAME).values()
    else:
        files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
        entries = [entry for file in files for entry in read_safetensors(file).values()]
    config = read_json_file(folder / "config.json") if (folder / "config.json").is_file() else {}
    return _of_safetensors(list(entries), config)


def _of_gguf(file: GGUFFile) -> Contents:
    metadata = file.metadata
    architecture = str(metadata.get("general.architecture", ""))
    by_format: Counter[str] = Counter()
    for part in {id(part): part for part in (file, *file.parts.values())}.values():
        own = [info for name, info in part.infos.items() if part is not file or name not in file.parts]
        own.sort(key=lambda info: info.offset)
        ends = [*(info.offset for info in own[1:]), part.data.size]
        for info, end in zip(own, ends, strict=True):
            by_format[info.kind] += end - info.offset if info.nbytes is None else info.nbytes
    return Contents(
        "gguf",
        architecture,
        str(metadata.get("general.name", "")),
        str(metadata.get("general.size_label", "")),
        len(part_paths(file.path)) if file.parts else 1,
        len(file.infos),
        sum(prod(info.shape) for info in file.infos.values()),
        tuple(by_format.most_common()),
        _whole(metadata.get(f"{architecture}.block_count")),
        _whole(metadata.get(f"{architecture}.context_length")),
    )


def _of_safetensors(entries: list[Entry], config: Mapping[str, Any]) -> Contents:
    by_format: Counter[str] = Counter()
    for entry in entries:
        by_format[entry.dtype] += entry.raw.nbytes
    text = config.get("text_config")
    inner = text if isinstance(text, dict) else config
    named = config.get("architectures")
    quantization = config.get("quantization_config")
    return Contents(
        "safetensors",
        str(named[0]) if isinstance(named, list) and named else str(config.get("model_type", "")),
        str(config.get("_name_or_path", "")),
        str(quantization.get("quant_method", "")) if isinstance(quantization, dict) else "",
        len({entry.path for entry in entries}),
        len(entries),
        sum(prod(entry.shape) for entry in entries),
        tuple(by_format.most_common()),
        _whole(inner.get("num_hidden_layers")),
        _whole(inner.get("max_position_embeddings")),
    )


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None
