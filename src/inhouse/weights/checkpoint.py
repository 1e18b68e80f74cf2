"""A model's configuration and tensors, whatever file they lie in. Knows neither devices nor graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from inhouse.errors import ModelNotFoundError
from inhouse.weights.config import ModelConfig
from inhouse.weights.formats import Format
from inhouse.weights.gguf_model import load_gguf
from inhouse.weights.gguf_parts import open_gguf
from inhouse.weights.huggingface import load_huggingface
from inhouse.weights.packed_file import is_packed, load_packed
from inhouse.weights.tensor import Tensor


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """An open model file.

    Tensors are views on the mapped file under canonical names (see `expected`); norm weights are effective, that is
    the (1 + w) of architectures that apply it. Tensors keep the mapping alive: `close` drops those held here, and the
    file is unmapped when the last one elsewhere is gone too. Where a safetensors file keeps one matrix per expert,
    their stack is a new copy each time it is taken from `tensors`.
    """

    path: Path
    format: Literal["gguf", "safetensors", "packed"]
    config: ModelConfig
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]  # GGUF's keys and values, also of a packed file; empty for others
    skipped: tuple[str, ...]  # tensors of parts that text generation does not use
    formats: Mapping[str, Format]  # of each canonical tensor, known without touching its data

    def close(self) -> None:
        """Lets go of the tensors. May be called twice."""
        object.__setattr__(self, "tensors", {})

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def open_checkpoint(path: Path) -> Checkpoint:
    """Opens a .gguf file, a packed file, a Hugging Face directory, or a .safetensors file with config.json beside it.

    Only the headers are read. Raises ModelNotFoundError, ModelFileError (TensorError for one tensor) or
    UnsupportedModelError.
    """
    if not path.exists():
        raise ModelNotFoundError(f"{path}: no such file; check the path or run `inhouse models`")
    if path.is_file() and path.suffix == ".safetensors" and is_packed(path):
        config, tensors, metadata = load_packed(path)
        return Checkpoint(path, "packed", config, tensors, metadata, (), _formats(tensors))
    if path.is_dir() or path.suffix == ".safetensors":
        config, stacked, skipped = load_huggingface(path)
        return Checkpoint(path, "safetensors", config, stacked, {}, skipped, stacked.formats())
    file = open_gguf(path)
    config, tensors, skipped = load_gguf(file)
    return Checkpoint(path, "gguf", config, tensors, file.metadata, skipped, _formats(tensors))


def _formats(tensors: Mapping[str, Tensor]) -> dict[str, Format]:
    return {name: tensor.format for name, tensor in tensors.items()}
