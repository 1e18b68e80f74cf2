"""Packed files: the same model as the source's, and nothing odd believed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from inhouse.errors import ModelFileError, ParameterError
from inhouse.kernels.cpu import pack
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.packed_file import packed_source, plan_packing, write_packed
from inhouse.weights.synthetic import synthesize

SOURCE = {"path": "there.gguf", "size": 1, "mtime_ns": 2}


def packed(source: Path) -> Path:
    target = source.with_suffix(".packed.safetensors")
    with open_checkpoint(source) as checkpoint:
        write_packed(target, plan_packing(checkpoint.config, checkpoint.tensors, checkpoint.metadata), SOURCE, pack)
    return target


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "model.gguf"
    synthesize("tiny-qwen35moe", path, layers=4, mix="Q4_K_M")
    return path


@pytest.mark.parametrize("name", ["tiny-qwen2", "tiny-qwen35", "tiny-qwen3moe"])
@pytest.mark.parametrize("mix", ["Q4_K_M", "Q5_0", "IQ4_XS", "Q8_0"])
def test_holds_the_same_values(tmp_path: Path, name: str, mix: str) -> None:
    path = tmp_path / "model.gguf"
    synthesize(name, path, layers=2, mix=mix)
    with open_checkpoint(path) as plain, open_checkpoint(packed(path)) as opened:
        assert (opened.format, opened.config, dict(opened.metadata)) == ("packed", plain.config, plain.metadata)
        assert opened.tensors.keys() == plain.tensors.keys()
        panels = [tensor for tensor in opened.tensors.values() if tensor.format.panel_rows > 1]
        assert len(panels) >= 8
        for key, tensor in opened.tensors.items():
            np.testing.assert_array_equal(tensor.float32(), plain.tensors[key].float32(), err_msg=key)


def test_needs_nothing_beside_it(source: Path, tmp_path: Path) -> None:
    target = packed(source).rename(tmp_path / "alone.safetensors")
    with open_checkpoint(target) as opened:
        assert len(opened.metadata["tokenizer.ggml.tokens"]) == opened.config.vocab_size
    assert packed_source(target) == SOURCE


def test_matrices_begin_at_cache_lines(source: Path) -> None:
    raw = packed(source).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    panels = {name for name, fmt in json.loads(header["__metadata__"]["inhouse.formats"]).items() if "_P16" in fmt}
    assert panels
    assert {(8 + length + header[name]["data_offsets"][0]) % 64 for name in panels} == {0}


def test_an_embedding_that_is_only_looked_up_stays(source: Path) -> None:
    with open_checkpoint(packed(source)) as opened:
        assert opened.formats["model.embed_tokens.weight"].panel_rows == 1
        assert opened.formats["lm_head.weight"].panel_rows == 16


def test_writes_nothing_where_there_is_nothing_to_pack(tmp_path: Path) -> None:
    path, target = tmp_path / "model.gguf", tmp_path / "out.safetensors"
    synthesize("tiny-qwen2", path, layers=1, mix="F16")
    with open_checkpoint(path) as plain, pytest.raises(ParameterError, match="no weights that can be packed"):
        write_packed(target, plan_packing(plain.config, plain.tensors, plain.metadata), SOURCE, pack)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("inhouse.packed", "2", "this program reads 1"),
        ("inhouse.config", '{"vocab_size": "many"}', "does not describe a model"),
        ("inhouse.config", "[]", "not an object"),
        ("inhouse.formats", "{}", "is not one of None"),
    ],
)
def test_refuses_a_header_that_makes_no_sense(source: Path, tmp_path: Path, key: str, value: str, message: str) -> None:
    raw = packed(source).read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    header["__metadata__"][key] = value
    changed = json.dumps(header).encode()
    target = tmp_path / "changed.safetensors"
    target.write_bytes(len(changed).to_bytes(8, "little") + changed + raw[8 + length :])
    with pytest.raises(ModelFileError, match=message):
        open_checkpoint(target)
