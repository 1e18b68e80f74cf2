"""The safetensors container: views on the file, and a damaged header is named, never believed."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from inhouse.errors import ModelFileError, ModelNotFoundError, TensorError
from inhouse.weights.safetensors import read_json, read_safetensors


def container(header: Any, data: bytes = bytes(16)) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data


def entry(shape: Any = (4,), extent: Any = (0, 16), dtype: Any = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": extent}


def test_files_of_the_safetensors_package_are_read_in_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = {
        "matrix": rng.normal(size=(3, 5)).astype(np.float32),
        "half": rng.normal(size=(2, 3, 4)).astype(np.float16),
        "ids": np.arange(3),
        "scalar": np.array(3, np.float32),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "np"})
    entries = read_safetensors(tmp_path / "a.safetensors")
    assert set(entries) == set(arrays)
    for name in ("matrix", "half"):
        tensor = entries[name].tensor()
        np.testing.assert_array_equal(tensor.float32(), arrays[name].astype(np.float32))
        assert np.shares_memory(tensor.data, entries[name].raw)
        assert not tensor.data.flags.writeable
    with pytest.raises(TensorError, match=r"'ids'.*I64"):
        entries["ids"].tensor()
    with pytest.raises(TensorError, match="'scalar'"):
        entries["scalar"].tensor()


DAMAGED: Mapping[str, tuple[bytes, str]] = {
    "empty": (b"", "too short"),
    "long header": (struct.pack("<Q", 1 << 62) + bytes(64), "header claims"),
    "not json": (container(b"{" * 50), "JSON"),
    "deep json": (container(b'{"a":' + b"[" * 100_000), "JSON"),
    "not utf-8": (container(b'{"\xff": 1}'), "JSON"),
    "long number": (container(b'{"t": ' + b"9" * 10_000 + b"}"), "JSON"),
    "a list": (container([]), "not an object"),
    "name twice": (container(b'{"a": 1, "a": 2}'), "repeated"),
    "odd entry": (container({"t": 1}), "'t'.*not an object"),
    "no shape": (container({"t": {"dtype": "F32", "data_offsets": [0, 16]}}), "'t'.*lacks"),
    "negative": (container({"t": entry((-4,))}), "lacks"),
    "fraction": (container({"t": entry((4.0,))}), "lacks"),
    "one offset": (container({"t": entry(extent=(0,))}), "lacks"),
    "beyond the end": (container({"t": entry((5,), (0, 20))}), "0 to 20 of 16"),
    "backwards": (container({"t": entry(extent=(16, 0))}), "16 to 0"),
    "wrong size": (container({"t": entry((3,))}), "does not take 16 bytes"),
    "huge shape": (container({"t": entry((1 << 62, 1 << 62))}), "does not take 16 bytes"),
    "dimensions": (container({"t": entry((1,) * 1000)}), "1000 dimensions"),
    "gap": (container({"t": entry((2,), (8, 16))}), "begins at byte 8"),
    "overlap": (container({"a": entry((3,), (0, 12)), "b": entry((2,), (8, 16))}), "'b'.*begins at byte 8"),
    "rest": (container({"t": entry((2,), (0, 8))}), "16 bytes of data, 8"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_is_named(tmp_path: Path, case: str) -> None:
    raw, problem = DAMAGED[case]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(raw)
    with pytest.raises(ModelFileError, match=problem) as caught:
        read_safetensors(path)
    assert caught.value.path == str(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    raw = container({"a": entry((2,), (0, 8)), "b": entry((2,), (8, 16))})
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(ModelFileError):
            read_safetensors(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"none\.safetensors"):
        read_safetensors(tmp_path / "none.safetensors")


def test_json_of_any_width_is_read(tmp_path: Path) -> None:
    assert read_json(tmp_path, b'{"a": [1, 2.5, null, "\\u00fc"]}') == {"a": [1, 2.5, None, "ü"]}
