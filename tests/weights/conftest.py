"""Tiny model files, and ways to write altered ones."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from weight_files import TINY, Alter, Rewrite, SaveSafetensors

from inhouse.weights.gguf import read_gguf
from inhouse.weights.gguf_writer import TensorSource, write_gguf
from inhouse.weights.synthetic import synthesize


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """One random GGUF file of four layers per architecture, by preset name."""
    folder = tmp_path_factory.mktemp("tiny")
    for name in TINY:
        synthesize(name, folder / f"{name}.gguf")
    return {name: folder / f"{name}.gguf" for name in TINY}


@pytest.fixture
def rewrite(tiny: Mapping[str, Path], tmp_path: Path) -> Rewrite:
    """Writes a copy of a tiny file after `alter(metadata, tensors)` changed it."""

    def write(name: str, alter: Alter) -> Path:
        file = read_gguf(tiny[name])
        metadata, tensors = dict(file.metadata), {n: file.tensor(n) for n in file.infos}
        alter(metadata, tensors)
        sources = [TensorSource(n, t.shape, t.format, lambda t=t: (t.data,)) for n, t in tensors.items()]
        write_gguf(tmp_path / "altered.gguf", metadata, sources)
        return tmp_path / "altered.gguf"

    return write


@pytest.fixture
def save_safetensors() -> SaveSafetensors:
    """Writes arrays as a safetensors file; uint16 arrays are bfloat16 bits."""

    def save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
        kinds = {"float32": "F32", "float16": "F16", "uint16": "BF16"}
        header, at = {}, 0
        for name, array in arrays.items():
            extent = [at, at + array.nbytes]
            header[name] = {"dtype": kinds[array.dtype.name], "shape": list(array.shape), "data_offsets": extent}
            at += array.nbytes
        raw = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(raw)) + raw + b"".join(a.tobytes() for a in arrays.values()))

    return save
