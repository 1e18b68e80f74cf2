"""The way back from `gguf_model`: GGUF's keys, and its tensor names and shapes, for a given configuration.

Knows neither bytes nor values; what it lists is what llama.cpp asks for.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from inhouse.weights.config import DeltaNetConfig, ModelConfig, MoEConfig
from inhouse.weights.expected import Shape, expected_tensors
from inhouse.weights.gguf_model import ARCHITECTURES, LAYER_NAMES, POOLING, TOP_NAMES


def gguf_architecture(config: ModelConfig) -> str:
    """The value of `general.architecture`."""
    return next(name for name, architecture in ARCHITECTURES.items() if architecture == config.architecture)


def gguf_tensors(config: ModelConfig) -> dict[str, tuple[str, Shape]]:
    """GGUF name to canonical name and the shape in which GGUF stores it (NumPy's order)."""
    second_norm = "post_attention_norm.weight" if config.delta is not None else "ffn_norm.weight"
    layer = {canonical: name for name, canonical in LAYER_NAMES.items()} | {
        "post_attention_layernorm.weight": second_norm
    }
    top = {canonical: name for name, canonical in TOP_NAMES.items()}
    result: dict[str, tuple[str, Shape]] = {}
    for canonical, shape in expected_tensors(config).items():
        if canonical in top:
            result[top[canonical]] = (canonical, shape)
            continue
        index, suffix = canonical.removeprefix("model.layers.").split(".", 1)
        stored = shape[1:] if suffix == "mlp.shared_expert_gate.weight" else shape
        result[f"blk.{index}.{layer[suffix]}"] = (canonical, stored)
    return result


def gguf_metadata(config: ModelConfig) -> dict[str, Any]:
    """The model's keys and values, without those of its tokenizer."""
    prefix = gguf_architecture(config)
    values: dict[str, Any] = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": config.rope_theta,
        "rope.dimension_count": config.rotary_dim,
    }
    if config.pooling != "none":
        values["pooling_type"] = next(number for number, name in POOLING.items() if name == config.pooling)
    if config.moe is not None:
        values |= _moe(config.moe)
    if config.delta is not None:
        values |= _delta(config, config.delta)
    return {"general.architecture": prefix} | {f"{prefix}.{key}": value for key, value in values.items()}


def _moe(moe: MoEConfig) -> dict[str, Any]:
    values = {
        "expert_count": moe.num_experts,
        "expert_used_count": moe.num_experts_per_tok,
        "expert_feed_forward_length": moe.moe_intermediate_size,
    }
    if moe.shared_expert_intermediate_size:
        values["expert_shared_feed_forward_length"] = moe.shared_expert_intermediate_size
    return values


def _delta(config: ModelConfig, delta: DeltaNetConfig) -> dict[str, Any]:
    pairs = config.rotary_dim // 2  # time, height and width share the rotating pairs; for text all three are alike
    sections = [(pairs + 2) // 3, (pairs + 1) // 3, pairs // 3, 0]
    return {
        "rope.dimension_sections": np.array(sections, np.int32),
        "ssm.conv_kernel": delta.conv_kernel_dim,
        "ssm.state_size": delta.key_head_dim,
        "ssm.group_count": delta.num_key_heads,
        "ssm.time_step_rank": delta.num_value_heads,
        "ssm.inner_size": delta.value_dim,
        "full_attention_interval": 4,
        "attention.recurrent_layers": [kind == "linear_attention" for kind in config.layer_types],
    }
