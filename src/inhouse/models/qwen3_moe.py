"""Qwen3-MoE (Qwen3-Coder): Qwen3's attention, and a mixture of experts in every layer."""

from __future__ import annotations

from inhouse.models.decoder import DecoderLayer
from inhouse.models.feed_forward import sparse_moe
from inhouse.models.mixers import self_attention
from inhouse.models.parameters import Parameters
from inhouse.weights.config import ModelConfig


def decoder_layer(config: ModelConfig, index: int, layer: Parameters) -> DecoderLayer:
    """Layer `index`, whose parameters are `layer`."""
    return DecoderLayer(self_attention(config, layer, qk_norm=True), sparse_moe(config, layer))
