"""Qwen2 and Qwen2.5 (Coder): softmax attention with biased q, k and v, and a dense SwiGLU in every layer."""

from __future__ import annotations

from inhouse.models.decoder import DecoderLayer
from inhouse.models.feed_forward import dense_mlp
from inhouse.models.mixers import self_attention
from inhouse.models.parameters import Parameters
from inhouse.weights.config import ModelConfig


def decoder_layer(config: ModelConfig, index: int, layer: Parameters) -> DecoderLayer:
    """Layer `index`, whose parameters are `layer`."""
    return DecoderLayer(self_attention(config, layer), dense_mlp(config, layer))
