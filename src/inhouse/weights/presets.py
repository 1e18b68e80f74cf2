"""Configurations to make random models of: the published one, and a tiny one per architecture for tests.

Tiny ones have rows of whole 256-blocks, so that every number format fits. Knows neither files nor values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from inhouse.errors import ParameterError
from inhouse.weights.config import DeltaNetConfig, LayerType, ModelConfig, MoEConfig

_FOUR: tuple[LayerType, ...] = ("linear_attention", "linear_attention", "linear_attention", "full_attention")

_QWEN2 = ModelConfig(
    architecture="qwen2",
    vocab_size=1024,
    hidden_size=256,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    intermediate_size=512,
    rms_norm_eps=1e-6,
    rope_theta=1e6,
    rotary_dim=64,
    max_position_embeddings=4096,
    tie_word_embeddings=True,
    layer_types=("full_attention",) * 4,
    attention_bias=True,
)
_QWEN3 = replace(_QWEN2, architecture="qwen3", attention_bias=False, qk_norm=True)
_QWEN3_MOE = replace(
    _QWEN3,
    architecture="qwen3_moe",
    intermediate_size=0,
    tie_word_embeddings=False,
    moe=MoEConfig(num_experts=16, num_experts_per_tok=4, moe_intermediate_size=256),
)
_QWEN3_5 = replace(
    _QWEN3,
    architecture="qwen3_5",
    layer_types=_FOUR,
    rotary_dim=16,
    rope_theta=1e7,
    attn_output_gate=True,
    delta=DeltaNetConfig(4, 2, 4, 64, 64, value_head_order="tiled"),
)
_QWEN3_5_MOE = replace(
    _QWEN3_5,
    architecture="qwen3_5_moe",
    intermediate_size=0,
    tie_word_embeddings=False,
    moe=MoEConfig(16, 4, 256, shared_expert_intermediate_size=256),
)
_QWEN36_35B = ModelConfig(
    architecture="qwen3_5_moe",
    vocab_size=248320,
    hidden_size=2048,
    num_hidden_layers=40,
    num_attention_heads=16,
    num_key_value_heads=2,
    head_dim=256,
    intermediate_size=0,
    rms_norm_eps=1e-6,
    rope_theta=1e7,
    rotary_dim=64,
    max_position_embeddings=262144,
    tie_word_embeddings=False,
    layer_types=_FOUR * 10,
    qk_norm=True,
    attn_output_gate=True,
    moe=MoEConfig(256, 8, 512, shared_expert_intermediate_size=512),
    delta=DeltaNetConfig(4, 16, 32, 128, 128, value_head_order="tiled"),
)

PRESETS: Mapping[str, ModelConfig] = MappingProxyType(
    {
        "qwen3.6-35b-a3b": _QWEN36_35B,
        "tiny-qwen2": _QWEN2,
        "tiny-qwen3": _QWEN3,
        "tiny-qwen3moe": _QWEN3_MOE,
        "tiny-qwen35": _QWEN3_5,
        "tiny-qwen35moe": _QWEN3_5_MOE,
    }
)


def preset(name: str, layers: int | None = None) -> ModelConfig:
    """A preset by name, cut to its first `layers` layers if given. Raises ParameterError."""
    if name not in PRESETS:
        raise ParameterError(f"no preset {name!r}; choose one of {', '.join(PRESETS)}")
    return with_layers(PRESETS[name], layers)


def with_layers(config: ModelConfig, layers: int | None) -> ModelConfig:
    """The first `layers` layers, or more by repeating their pattern; all if None. Raises ParameterError."""
    if layers is None:
        return config
    if not 1 <= layers <= 1000:
        raise ParameterError(f"{layers} layers; choose from 1 to 1000")
    pattern = config.layer_types
    return replace(
        config, num_hidden_layers=layers, layer_types=tuple(pattern[i % len(pattern)] for i in range(layers))
    )
