"""From a checkpoint's configuration and tensors to a model on a backend. Knows no file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from inhouse.errors import UnsupportedModelError
from inhouse.kernels.backend import Backend, Linear
from inhouse.models import qwen2, qwen3, qwen3_5, qwen3_5_moe, qwen3_moe
from inhouse.models.decoder import CausalLM, DecoderLayer
from inhouse.models.parameters import Parameters
from inhouse.weights.config import ModelConfig
from inhouse.weights.tensor import Tensor

_DECODER_LAYERS: Mapping[str, Callable[[ModelConfig, int, Parameters], DecoderLayer]] = {
    "qwen2": qwen2.decoder_layer,
    "qwen3": qwen3.decoder_layer,
    "qwen3_moe": qwen3_moe.decoder_layer,
    "qwen3_5": qwen3_5.decoder_layer,
    "qwen3_5_moe": qwen3_5_moe.decoder_layer,
}


def build_model(config: ModelConfig, tensors: Mapping[str, Tensor], backend: Backend) -> CausalLM:
    """The model of `config` with `tensors` (canonical names) loaded on `backend`.

    Raises TensorError for a missing or misshapen tensor, UnsupportedModelError for an unknown architecture or for
    tensors that it has no place for.
    """
    decoder_layer = _DECODER_LAYERS.get(config.architecture)
    if decoder_layer is None:
        known = ", ".join(_DECODER_LAYERS)
        raise UnsupportedModelError(f"architecture {config.architecture!r} is not implemented; use one of {known}")
    p = Parameters(backend, tensors, f"{config.architecture} model")
    shape = (config.vocab_size, config.hidden_size)
    embedding = p.matrix("model.embed_tokens.weight", *shape)
    layers = [decoder_layer(config, i, p.under(f"model.layers.{i}")) for i in range(config.num_hidden_layers)]
    norm = p.norm("model.norm", config.hidden_size, config.rms_norm_eps)
    head = Linear(embedding) if config.tie_word_embeddings else p.linear("lm_head", *shape)
    p.expect_all_taken()
    return CausalLM(config, backend, embedding, tuple(layers), norm, head)
