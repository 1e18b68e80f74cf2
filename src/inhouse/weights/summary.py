"""What a checkpoint is and costs, as numbers for a person to read. Knows neither devices nor graphs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import prod

from inhouse.errors import ParameterError
from inhouse.weights.checkpoint import Checkpoint
from inhouse.weights.config import ModelConfig
from inhouse.weights.expected import expected_tensors
from inhouse.weights.kv import KVFormat, head_bytes

STATE_BYTES = 4  # per element of a recurrent or convolution state


@dataclass(frozen=True)
class Summary:
    """Sizes in bytes. *Active* is what one decoded token is multiplied by: all but the embedding table (unless it is
    the head as well) and the experts that were not chosen."""

    architecture: str
    layers: int
    parameters: int
    active_parameters: int
    weight_bytes: int
    active_bytes: int  # read from memory per decoded token, caches aside
    bytes_by_format: tuple[tuple[str, int], ...]  # largest first
    context: int  # tokens
    kv_bytes: int  # of one sequence that fills the context
    state_bytes: int  # of one sequence, whatever its length

    @property
    def memory_bytes(self) -> int:
        """Weights and one sequence that fills the context."""
        return self.weight_bytes + self.kv_bytes + self.state_bytes


def summarize(checkpoint: Checkpoint, context: int | None = None, kv: KVFormat = "f16") -> Summary:
    """`context` in tokens, the model's longest if None. Raises ParameterError if the model cannot have it."""
    config = checkpoint.config
    tokens = config.max_position_embeddings if context is None else context
    if not 0 < tokens <= config.max_position_embeddings:
        raise ParameterError(f"context of {tokens} tokens; choose from 1 to {config.max_position_embeddings}")
    by_format: Counter[str] = Counter()
    parameters = active = active_bytes = 0
    for name, shape in expected_tensors(config).items():
        fmt, count, share = checkpoint.formats[name], prod(shape), _active_share(config, name)
        size = prod(shape[:-1]) * fmt.row_bytes(shape[-1])
        by_format[fmt.name] += size
        parameters += count
        active += round(count * share)
        active_bytes += round(size * share)
    return Summary(
        architecture=config.architecture,
        layers=config.num_hidden_layers,
        parameters=parameters,
        active_parameters=active,
        weight_bytes=by_format.total(),
        active_bytes=active_bytes,
        bytes_by_format=tuple(by_format.most_common()),
        context=tokens,
        kv_bytes=tokens * kv_bytes_per_token(config, kv),
        state_bytes=state_bytes(config),
    )


def kv_bytes_per_token(config: ModelConfig, kv: KVFormat = "f16") -> int:
    """Keys and values of all softmax attention layers."""
    layers = config.layer_types.count("full_attention")
    return layers * config.num_key_value_heads * head_bytes(kv, config.head_dim)


def state_bytes(config: ModelConfig) -> int:
    """Memories and convolution inputs of all linear attention layers of one sequence."""
    delta = config.delta
    if delta is None:
        return 0
    memory = delta.num_value_heads * delta.key_head_dim * delta.value_head_dim
    inputs = (delta.conv_kernel_dim - 1) * delta.conv_dim
    return config.layer_types.count("linear_attention") * (memory + inputs) * STATE_BYTES


def _active_share(config: ModelConfig, name: str) -> float:
    """The part of a tensor that one token is multiplied by."""
    if name == "model.embed_tokens.weight":
        return 1.0 if config.tie_word_embeddings else 0.0
    if ".mlp.experts." in name and config.moe is not None:
        return config.moe.num_experts_per_tok / config.moe.num_experts
    return 1.0
