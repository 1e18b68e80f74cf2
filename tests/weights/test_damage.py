"""Whatever a file holds, opening it ends soon: with the model, or with an error meant for a user."""

from __future__ import annotations

import json
import struct
import time
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from weight_files import SaveSafetensors

from inhouse.errors import InhouseError
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.expected import expected_tensors
from inhouse.weights.gguf import read_gguf

ROUNDS = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SECONDS = 2.0
MEMORY = 64 << 20

CONFIG = {
    "model_type": "qwen3", "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 24, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "max_position_embeddings": 64, "tie_word_embeddings": True, "layer_types": ["full_attention"],
}  # fmt: skip

Edit = Callable[[bytearray], None]


def opens_or_says_why(path: Path) -> None:
    """Opens the model at `path` and touches every tensor, or meets an error of ours; within time and memory."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with open_checkpoint(path) as checkpoint:
            shapes = expected_tensors(checkpoint.config)
            assert {name: t.shape for name, t in checkpoint.tensors.items()} == shapes
            for tensor in checkpoint.tensors.values():
                assert tensor.data.reshape(-1)[-1:].size == 1
    except InhouseError as error:
        assert str(path) in str(error) or str(path.parent) in str(error)  # noqa: PT017 - either end is right
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert time.process_time() - start < SECONDS
    assert peak < MEMORY


@st.composite
def edits(draw: st.DrawFn, head: int) -> Edit:
    """Overwrites a few bytes of the first `head`, writes an extreme number there, cuts the end, or repeats a part."""
    kind = draw(st.sampled_from(["bytes", "number", "cut", "repeat"]))
    at = draw(st.integers(0, head - 1))
    if kind == "bytes":
        new = draw(st.binary(min_size=1, max_size=8))
        return lambda raw: raw.__setitem__(slice(at, at + len(new)), new)
    if kind == "number":
        number = draw(st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1]))
        return lambda raw: raw.__setitem__(slice(at, at + 8), struct.pack("<Q", number))
    if kind == "cut":
        return lambda raw: raw.__delitem__(slice(at, None))
    return lambda raw: raw.__setitem__(slice(at, at), raw[at // 2 : at])


@pytest.fixture(scope="module")
def small_gguf(tiny: Mapping[str, Path]) -> tuple[bytes, int]:
    """A hybrid model with all kinds of keys, and the length of its header."""
    path = tiny["tiny-qwen35"]
    return path.read_bytes(), min(info.offset for info in read_gguf(path).infos.values())


@ROUNDS
@given(data=st.data())
def test_gguf_with_edits(small_gguf: tuple[bytes, int], tmp_path: Path, data: st.DataObject) -> None:
    raw, head = small_gguf
    changed = bytearray(raw)
    for edit in data.draw(st.lists(edits(head), min_size=1, max_size=3)):
        edit(changed)
    (tmp_path / "m.gguf").write_bytes(changed)
    opens_or_says_why(tmp_path / "m.gguf")


@pytest.mark.parametrize("seed", range(60))
def test_gguf_with_noise_in_its_keys_and_tensor_table(small_gguf: tuple[bytes, int], tmp_path: Path, seed: int) -> None:
    """The vocabulary is most of the header: here noise falls on the parts before and after it."""
    raw, head = small_gguf
    rng = np.random.default_rng(seed)
    changed = bytearray(raw)
    for _ in range(rng.integers(1, 4)):
        start = int(rng.choice([rng.integers(0, 1500), rng.integers(head - 4000, head)]))
        length = int(rng.integers(1, 6))
        changed[start : start + length] = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
    (tmp_path / "m.gguf").write_bytes(changed)
    opens_or_says_why(tmp_path / "m.gguf")


def test_noise_in_the_weights_is_only_other_numbers(small_gguf: tuple[bytes, int], tmp_path: Path) -> None:
    raw, head = small_gguf
    noise = np.random.default_rng(0).integers(0, 256, len(raw) - head, dtype=np.uint8).tobytes()
    (tmp_path / "m.gguf").write_bytes(raw[:head] + noise)
    with open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        for tensor in checkpoint.tensors.values():
            assert tensor.float32().shape == tensor.shape


@given(junk=st.binary(max_size=400))
@ROUNDS
def test_gguf_of_junk(tmp_path: Path, junk: bytes) -> None:
    for start in (b"", b"GGUF", b"GGUF\3\0\0\0", b"GGUF\3\0\0\0" + struct.pack("<QQ", 1, 2)):
        (tmp_path / "m.gguf").write_bytes(start + junk)
        opens_or_says_why(tmp_path / "m.gguf")


@pytest.fixture
def folder(tmp_path: Path, save_safetensors: SaveSafetensors) -> Path:
    h, inner, heads = 16, 24, 8
    shapes = {
        "input_layernorm": (h,), "post_attention_layernorm": (h,), "self_attn.q_proj": (2 * heads, h),
        "self_attn.k_proj": (heads, h), "self_attn.v_proj": (heads, h), "self_attn.o_proj": (h, 2 * heads),
        "self_attn.q_norm": (heads,), "self_attn.k_norm": (heads,), "mlp.gate_proj": (inner, h),
        "mlp.up_proj": (inner, h), "mlp.down_proj": (h, inner),
    }  # fmt: skip
    arrays = {f"model.layers.0.{n}.weight": np.ones(s, np.float32) for n, s in shapes.items()}
    arrays |= {"model.embed_tokens.weight": np.ones((32, h), np.float32), "model.norm.weight": np.ones(h, np.float32)}
    save_safetensors(tmp_path / "model.safetensors", arrays)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert open_checkpoint(tmp_path).config.vocab_size == 32
    return tmp_path


@ROUNDS
@given(data=st.data())
def test_safetensors_with_edits(folder: Path, data: st.DataObject) -> None:
    path = folder / "model.safetensors"
    kept = folder / "kept"
    raw = kept.read_bytes() if kept.exists() else path.read_bytes()
    kept.write_bytes(raw)
    changed = bytearray(raw)
    for edit in data.draw(st.lists(edits(8 + struct.unpack("<Q", raw[:8])[0]), min_size=1, max_size=3)):
        edit(changed)
    path.write_bytes(changed)
    opens_or_says_why(folder)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@ROUNDS
@given(changes=st.dictionaries(st.sampled_from([*CONFIG, "rope_parameters", "text_config", "rope_scaling"]), JSON))
def test_config_json_of_any_values(folder: Path, changes: dict[str, object]) -> None:
    (folder / "config.json").write_text(json.dumps(CONFIG | changes))
    opens_or_says_why(folder)


@ROUNDS
@given(index=JSON | st.fixed_dictionaries({"weight_map": JSON}))
def test_an_index_of_any_values(folder: Path, index: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    opens_or_says_why(folder)
