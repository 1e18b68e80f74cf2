"""From a model's name or path to an engine. Knows where things come from, and nothing of requests."""

from __future__ import annotations

import hashlib
from os import PathLike
from pathlib import Path

from inhouse.engine.packing import Progress, packed_or_not
from inhouse.engine.serving import Engine, Options
from inhouse.kernels.backend import Backend
from inhouse.kernels.cpu import CpuBackend
from inhouse.models import build_model
from inhouse.store.packed import PackedCopies, default_copies
from inhouse.store.store import resolve
from inhouse.tokenizer import Tokenizer
from inhouse.weights.checkpoint import Checkpoint, open_checkpoint
from inhouse.weights.gguf_parts import part_paths

_SAMPLE = 1 << 20  # bytes read of each end of a file for its identity


def open_engine(
    model: str | PathLike[str],
    options: Options | None = None,
    *,
    threads: int | None = None,
    kv: str = "f16",
    backend: Backend | None = None,
    pack: bool = True,
    packed_root: Path | None = None,
    packing: Progress | None = None,
    chat_template: str | None = None,
) -> Engine:
    """An engine for a model by name or path, on the processors unless a backend is given.

    `threads` and `kv`, how keys and values are kept ("f16", "int8"), are of the backend that is made here.
    For the processors a file is packed on first use, into `packed_root`; `packing(bytes done, in all)` is called then.
    `chat_template`, Jinja's source, takes the place of the model's own.

    Raises ModelNotFoundError, ModelFileError, UnsupportedModelError, ParameterError.
    """
    path = resolve(model)
    backend = backend or CpuBackend(threads=threads, kv=kv)
    if pack and isinstance(backend, CpuBackend):
        path = packed_or_not(path, PackedCopies(packed_root or default_copies()), packing)
    checkpoint = open_checkpoint(path)
    built = build_model(checkpoint.config, checkpoint.tensors, backend)
    kept = options is not None and options.cache_dir is not None
    name = identity(checkpoint.path, backend.layout) if kept else None  # reads of every file
    tokenizer = _tokenizer(checkpoint)
    if tokenizer is not None and chat_template is not None:
        tokenizer = tokenizer.with_template(chat_template)
    engine = Engine(built, tokenizer, options, name)
    checkpoint.close()
    return engine


def identity(path: Path, layout: str) -> str:
    """A name for the weights in a file or directory, and for what lays out the states that come of them.

    Sizes, times of change, and both ends of every file: cheap for twenty gigabytes, and different for any two models.
    """
    digest = hashlib.blake2b(layout.encode(), digest_size=16)
    for file in sorted(path.iterdir()) if path.is_dir() else part_paths(path):
        if not file.is_file():
            continue
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}".encode())
        with file.open("rb") as data:
            digest.update(data.read(_SAMPLE))
            data.seek(max(status.st_size - _SAMPLE, 0))
            digest.update(data.read(_SAMPLE))
    return digest.hexdigest()


def _tokenizer(checkpoint: Checkpoint) -> Tokenizer | None:
    """The tokenizer that came with the weights, if one did."""
    if checkpoint.format != "safetensors":
        known = "tokenizer.ggml.tokens" in checkpoint.metadata
        return Tokenizer.from_gguf(checkpoint.metadata) if known else None
    folder = checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent
    return Tokenizer.from_directory(folder) if (folder / "tokenizer.json").is_file() else None
