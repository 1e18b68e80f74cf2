"""Qwen3.5-MoE (Qwen3.6-35B-A3B): Qwen3.5's token mixers, and routed experts plus a gated shared one in every layer."""

from __future__ import annotations

from inhouse.models.decoder import DecoderLayer
from inhouse.models.feed_forward import sparse_moe
from inhouse.models.parameters import Parameters
from inhouse.models.qwen3_5 import token_mixer
from inhouse.weights.config import ModelConfig


def decoder_layer(config: ModelConfig, index: int, layer: Parameters) -> DecoderLayer:
    """Layer `index`, whose parameters are `layer`."""
    return DecoderLayer(token_mixer(config, index, layer), sparse_moe(config, layer))
