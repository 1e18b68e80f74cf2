"""Models in several files, split by the peer's own package."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import gguf
import numpy as np
import pytest

from inhouse.errors import ModelFileError
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.contents import read_contents
from inhouse.weights.gguf import read_gguf
from inhouse.weights.gguf_parts import open_gguf

_TYPES = {bool: gguf.GGUFValueType.BOOL, int: gguf.GGUFValueType.UINT32, float: gguf.GGUFValueType.FLOAT32}


@pytest.fixture
def parts(tiny: Mapping[str, Path], tmp_path: Path) -> list[Path]:
    """A tiny model in three files and more, in the package's own way."""
    whole = read_gguf(tiny["tiny-qwen2"])
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "qwen2", split_max_tensors=20)
    for key, value in whole.metadata.items():
        if isinstance(value, str):
            if key != "general.architecture":
                writer.add_string(key, value)
        elif isinstance(value, list):
            writer.add_array(key, value)
        else:
            writer.add_key_value(key, value, _TYPES[type(value)])
    for name in whole.infos:
        tensor = whole.tensor(name)
        kind = gguf.GGMLQuantizationType(tensor.format.gguf_id)
        writer.add_tensor(name, np.array(tensor.data), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(tmp_path.glob("m-*.gguf"))


def test_any_part_opens_the_whole_model(parts: list[Path], tiny: Mapping[str, Path]) -> None:
    assert len(parts) > 2
    with open_checkpoint(tiny["tiny-qwen2"]) as whole:
        for part in (parts[0], parts[-1]):
            with open_checkpoint(part) as joined:
                assert joined.config == whole.config
                assert joined.tensors.keys() == whole.tensors.keys()
                for name, tensor in whole.tensors.items():
                    np.testing.assert_array_equal(joined.tensors[name].data, tensor.data, err_msg=name)


def test_a_part_that_is_missing_is_named(parts: list[Path]) -> None:
    parts[1].unlink()
    with pytest.raises(ModelFileError, match=f"part 2 of {len(parts)} is missing: {parts[1]}"):
        open_gguf(parts[0])


def test_parts_under_other_names_and_of_other_models_are_told(parts: list[Path], tmp_path: Path) -> None:
    alone = tmp_path / "alone.gguf"
    shutil.copy(parts[0], alone)
    with pytest.raises(ModelFileError, match=f"one of {len(parts)} parts, but not named as one"):
        open_gguf(alone)
    shutil.copy(parts[2], parts[1])
    with pytest.raises(ModelFileError, match="says that it is part 2"):
        open_gguf(parts[0])


def test_its_contents_are_those_of_all_parts(parts: list[Path], tiny: Mapping[str, Path]) -> None:
    one, several = read_contents(tiny["tiny-qwen2"]), read_contents(parts[0])
    assert several.parts == len(parts)
    assert (several.tensors, several.parameters) == (one.tensors, one.parameters)
    assert (several.bytes_by_format, several.layers) == (one.bytes_by_format, one.layers)
