"""What a checkpoint of a given configuration must contain: the one list of canonical tensor names and shapes.

Names are those of Hugging Face's text-only models, with experts stacked. Knows neither file formats nor devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
from os import PathLike

from inhouse.errors import ModelFileError, TensorError
from inhouse.weights.config import DeltaNetConfig, ModelConfig, MoEConfig

Shape = tuple[int, ...]

_DAMAGED = "the file is damaged or was converted wrongly: fetch or convert it again"


def expected_tensors(config: ModelConfig) -> dict[str, Shape]:
    """Canonical name to shape, in the order of the forward pass."""
    shapes: dict[str, Shape] = {"model.embed_tokens.weight": (config.vocab_size, config.hidden_size)}
    for index in range(config.num_hidden_layers):
        shapes |= {f"model.layers.{index}.{name}": shape for name, shape in layer_tensors(config, index)}
    shapes["model.norm.weight"] = (config.hidden_size,)
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (config.vocab_size, config.hidden_size)
    return shapes


def layer_tensors(config: ModelConfig, index: int) -> Iterator[tuple[str, Shape]]:
    """Names (after `model.layers.{index}.`) and shapes of one layer."""
    hidden = (config.hidden_size,)
    yield "input_layernorm.weight", hidden
    if config.layer_types[index] == "linear_attention":
        assert config.delta is not None
        yield from _delta_net(config.delta, config.hidden_size)
    else:
        yield from _attention(config)
    yield "post_attention_layernorm.weight", hidden
    if config.moe is None:
        yield from _mlp("mlp", config.intermediate_size, config.hidden_size)
    else:
        yield from _moe(config.moe, config.hidden_size)


def _attention(config: ModelConfig) -> Iterator[tuple[str, Shape]]:
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    rows = {"q": queries * (2 if config.attn_output_gate else 1), "k": keys, "v": keys}
    for name, count in rows.items():
        yield f"self_attn.{name}_proj.weight", (count, config.hidden_size)
        if config.attention_bias:
            yield f"self_attn.{name}_proj.bias", (count,)
    if config.qk_norm:
        yield "self_attn.q_norm.weight", (config.head_dim,)
        yield "self_attn.k_norm.weight", (config.head_dim,)
    yield "self_attn.o_proj.weight", (config.hidden_size, queries)


def _delta_net(delta: DeltaNetConfig, hidden: int) -> Iterator[tuple[str, Shape]]:
    heads = delta.num_value_heads
    yield "linear_attn.in_proj_qkv.weight", (delta.conv_dim, hidden)
    yield "linear_attn.in_proj_z.weight", (delta.value_dim, hidden)
    yield "linear_attn.in_proj_b.weight", (heads, hidden)
    yield "linear_attn.in_proj_a.weight", (heads, hidden)
    yield "linear_attn.conv1d.weight", (delta.conv_dim, delta.conv_kernel_dim)
    yield "linear_attn.dt_bias", (heads,)
    yield "linear_attn.A", (heads,)
    yield "linear_attn.norm.weight", (delta.value_head_dim,)
    yield "linear_attn.out_proj.weight", (hidden, delta.value_dim)


def _mlp(prefix: str, inner: int, hidden: int) -> Iterator[tuple[str, Shape]]:
    yield f"{prefix}.gate_proj.weight", (inner, hidden)
    yield f"{prefix}.up_proj.weight", (inner, hidden)
    yield f"{prefix}.down_proj.weight", (hidden, inner)


def _moe(moe: MoEConfig, hidden: int) -> Iterator[tuple[str, Shape]]:
    experts, inner = moe.num_experts, moe.moe_intermediate_size
    yield "mlp.gate.weight", (experts, hidden)
    yield "mlp.experts.gate_proj", (experts, inner, hidden)
    yield "mlp.experts.up_proj", (experts, inner, hidden)
    yield "mlp.experts.down_proj", (experts, hidden, inner)
    if moe.shared_expert_intermediate_size:
        yield from _mlp("mlp.shared_expert", moe.shared_expert_intermediate_size, hidden)
        yield "mlp.shared_expert_gate.weight", (1, hidden)


def check_shapes(path: str | PathLike[str], config: ModelConfig, found: Mapping[str, Shape]) -> None:
    """Raises TensorError for the first canonical tensor that is missing, misshapen or without a place in the model.

    A tensor without a place is refused because ignoring it could give wrong text without a sign.
    """
    expected = expected_tensors(config)
    for name in found:
        if name not in expected:
            raise TensorError(path, name, "has no place in this model", "use an unmodified copy of the model")
    for name, shape in expected.items():
        if name not in found:
            raise TensorError(path, name, "missing", _DAMAGED)
        if found[name] != shape:
            raise TensorError(path, name, f"shape {found[name]}, but its configuration asks for {shape}", _DAMAGED)


def check_config(path: str | PathLike[str], config: ModelConfig) -> None:
    """Raises ModelFileError where the numbers of a configuration contradict each other."""
    positive = {
        "vocabulary": config.vocab_size, "hidden size": config.hidden_size, "layers": config.num_hidden_layers,
        "attention heads": config.num_attention_heads, "key/value heads": config.num_key_value_heads,
        "head dimension": config.head_dim, "context length": config.max_position_embeddings,
        "feed-forward size": config.intermediate_size if config.moe is None else config.moe.moe_intermediate_size,
    }  # fmt: skip
    for name, value in positive.items():
        if value < 1:
            raise ModelFileError(path, f"{name} is {value}", _DAMAGED)
    problems = [
        (config.num_attention_heads % config.num_key_value_heads != 0, "key/value heads do not divide the query heads"),
        (config.rotary_dim % 2 != 0 or not 0 < config.rotary_dim <= config.head_dim, "rotary dimension is impossible"),
        (not isfinite(config.rms_norm_eps) or config.rms_norm_eps < 0, "norm epsilon is not a small positive number"),
        (not isfinite(config.rope_theta) or config.rope_theta <= 0, "rotary base is not a positive number"),
        (len(config.layer_types) != config.num_hidden_layers, "there is not one layer type per layer"),
        *_moe_problems(config.moe),
        *_delta_problems(config),
    ]
    for wrong, problem in problems:
        if wrong:
            raise ModelFileError(path, problem, _DAMAGED)


def _moe_problems(moe: MoEConfig | None) -> list[tuple[bool, str]]:
    if moe is None:
        return []
    return [
        (not 0 < moe.num_experts_per_tok <= moe.num_experts, "experts per token do not fit the number of experts"),
        (moe.shared_expert_intermediate_size < 0, "shared expert size is negative"),
    ]


def _delta_problems(config: ModelConfig) -> list[tuple[bool, str]]:
    d = config.delta
    if d is None:
        return [("linear_attention" in config.layer_types, "linear attention layers without their dimensions")]
    dims = (d.conv_kernel_dim, d.num_key_heads, d.num_value_heads, d.key_head_dim, d.value_head_dim)
    if min(dims) < 1:
        return [(True, f"linear attention dimensions {dims} are not all positive")]
    return [(d.num_value_heads % d.num_key_heads != 0, "linear attention key heads do not divide the value heads")]
