"""Qwen3.5: three layers of Gated DeltaNet to one of gated softmax attention, and a dense SwiGLU in every layer.

The attention rotates only the first quarter of each head and scales each head's result by a sigmoid gate.
"""

from __future__ import annotations

from inhouse.models.decoder import DecoderLayer, TokenMixer
from inhouse.models.feed_forward import dense_mlp
from inhouse.models.mixers import gated_delta_net, self_attention
from inhouse.models.parameters import Parameters
from inhouse.weights.config import ModelConfig


def token_mixer(config: ModelConfig, index: int, layer: Parameters) -> TokenMixer:
    """Layer `index`'s Gated DeltaNet or attention."""
    if config.layer_types[index] == "linear_attention":
        return gated_delta_net(config, layer)
    return self_attention(config, layer, qk_norm=True, output_gate=True)


def decoder_layer(config: ModelConfig, index: int, layer: Parameters) -> DecoderLayer:
    """Layer `index`, whose parameters are `layer`."""
    return DecoderLayer(token_mixer(config, index, layer), dense_mlp(config, layer))
