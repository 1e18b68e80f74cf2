"""From a checkpoint's configuration and tensors to a model on a backend. Knows no file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from inhouse.kernels.backend import Backend, Linear
from inhouse.models import qwen2, qwen3, qwen3_5, qwen3_5_moe, qwen3_moe
from inhouse.models.decoder import CausalLM, DecoderLayer
from inhouse.models.parameters import Parameters
from inhouse.weights.config import Architecture, ModelConfig
from inhouse.weights.tensor import Tensor

_DECODER_LAYERS: Mapping[Architecture, Callable[[ModelConfig, int, Parameters], DecoderLayer]] = {
    "qwen2": qwen2.decoder_layer,
    "qwen3": qwen3.decoder_layer,
    "qwen3_moe": qwen3_moe.decoder_layer,
    "qwen3_5": qwen3_5.decoder_layer,
    "qwen3_5_moe": qwen3_5_moe.decoder_layer,
}


def build_model(config: ModelConfig, tensors: Mapping[str, Tensor], backend: Backend) -> CausalLM:
    """The model of `config` with `tensors` loaded on `backend`; the two must agree, as an open checkpoint's do."""
    decoder_layer = _DECODER_LAYERS[config.architecture]
    p = Parameters(backend, tensors)
    embedding = p.matrix("model.embed_tokens.weight")
    layers = [decoder_layer(config, i, p.under(f"model.layers.{i}")) for i in range(config.num_hidden_layers)]
    norm = p.norm("model.norm", config.rms_norm_eps)
    head = Linear(embedding) if config.tie_word_embeddings else p.linear("lm_head")
    ignored = tensors.keys() - p.taken
    assert not ignored, f"{config.architecture} has no use for {min(ignored)}"  # its text would be wrong
    return CausalLM(config, backend, embedding, tuple(layers), norm, head)
