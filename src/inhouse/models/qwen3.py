"""Qwen3: as Qwen2, but q and k are normed per head in place of their biases."""

from __future__ import annotations

from inhouse.models.decoder import DecoderLayer
from inhouse.models.feed_forward import dense_mlp
from inhouse.models.mixers import self_attention
from inhouse.models.parameters import Parameters
from inhouse.weights.config import ModelConfig


def decoder_layer(config: ModelConfig, index: int, layer: Parameters) -> DecoderLayer:
    """Layer `index`, whose parameters are `layer`."""
    return DecoderLayer(self_attention(config, layer, qk_norm=True), dense_mlp(config, layer))
