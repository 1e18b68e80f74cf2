"""GGUF's keys and names become the one configuration and the canonical names; what does not fit is refused by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from weight_files import TINY, Rewrite

from inhouse.errors import ModelFileError, ModelNotFoundError, TensorError, UnsupportedModelError
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.expected import expected_tensors
from inhouse.weights.presets import PRESETS
from inhouse.weights.tensor import Tensor

Metadata = dict[str, Any]
Tensors = dict[str, Tensor]


def nothing(metadata: Metadata, tensors: Tensors) -> None:
    """Alters nothing."""


@pytest.mark.parametrize("name", TINY)
def test_opens_as_the_configuration_it_was_made_of(tiny: Mapping[str, Path], name: str) -> None:
    with open_checkpoint(tiny[name]) as checkpoint:
        made = PRESETS[name]
        eps = float(np.float32(made.rms_norm_eps))  # GGUF stores float32
        assert checkpoint.config == replace(made, rms_norm_eps=eps, eos_token_ids=(made.vocab_size - 5,))
        assert checkpoint.format == "gguf"
        assert checkpoint.skipped == ()
        assert {n: t.shape for n, t in checkpoint.tensors.items()} == expected_tensors(made)
        assert all(tensor.name == n for n, tensor in checkpoint.tensors.items())
        assert checkpoint.formats == {n: t.format for n, t in checkpoint.tensors.items()}
        assert len(checkpoint.metadata["tokenizer.ggml.tokens"]) == made.vocab_size
    assert not checkpoint.tensors


def test_values_land_under_the_right_names(rewrite: Rewrite) -> None:
    """Every tensor is marked with its own number, so that swapped names would show."""
    gguf_names = {
        "blk.3.attn_q.weight": "model.layers.3.self_attn.q_proj.weight",
        "blk.0.attn_qkv.weight": "model.layers.0.linear_attn.in_proj_qkv.weight",
        "blk.0.attn_gate.weight": "model.layers.0.linear_attn.in_proj_z.weight",
        "blk.0.ssm_alpha.weight": "model.layers.0.linear_attn.in_proj_a.weight",
        "blk.0.ssm_beta.weight": "model.layers.0.linear_attn.in_proj_b.weight",
        "blk.0.ssm_a": "model.layers.0.linear_attn.A",
        "blk.0.ssm_dt.bias": "model.layers.0.linear_attn.dt_bias",
        "blk.1.ffn_gate_exps.weight": "model.layers.1.mlp.experts.gate_proj",
        "blk.1.ffn_up_exps.weight": "model.layers.1.mlp.experts.up_proj",
        "blk.1.ffn_gate_shexp.weight": "model.layers.1.mlp.shared_expert.gate_proj.weight",
        "blk.1.ffn_gate_inp.weight": "model.layers.1.mlp.gate.weight",
        "blk.1.ffn_gate_inp_shexp.weight": "model.layers.1.mlp.shared_expert_gate.weight",
        "blk.1.attn_norm.weight": "model.layers.1.input_layernorm.weight",
        "blk.1.post_attention_norm.weight": "model.layers.1.post_attention_layernorm.weight",
        "output.weight": "lm_head.weight",
    }

    def mark(metadata: Metadata, tensors: Tensors) -> None:
        for number, name in enumerate(gguf_names):
            tensors[name] = Tensor.from_float32(name, np.full(tensors[name].shape, number, np.float32))

    checkpoint = open_checkpoint(rewrite("tiny-qwen35moe", mark))
    for number, canonical in enumerate(gguf_names.values()):
        assert set(np.unique(checkpoint.tensors[canonical].float32())) == {number}, canonical


def test_prediction_layers_and_vision_are_skipped_and_said_once(
    rewrite: Rewrite, caplog: pytest.LogCaptureFixture
) -> None:
    def extend(metadata: Metadata, tensors: Tensors) -> None:
        metadata["qwen35moe.block_count"] = 5
        metadata["qwen35moe.nextn_predict_layers"] = 1
        metadata["qwen35moe.attention.recurrent_layers"] += [False]
        tensors["blk.4.nextn.enorm.weight"] = tensors["blk.0.attn_norm.weight"]
        tensors["blk.4.attn_norm.weight"] = tensors["blk.0.attn_norm.weight"]
        tensors["v.patch_embd.weight"] = tensors["blk.0.attn_norm.weight"]

    with caplog.at_level(logging.INFO, "inhouse.weights"):
        checkpoint = open_checkpoint(rewrite("tiny-qwen35moe", extend))
    assert checkpoint.config.num_hidden_layers == 4
    assert set(checkpoint.skipped) == {"blk.4.nextn.enorm.weight", "blk.4.attn_norm.weight", "v.patch_embd.weight"}
    assert set(checkpoint.tensors) == set(expected_tensors(checkpoint.config))
    assert len(caplog.records) == 1


def test_fused_tensors_are_split_by_view(rewrite: Rewrite, tiny: Mapping[str, Path]) -> None:
    plain = open_checkpoint(tiny["tiny-qwen3moe"])

    def fuse(metadata: Metadata, tensors: Tensors) -> None:
        for layer in range(4):
            for fused, parts, axis in (
                ("attn_qkv", ("attn_q", "attn_k", "attn_v"), 0),
                ("ffn_gate_up_exps", ("ffn_gate_exps", "ffn_up_exps"), 1),
            ):
                names = [f"blk.{layer}.{part}.weight" for part in parts]
                joined = np.concatenate([tensors.pop(n).float32() for n in names], axis=axis)
                tensors[f"blk.{layer}.{fused}.weight"] = Tensor.from_float32(fused, joined)

    split = open_checkpoint(rewrite("tiny-qwen3moe", fuse))
    assert set(split.tensors) == set(plain.tensors)
    for name in plain.tensors:
        np.testing.assert_array_equal(split.tensors[name].float32(), plain.tensors[name].float32(), err_msg=name)
    gate, up = (split.tensors[f"model.layers.0.mlp.experts.{part}_proj"].data for part in ("gate", "up"))
    assert gate.base is not None
    assert gate.strides[0] == 2 * gate.shape[1] * gate.shape[2]
    assert up.__array_interface__["data"][0] - gate.__array_interface__["data"][0] == gate.shape[1] * gate.shape[2]


def test_fused_biases_are_split(rewrite: Rewrite, tiny: Mapping[str, Path]) -> None:
    plain = open_checkpoint(tiny["tiny-qwen2"])

    def fuse(metadata: Metadata, tensors: Tensors) -> None:
        for layer in range(4):
            for kind in ("weight", "bias"):
                parts = [tensors.pop(f"blk.{layer}.attn_{p}.{kind}").float32() for p in "qkv"]
                tensors[f"blk.{layer}.attn_qkv.{kind}"] = Tensor.from_float32("qkv", np.concatenate(parts))

    split = open_checkpoint(rewrite("tiny-qwen2", fuse))
    for name in expected_tensors(plain.config):
        np.testing.assert_array_equal(split.tensors[name].float32(), plain.tensors[name].float32(), err_msg=name)


def test_older_files_without_optional_keys(rewrite: Rewrite, tiny: Mapping[str, Path]) -> None:
    def strip(metadata: Metadata, tensors: Tensors) -> None:
        for key in ("full_attention_interval", "attention.recurrent_layers", "attention.value_length"):
            del metadata[f"qwen35.{key}"]

    expected = open_checkpoint(tiny["tiny-qwen35"]).config
    assert open_checkpoint(rewrite("tiny-qwen35", strip)).config == expected


def put(key: str, value: Any) -> Callable[[Metadata, Tensors], None]:
    return lambda metadata, tensors: metadata.update({key: value})


def drop(*names: str) -> Callable[[Metadata, Tensors], None]:
    def alter(metadata: Metadata, tensors: Tensors) -> None:
        for name in names:
            (metadata if name in metadata else tensors).pop(name)

    return alter


def reshape(name: str, shape: tuple[int, ...]) -> Callable[[Metadata, Tensors], None]:
    zeros = Tensor.from_float32(name, np.zeros(shape, np.float32))
    return lambda metadata, tensors: tensors.update({name: zeros})


REFUSED: Mapping[str, tuple[str, Callable[[Metadata, Tensors], None], type[Exception], str]] = {
    "another architecture": (
        "tiny-qwen3", put("general.architecture", "llama"), UnsupportedModelError, "'llama'.*qwen35moe"),
    "no architecture": ("tiny-qwen3", drop("general.architecture"), ModelFileError, "general.architecture"),
    "no heads": ("tiny-qwen3", drop("qwen3.attention.head_count"), ModelFileError, "head_count is missing"),
    "zero heads": ("tiny-qwen3", put("qwen3.attention.head_count", 0), ModelFileError, "attention heads is 0"),
    "odd heads": ("tiny-qwen3", put("qwen3.attention.head_count", 3), ModelFileError, "do not divide"),
    "text for a number": ("tiny-qwen3", put("qwen3.block_count", "4"), ModelFileError, "block_count"),
    "many layers": ("tiny-qwen3", put("qwen3.block_count", 2_000_000_000), ModelFileError, "block_count"),
    "fewer layers": ("tiny-qwen3", put("qwen3.block_count", 0), ModelFileError, "layers is 0"),
    "prediction layers": ("tiny-qwen3", put("qwen3.nextn_predict_layers", 9), ModelFileError, "layers is -5"),
    "more layers than blocks": ("tiny-qwen3", put("qwen3.block_count", 5), TensorError, r"layers\.4.*missing"),
    "rotary dimension": ("tiny-qwen3", put("qwen3.rope.dimension_count", 66), ModelFileError, "rotary dimension"),
    "epsilon": ("tiny-qwen3", put("qwen3.attention.layer_norm_rms_epsilon", float("nan")), ModelFileError, "epsilon"),
    "base": ("tiny-qwen3", put("qwen3.rope.freq_base", 0.0), ModelFileError, "rotary base"),
    "rotary scaling": ("tiny-qwen3", put("qwen3.rope.scaling.type", "yarn"), UnsupportedModelError, "yarn"),
    "split file": ("tiny-qwen3", put("split.count", 3), ModelFileError, "one of 3 parts, but not named"),
    "too many experts used": ("tiny-qwen3moe", put("qwen3moe.expert_used_count", 17), ModelFileError, "experts"),
    "layers that differ": (
        "tiny-qwen3", put("qwen3.attention.head_count_kv", [1, 2, 2, 2]), UnsupportedModelError, "layer to layer"),
    "key heads": ("tiny-qwen35", put("qwen35.ssm.group_count", 3), ModelFileError, "do not divide"),
    "short layer list": (
        "tiny-qwen35", put("qwen35.attention.recurrent_layers", [True]), ModelFileError, "1 entries for 4"),
    "missing tensor": ("tiny-qwen3", drop("blk.2.ffn_up.weight"), TensorError, r"layers\.2\.mlp\.up_proj.*missing"),
    "missing embedding": ("tiny-qwen3", drop("token_embd.weight"), TensorError, "token_embd"),
    "misshapen tensor": (
        "tiny-qwen3", reshape("blk.0.ffn_up.weight", (512, 128)), TensorError, r"\(512, 128\).*\(512, 256\)"),
    "extra tensor": ("tiny-qwen3", reshape("blk.0.ffn_up.scale", (1,)), TensorError, r"ffn_up\.scale.*no place"),
    "extra bias": ("tiny-qwen3", reshape("blk.1.attn_k.bias", (128,)), TensorError, r"k_proj\.bias.*no place"),
    "misshapen fusion": ("tiny-qwen3", reshape("blk.1.attn_qkv.weight", (4, 256)), TensorError, "fused"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused(rewrite: Rewrite, case: str) -> None:
    name, alter, kind, message = REFUSED[case]
    path = rewrite(name, alter)
    with pytest.raises(kind, match=message) as caught:
        open_checkpoint(path)
    assert str(path) in str(caught.value)
    assert ";" in str(caught.value), "says what to do next"


def test_an_unaltered_copy_opens(rewrite: Rewrite) -> None:
    assert open_checkpoint(rewrite("tiny-qwen3", nothing)).config.architecture == "qwen3"


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"nowhere\.gguf"):
        open_checkpoint(tmp_path / "nowhere.gguf")


@pytest.mark.model
def test_the_starter_model(starter: Path) -> None:
    with open_checkpoint(starter) as checkpoint:
        config = checkpoint.config
        assert (config.architecture, config.vocab_size, config.num_hidden_layers) == ("qwen2", 151936, 28)
        assert not config.tie_word_embeddings
        assert config.attention_bias
        assert config.eos_token_ids == (151645,)
        norm = checkpoint.tensors["model.norm.weight"].float32()
        assert 0.5 < norm.mean() < 20
