"""Tiny random models of the two kinds that matter to an engine: attention only, and recurrent layers among them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from inhouse.kernels.backend import Backend
from inhouse.models import CausalLM, build_model
from inhouse.weights.config import DeltaNetConfig, ModelConfig
from inhouse.weights.tensor import Tensor

VOCAB, SIZE, INNER, HEAD = 61, 32, 48, 16
MakeTensor = Callable[..., None]


def attention_model(backend: Backend) -> CausalLM:
    """Two layers of qwen2."""
    config = _config("qwen2", 2, attention_bias=True)
    tensors: dict[str, Tensor] = {}
    put = _filler(tensors)
    for i in range(2):
        layer = f"model.layers.{i}."
        _mlp(put, layer)
        put(layer + "self_attn.q_proj.weight", 2 * HEAD, SIZE)
        put(layer + "self_attn.q_proj.bias", 2 * HEAD)
        for name in ("k_proj", "v_proj"):
            put(layer + f"self_attn.{name}.weight", HEAD, SIZE)
            put(layer + f"self_attn.{name}.bias", HEAD)
        put(layer + "self_attn.o_proj.weight", SIZE, 2 * HEAD)
    return build_model(config, tensors, backend)


def recurrent_model(backend: Backend) -> CausalLM:
    """Four layers of qwen3_5: three of Gated DeltaNet, one of attention."""
    delta = DeltaNetConfig(4, 2, 4, 8, 8)
    config = _config("qwen3_5", 4, qk_norm=True, attn_output_gate=True, delta=delta)
    tensors: dict[str, Tensor] = {}
    put = _filler(tensors)
    for i in range(4):
        layer = f"model.layers.{i}."
        _mlp(put, layer)
        if i == 3:
            put(layer + "self_attn.q_proj.weight", 4 * HEAD, SIZE)
            put(layer + "self_attn.k_proj.weight", HEAD, SIZE)
            put(layer + "self_attn.v_proj.weight", HEAD, SIZE)
            put(layer + "self_attn.o_proj.weight", SIZE, 2 * HEAD)
            put(layer + "self_attn.q_norm.weight", HEAD, around=1.0)
            put(layer + "self_attn.k_norm.weight", HEAD, around=1.0)
            continue
        put(layer + "linear_attn.in_proj_qkv.weight", delta.conv_dim, SIZE)
        put(layer + "linear_attn.in_proj_z.weight", delta.value_dim, SIZE)
        put(layer + "linear_attn.in_proj_b.weight", 4, SIZE)
        put(layer + "linear_attn.in_proj_a.weight", 4, SIZE)
        put(layer + "linear_attn.conv1d.weight", delta.conv_dim, 4)
        put(layer + "linear_attn.dt_bias", 4)
        put(layer + "linear_attn.A", 4, around=-1.0)
        put(layer + "linear_attn.norm.weight", 8, around=1.0)
        put(layer + "linear_attn.out_proj.weight", SIZE, delta.value_dim)
    return build_model(config, tensors, backend)


def _config(architecture: str, layers: int, **more: object) -> ModelConfig:
    types = ["linear_attention"] * 3 + ["full_attention"] if "delta" in more else ["full_attention"] * layers
    return ModelConfig(
        architecture=architecture,  # type: ignore[arg-type]
        vocab_size=VOCAB,
        hidden_size=SIZE,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=HEAD,
        intermediate_size=INNER,
        rms_norm_eps=1e-6,
        rope_theta=10000.0,
        rotary_dim=HEAD // 2 if "delta" in more else HEAD,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        layer_types=tuple(types),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


def _filler(tensors: dict[str, Tensor]) -> MakeTensor:
    """A function that adds a random tensor; the embedding and the last norm are there already."""
    random = np.random.default_rng(1)

    def put(name: str, *shape: int, around: float = 0.0) -> None:
        scale = 0.05 if around else shape[-1] ** -0.5
        values = around + scale * random.standard_normal(shape)
        tensors[name] = Tensor.from_float32(name, values.astype(np.float32))

    put("model.embed_tokens.weight", VOCAB, SIZE)
    put("model.norm.weight", SIZE, around=6.0)  # logits far enough apart for greedy answers not to hang on rounding
    return put


def _mlp(put: MakeTensor, layer: str) -> None:
    put(layer + "input_layernorm.weight", SIZE, around=1.0)
    put(layer + "post_attention_layernorm.weight", SIZE, around=1.0)
    put(layer + "mlp.gate_proj.weight", INNER, SIZE)
    put(layer + "mlp.up_proj.weight", INNER, SIZE)
    put(layer + "mlp.down_proj.weight", SIZE, INNER)
