"""Hugging Face directories: every published layout becomes the same canonical tensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from weight_files import SaveSafetensors

from inhouse.errors import ModelFileError, ModelNotFoundError, TensorError, UnsupportedModelError
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.config import DeltaNetConfig, MoEConfig
from inhouse.weights.expected import expected_tensors
from inhouse.weights.formats import BF16
from inhouse.weights.huggingface import read_config
from inhouse.weights.presets import PRESETS
from inhouse.weights.summary import summarize

Arrays = dict[str, np.ndarray]

TEXT: dict[str, Any] = {
    "model_type": "qwen3_5_moe_text", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 4,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "hidden_act": "silu", "rms_norm_eps": 1e-5,
    "max_position_embeddings": 128, "tie_word_embeddings": False, "eos_token_id": 7, "attn_output_gate": True,
    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    "rope_parameters": {"rope_type": "default", "rope_theta": 5e6, "partial_rotary_factor": 0.25},
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 4, "linear_value_head_dim": 4, "linear_num_key_heads": 2,
    "linear_num_value_heads": 4, "num_experts": 12, "num_experts_per_tok": 2, "moe_intermediate_size": 6,
    "shared_expert_intermediate_size": 5,
}  # fmt: skip
DENSE: dict[str, Any] = {
    "model_type": "qwen3", "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": 24, "rms_norm_eps": 1e-6, "rope_theta": 1000000,
    "rope_scaling": None, "max_position_embeddings": 128, "tie_word_embeddings": True, "use_sliding_window": False,
    "eos_token_id": [1, 2],
}  # fmt: skip


def nested(text: Mapping[str, Any]) -> dict[str, Any]:
    """As multimodal models publish it."""
    kind = str(text["model_type"]).removesuffix("_text")
    return {"model_type": kind, "text_config": dict(text), "vision_config": {"depth": 1}, "tie_word_embeddings": False}


def published(config: Mapping[str, Any], *, fused: bool) -> Arrays:
    """Random tensors under the names that transformers uses for a text-only model."""
    rng = np.random.default_rng(0)
    model = read_config(Path("config.json"), config, frozenset(map(str, range(99))))
    arrays: Arrays = {}
    for name, shape in expected_tensors(model).items():
        values = rng.normal(size=shape).astype(np.float32)
        if name.endswith("linear_attn.A"):
            arrays[name + "_log"] = values
        elif name.endswith("conv1d.weight"):
            arrays[name] = values[:, None]
        elif ".mlp.experts." in name and not fused:
            stem, kind = name.rsplit(".", 1)
            arrays |= {f"{stem}.{e}.{kind}.weight": values[e] for e in range(shape[0])}
        else:
            arrays[name] = values
    if fused:
        for name in [n for n in arrays if n.endswith("experts.gate_proj")]:
            stem = name.removesuffix("gate_proj")
            arrays[stem + "gate_up_proj"] = np.concatenate([arrays.pop(name), arrays.pop(stem + "up_proj")], axis=1)
    return arrays


def write(folder: Path, config: Mapping[str, Any], arrays: Arrays, save: SaveSafetensors) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save(folder / "model.safetensors", arrays)
    return folder


def effective(name: str, arrays: Arrays) -> np.ndarray:
    """A canonical tensor's values, worked out from what was written."""
    stem, _, kind = name.rpartition(".")
    if kind == "A":
        return -np.exp(arrays[name + "_log"])
    if name.endswith("conv1d.weight"):
        return arrays[name][:, 0]
    if stem.endswith("experts") and kind in ("gate_proj", "up_proj") and f"{stem}.gate_up_proj" in arrays:
        gate, up = np.split(arrays[f"{stem}.gate_up_proj"], 2, axis=1)
        return gate if kind == "gate_proj" else up
    if stem.endswith("experts") and name not in arrays:
        return np.stack([arrays[f"{stem}.{e}.{kind}.weight"] for e in range(12)])
    if name.endswith("norm.weight") and "linear_attn" not in name:
        return arrays[name] + np.float32(1)
    return arrays[name]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("multimodal", [True, False])
def test_every_layout_of_the_hybrid_model(
    tmp_path: Path, save_safetensors: SaveSafetensors, fused: bool, multimodal: bool
) -> None:
    arrays = published(TEXT, fused=fused)
    extra = {"mtp.fc.weight": np.zeros((2, 2), np.float32), "model.visual.pos_embed.weight": np.zeros(3, np.float32)}
    if multimodal:
        renamed = {n.replace("model.", "model.language_model.", 1): a for n, a in arrays.items()}
        path = write(tmp_path, nested(TEXT), renamed | extra, save_safetensors)
    else:
        path = write(tmp_path, TEXT, arrays, save_safetensors)
    checkpoint = open_checkpoint(path)
    assert checkpoint.format == "safetensors"
    assert checkpoint.metadata == {}
    assert set(checkpoint.skipped) == (set(extra) if multimodal else set())
    expected = expected_tensors(checkpoint.config)
    assert set(checkpoint.tensors) == set(expected)
    for name, shape in expected.items():
        tensor = checkpoint.tensors[name]
        assert tensor.name == name
        assert tensor.shape == shape
        assert checkpoint.formats[name] is tensor.format
        np.testing.assert_array_equal(tensor.float32(), effective(name, arrays), err_msg=name)


def test_the_configuration_of_the_hybrid_model(tmp_path: Path, save_safetensors: SaveSafetensors) -> None:
    config = open_checkpoint(write(tmp_path, TEXT, published(TEXT, fused=True), save_safetensors)).config
    assert config.architecture == "qwen3_5_moe"
    assert config.moe == MoEConfig(12, 2, 6, 5, norm_topk_prob=True)
    assert config.delta == DeltaNetConfig(4, 2, 4, 4, 4, value_head_order="grouped")
    assert (config.rotary_dim, config.rope_theta, config.rms_norm_eps) == (2, 5e6, 1e-5)
    assert config.layer_types == ("linear_attention",) * 3 + ("full_attention",)
    assert config.attn_output_gate
    assert config.qk_norm
    assert not config.attention_bias
    assert config.eos_token_ids == (7,)


def test_fused_experts_are_views(tmp_path: Path, save_safetensors: SaveSafetensors) -> None:
    checkpoint = open_checkpoint(write(tmp_path, TEXT, published(TEXT, fused=True), save_safetensors))
    gate = checkpoint.tensors["model.layers.0.mlp.experts.gate_proj"].data
    up = checkpoint.tensors["model.layers.0.mlp.experts.up_proj"].data
    assert up.__array_interface__["data"][0] - gate.__array_interface__["data"][0] == 6 * 16 * 4
    assert not gate.flags.writeable


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3", "qwen3_moe", "qwen3_5_text"])
def test_the_other_models(tmp_path: Path, save_safetensors: SaveSafetensors, model_type: str) -> None:
    config = {**TEXT, **DENSE, "model_type": model_type, "num_experts": 12, "layer_types": None, "eos_token_id": [1, 2]}
    config["rope_parameters"] = None
    arrays = published(config, fused=False)
    checkpoint = open_checkpoint(write(tmp_path, config, arrays, save_safetensors))
    assert checkpoint.config.tie_word_embeddings
    assert checkpoint.config.rope_theta == 1e6
    assert checkpoint.config.rotary_dim == (2 if model_type == "qwen3_5_text" else 8)
    assert checkpoint.config.attention_bias == (model_type == "qwen2")
    assert checkpoint.config.eos_token_ids == (1, 2)
    if model_type == "qwen3_moe":
        assert checkpoint.config.moe == MoEConfig(12, 2, 6, norm_topk_prob=False)
    for name in expected_tensors(checkpoint.config):
        plain = model_type != "qwen3_5_text" and name.endswith("norm.weight")
        values = arrays[name] if plain else effective(name, arrays)
        np.testing.assert_array_equal(checkpoint.tensors[name].float32(), values, err_msg=name)


def test_bfloat16_shards_by_an_index(tmp_path: Path, save_safetensors: SaveSafetensors) -> None:
    arrays = published(DENSE, fused=False)
    bits = {n: (a.view(np.uint32) >> 16).astype(np.uint16) for n, a in arrays.items()}
    (tmp_path / "config.json").write_text(json.dumps(DENSE))
    names = list(bits)
    weight_map = {}
    for number, part in enumerate((names[:9], names[9:])):
        shard = f"model-{number}.safetensors"
        save_safetensors(tmp_path / shard, {n: bits[n] for n in part})
        weight_map |= dict.fromkeys(part, shard)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    checkpoint = open_checkpoint(tmp_path)
    for name in names:
        tensor = checkpoint.tensors[name]
        assert tensor.format is BF16
        np.testing.assert_array_equal(tensor.float32(), (bits[name].astype(np.uint32) << 16).view(np.float32))
    index.write_text(json.dumps({"weight_map": weight_map | {names[0]: "../model-0.safetensors"}}))
    with pytest.raises(ModelFileError, match=r"\.\./model-0"):
        open_checkpoint(tmp_path)
    index.write_text(json.dumps({"weight_map": weight_map | {"more": "model-1.safetensors"}}))
    with pytest.raises(TensorError, match=r"'more'.*missing"):
        open_checkpoint(tmp_path)
    index.write_text(json.dumps({"weight_map": weight_map | {"more": "model-2.safetensors"}}))
    with pytest.raises(ModelNotFoundError, match="model-2"):
        open_checkpoint(tmp_path)


def test_a_single_file_beside_its_configuration(tmp_path: Path, save_safetensors: SaveSafetensors) -> None:
    folder = write(tmp_path, DENSE, published(DENSE, fused=False), save_safetensors)
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    assert open_checkpoint(folder / "weights.safetensors").config.architecture == "qwen3"
    with pytest.raises(ModelNotFoundError, match=r"neither model\.safetensors nor"):
        open_checkpoint(folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelNotFoundError, match=r"config\.json"):
        open_checkpoint(folder / "weights.safetensors")


def test_tied_embeddings_ignore_a_stored_head(tmp_path: Path, save_safetensors: SaveSafetensors) -> None:
    arrays = published(DENSE, fused=False)
    arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"]
    checkpoint = open_checkpoint(write(tmp_path, DENSE, arrays, save_safetensors))
    assert checkpoint.skipped == ("lm_head.weight",)
    assert "lm_head.weight" not in checkpoint.tensors


def test_generation_settings_override_the_end_of_text(tmp_path: Path, save_safetensors: SaveSafetensors) -> None:
    folder = write(tmp_path, DENSE, published(DENSE, fused=False), save_safetensors)
    (folder / "generation_config.json").write_text('{"eos_token_id": [9, 8]}')
    assert open_checkpoint(folder).config.eos_token_ids == (9, 8)


REFUSED: Mapping[str, tuple[dict[str, Any], type[Exception], str]] = {
    "another type": ({"model_type": "llama"}, UnsupportedModelError, "'llama'.*qwen3_5_moe"),
    "no type": ({"model_type": None}, UnsupportedModelError, "model_type"),
    "odd type": ({"model_type": ["qwen3"]}, UnsupportedModelError, "model_type"),
    "rotary scaling": ({"rope_scaling": {"type": "yarn", "factor": 4}}, UnsupportedModelError, "yarn"),
    "sliding window": ({"use_sliding_window": True}, UnsupportedModelError, "sliding"),
    "activation": ({"hidden_act": "gelu"}, UnsupportedModelError, "gelu"),
    "quantised": ({"quantization_config": {"quant_method": "fp8"}}, UnsupportedModelError, "GGUF"),
    "dense layers": ({"mlp_only_layers": [0]}, UnsupportedModelError, "dense"),
    "layer type": ({"layer_types": ["full_attention", "sliding_attention"]}, UnsupportedModelError, "sliding"),
    "layer list": ({"layer_types": ["full_attention"]}, ModelFileError, "layer type per layer"),
    "missing size": ({"hidden_size": None}, ModelFileError, "hidden_size is None"),
    "text for a number": ({"vocab_size": "40"}, ModelFileError, "vocab_size is '40'"),
    "true for a number": ({"num_hidden_layers": True}, ModelFileError, "num_hidden_layers is True"),
    "negative": ({"head_dim": -8}, ModelFileError, "head_dim is -8"),
    "many layers": ({"num_hidden_layers": 10**9}, ModelFileError, "num_hidden_layers"),
    "huge number": ({"rms_norm_eps": 10**400}, ModelFileError, "rms_norm_eps"),
    "infinite rotation": ({"partial_rotary_factor": float("inf")}, ModelFileError, "partial_rotary_factor"),
    "another vocabulary": ({"vocab_size": 41}, TensorError, r"embed_tokens.*\(40, 16\).*\(41, 16\)"),
    "one more layer": ({"num_hidden_layers": 3}, TensorError, r"layers\.2\.input_layernorm.*missing"),
    "a head that is not there": ({"tie_word_embeddings": False}, TensorError, "lm_head.*missing"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(tmp_path: Path, save_safetensors: SaveSafetensors, case: str) -> None:
    change, kind, message = REFUSED[case]
    folder = write(tmp_path, DENSE | change, published(DENSE, fused=False), save_safetensors)
    with pytest.raises(kind, match=message) as caught:
        open_checkpoint(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("lost", ["model.layers.0.mlp.experts.3.up_proj.weight", "model.layers.3.mlp.gate.weight"])
def test_a_lost_expert_or_router_is_named(tmp_path: Path, save_safetensors: SaveSafetensors, lost: str) -> None:
    arrays = published(TEXT, fused=False)
    del arrays[lost]
    folder = write(tmp_path, TEXT, arrays, save_safetensors)
    with pytest.raises(TensorError, match="expert 3 is missing" if "experts" in lost else r"mlp\.gate.*missing"):
        open_checkpoint(folder)


def test_all_published_names_have_a_place(shared_data: Path, tmp_path: Path) -> None:
    """The 1,045 tensors of the published 35B model, with every file's data left out (a hole on disk)."""
    shapes = json.loads((shared_data / "qwen3.6/derived_tensor_shapes.json").read_text())
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header).encode()
    with (tmp_path / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + at)
    (tmp_path / "config.json").write_bytes((shared_data / "qwen3.6/config.json").read_bytes())
    checkpoint = open_checkpoint(tmp_path)
    assert len(shapes) == 1045
    assert len(checkpoint.skipped) == 333 + 19
    assert {n: t.shape for n, t in checkpoint.tensors.items()} == expected_tensors(checkpoint.config)
    summary = summarize(checkpoint)
    assert round(summary.parameters / 1e9, 1) == 34.7
    assert checkpoint.config.delta is not None
    tiled = replace(checkpoint.config.delta, value_head_order="tiled")
    assert replace(checkpoint.config, delta=tiled, eos_token_ids=()) == PRESETS["qwen3.6-35b-a3b"]
