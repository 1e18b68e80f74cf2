"""What GGUF's keys and tensor names mean for the supported models. Knows neither bytes nor devices.

Source of names and keys: llama.cpp's model loaders and converters.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NoReturn

from inhouse.errors import ModelFileError, TensorError, UnsupportedModelError
from inhouse.weights.config import Architecture, DeltaNetConfig, LayerType, ModelConfig, MoEConfig, Pooling
from inhouse.weights.expected import check_config, check_shapes
from inhouse.weights.gguf import GGUFFile
from inhouse.weights.tensor import Tensor

log = logging.getLogger(__name__)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "qwen35moe": "qwen3_5_moe", "qwen35": "qwen3_5", "qwen3moe": "qwen3_moe", "qwen3": "qwen3", "qwen2": "qwen2",
    }
)  # fmt: skip
TOP_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "token_embd.weight": "model.embed_tokens.weight",
        "output_norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
)
LAYER_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "attn_norm.weight": "input_layernorm.weight",
        "attn_q.weight": "self_attn.q_proj.weight",
        "attn_k.weight": "self_attn.k_proj.weight",
        "attn_v.weight": "self_attn.v_proj.weight",
        "attn_q.bias": "self_attn.q_proj.bias",
        "attn_k.bias": "self_attn.k_proj.bias",
        "attn_v.bias": "self_attn.v_proj.bias",
        "attn_q_norm.weight": "self_attn.q_norm.weight",
        "attn_k_norm.weight": "self_attn.k_norm.weight",
        "attn_output.weight": "self_attn.o_proj.weight",
        "attn_qkv.weight": "linear_attn.in_proj_qkv.weight",
        "attn_gate.weight": "linear_attn.in_proj_z.weight",
        "ssm_beta.weight": "linear_attn.in_proj_b.weight",
        "ssm_alpha.weight": "linear_attn.in_proj_a.weight",
        "ssm_conv1d.weight": "linear_attn.conv1d.weight",
        "ssm_dt.bias": "linear_attn.dt_bias",
        "ssm_a": "linear_attn.A",
        "ssm_norm.weight": "linear_attn.norm.weight",
        "ssm_out.weight": "linear_attn.out_proj.weight",
        "post_attention_norm.weight": "post_attention_layernorm.weight",
        "ffn_norm.weight": "post_attention_layernorm.weight",
        "ffn_gate.weight": "mlp.gate_proj.weight",
        "ffn_up.weight": "mlp.up_proj.weight",
        "ffn_down.weight": "mlp.down_proj.weight",
        "ffn_gate_inp.weight": "mlp.gate.weight",
        "ffn_gate_exps.weight": "mlp.experts.gate_proj",
        "ffn_up_exps.weight": "mlp.experts.up_proj",
        "ffn_down_exps.weight": "mlp.experts.down_proj",
        "ffn_gate_shexp.weight": "mlp.shared_expert.gate_proj.weight",
        "ffn_up_shexp.weight": "mlp.shared_expert.up_proj.weight",
        "ffn_down_shexp.weight": "mlp.shared_expert.down_proj.weight",
        "ffn_gate_inp_shexp.weight": "mlp.shared_expert_gate.weight",
    }
)

POOLING: Mapping[int, Pooling] = MappingProxyType({0: "none", 1: "mean", 3: "last", 4: "rank"})  # llama.cpp's numbers
_REFETCH = "download or convert the file again"
_LAYER = re.compile(r"blk\.(\d{1,6})\.(.+)")


@dataclass(frozen=True)
class _Keys:
    """Typed look-ups in the metadata; errors name file and key."""

    file: GGUFFile
    prefix: str

    def _value(self, key: str) -> Any:
        return self.file.metadata.get(f"{self.prefix}.{key}")

    def integer(self, key: str, default: int | None = None) -> int:
        """A whole number; a list (one per layer) must hold one number besides zeros."""
        value = self._value(key)
        if isinstance(value, list):
            distinct = {v for v in value if v != 0}
            if len(distinct) > 1:
                raise UnsupportedModelError(
                    f"{self.file.path}: {self.prefix}.{key} differs from layer to layer, which is not supported; "
                    f"use a model of uniform layers"
                )
            value = distinct.pop() if distinct else 0
        if value is None and default is not None:
            return default
        if type(value) is not int or not 0 <= value < 1 << 31:
            self._fail(key, value, "a whole number")
        return int(value)

    def number(self, key: str, default: float | None = None) -> float:
        value = self._value(key)
        if value is None and default is not None:
            return default
        if type(value) not in (int, float):
            self._fail(key, value, "a number")
        return float(value)

    def has(self, key: str) -> bool:
        return self._value(key) is not None

    def flags(self, key: str) -> list[bool] | None:
        value = self._value(key)
        if value is None:
            return None
        if not isinstance(value, list) or any(type(v) is not bool for v in value):
            self._fail(key, value, "a list of booleans")
        return list(value)

    def _fail(self, key: str, value: Any, wanted: str) -> NoReturn:
        problem = f"{self.prefix}.{key} is missing" if value is None else f"{self.prefix}.{key} is not {wanted}"
        raise ModelFileError(self.file.path, problem, _REFETCH)


def load_gguf(file: GGUFFile) -> tuple[ModelConfig, dict[str, Tensor], tuple[str, ...]]:
    """Configuration, canonical tensors and the names skipped. Raises ModelFileError, UnsupportedModelError."""
    config = read_config(file)
    check_config(file.path, config)
    tensors: dict[str, Tensor] = {}
    skipped: list[str] = []
    for name in file.infos:
        if _is_extra(name, config.num_hidden_layers):
            skipped.append(name)
            continue
        for tensor in _canonical(file, config, name):
            if tensor.name in tensors:
                raise TensorError(file.path, name, f"is a second {tensor.name!r}", _REFETCH)
            tensors[tensor.name] = tensor
    check_shapes(file.path, config, {name: tensor.shape for name, tensor in tensors.items()})
    if skipped:
        log.info(
            "%s: %d tensors of parts that are not used were skipped (%s, ...)", file.path, len(skipped), skipped[0]
        )
    return config, tensors, tuple(skipped)


def read_config(file: GGUFFile) -> ModelConfig:
    """The model's shape from the metadata, the vocabulary's size from the embedding."""
    gguf_name = file.metadata.get("general.architecture")
    if not isinstance(gguf_name, str):
        raise ModelFileError(file.path, "general.architecture is missing", "give a language model's GGUF file")
    if gguf_name not in ARCHITECTURES:
        raise UnsupportedModelError(
            f"{file.path}: architecture {gguf_name!r} is not supported; use one of {', '.join(ARCHITECTURES)}"
        )
    _refuse_unsupported(file, gguf_name)
    keys = _Keys(file, gguf_name)
    layers = _layer_count(keys)
    hybrid = gguf_name.startswith("qwen35")
    heads = keys.integer("attention.head_count")
    head_dim = keys.integer("attention.key_length", keys.integer("embedding_length") // max(heads, 1))
    if keys.integer("attention.value_length", head_dim) != head_dim:
        raise UnsupportedModelError(f"{file.path}: heads whose keys and values differ in size; use another model")
    return ModelConfig(
        architecture=ARCHITECTURES[gguf_name],
        vocab_size=_vocab_size(file),
        hidden_size=keys.integer("embedding_length"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys.integer("attention.head_count_kv", heads),
        head_dim=head_dim,
        intermediate_size=0 if gguf_name.endswith("moe") else keys.integer("feed_forward_length"),
        rms_norm_eps=keys.number("attention.layer_norm_rms_epsilon"),
        rope_theta=keys.number("rope.freq_base", 10000.0),
        rotary_dim=keys.integer("rope.dimension_count", head_dim),
        max_position_embeddings=keys.integer("context_length"),
        tie_word_embeddings="output.weight" not in file.infos,
        layer_types=_layer_types(keys, layers),
        attention_bias="blk.0.attn_q.bias" in file.infos or "blk.0.attn_qkv.bias" in file.infos,
        qk_norm=gguf_name != "qwen2",
        attn_output_gate=hybrid,
        moe=_moe(keys) if gguf_name.endswith("moe") else None,
        delta=_delta(keys) if hybrid else None,
        eos_token_ids=_eos_ids(file.metadata),
        pooling=_pooling(keys),
    )


def _refuse_unsupported(file: GGUFFile, prefix: str) -> None:
    """Options that would give wrong text if they were ignored."""
    scaling = file.metadata.get(f"{prefix}.rope.scaling.type", "none")
    if scaling != "none":
        raise UnsupportedModelError(f"{file.path}: rotary scaling {scaling!r} is not supported; use a file without it")


def _pooling(keys: _Keys) -> Pooling:
    kind = keys.integer("pooling_type", 0)
    if kind not in POOLING:
        raise UnsupportedModelError(
            f"{keys.file.path}: {keys.prefix}.pooling_type {kind} is not supported; use a model of type 1, 3 or 4"
        )
    return POOLING[kind]


def _layer_count(keys: _Keys) -> int:
    """Blocks but those of multi-token prediction; a count beyond the file's tensors is refused at once."""
    blocks = keys.integer("block_count")
    if blocks > len(keys.file.infos):
        problem = f"{keys.prefix}.block_count is {blocks}, but there are {len(keys.file.infos)} tensors"
        raise ModelFileError(keys.file.path, problem, _REFETCH)
    return blocks - keys.integer("nextn_predict_layers", 0)


def _layer_types(keys: _Keys, layers: int) -> tuple[LayerType, ...]:
    if not keys.prefix.startswith("qwen35"):
        return tuple("full_attention" for _ in range(layers))
    recurrent = keys.flags("attention.recurrent_layers")
    if recurrent is None:
        interval = max(1, keys.integer("full_attention_interval", 4))
        recurrent = [(index + 1) % interval != 0 for index in range(layers)]
    if len(recurrent) < layers:
        problem = f"{keys.prefix}.attention.recurrent_layers has {len(recurrent)} entries for {layers} layers"
        raise ModelFileError(keys.file.path, problem, _REFETCH)
    kinds: Mapping[bool, LayerType] = {True: "linear_attention", False: "full_attention"}
    return tuple(kinds[r] for r in recurrent[: max(layers, 0)])


def _moe(keys: _Keys) -> MoEConfig:
    used = keys.integer("expert_used_count")
    shared = 0
    if keys.prefix == "qwen35moe":
        has_size = keys.has("expert_shared_feed_forward_length")
        shared = keys.integer("expert_shared_feed_forward_length" if has_size else "feed_forward_length")
    if keys.has("expert_feed_forward_length"):
        inner = keys.integer("expert_feed_forward_length")
    else:
        inner = keys.integer("feed_forward_length") // max(used, 1)
    return MoEConfig(keys.integer("expert_count"), used, inner, shared)


def _delta(keys: _Keys) -> DeltaNetConfig:
    value_heads = keys.integer("ssm.time_step_rank")
    state = keys.integer("ssm.state_size")
    if keys.integer("ssm.inner_size") != value_heads * state:
        raise UnsupportedModelError(
            f"{keys.file.path}: linear attention whose keys and values differ in size; use another model"
        )
    kernel, key_heads = keys.integer("ssm.conv_kernel"), keys.integer("ssm.group_count")
    return DeltaNetConfig(kernel, key_heads, value_heads, state, state, value_head_order="tiled")


def _vocab_size(file: GGUFFile) -> int:
    if "token_embd.weight" not in file.infos:
        raise TensorError(file.path, "token_embd.weight", "missing", _REFETCH)
    return file.infos["token_embd.weight"].shape[0]


def _eos_ids(metadata: Mapping[str, Any]) -> tuple[int, ...]:
    ids = (metadata.get(f"tokenizer.ggml.{kind}_token_id") for kind in ("eos", "eot"))
    return tuple(dict.fromkeys(i for i in ids if type(i) is int))


def _is_extra(name: str, layers: int) -> bool:
    """Parts that nothing here needs: multi-token prediction (blocks after the last layer), vision, a reranker's head.

    The rows of the last are those of "yes" and "no" in the output layer.
    """
    block = _LAYER.fullmatch(name)
    return name.startswith(("v.", "mm.", "cls.")) or (block is not None and int(block[1]) >= layers)


def _canonical(file: GGUFFile, config: ModelConfig, name: str) -> list[Tensor]:
    """The canonical tensors that one tensor of the file holds: itself, or parts of a fused one."""
    tensor = file.tensor(name)
    if name in TOP_NAMES:
        return [_renamed(tensor, TOP_NAMES[name])]
    block = _LAYER.fullmatch(name)
    if block is None:
        _refuse(file, name)
    index, suffix = int(block[1]), block[2]
    prefix = f"model.layers.{index}."
    if suffix.startswith("attn_qkv.") and config.layer_types[index] == "full_attention":
        return _split_qkv(file, config, prefix, suffix.removeprefix("attn_qkv."), tensor)
    if suffix == "ffn_gate_up_exps.weight" and len(tensor.shape) == 3:
        half = tensor.shape[1] // 2
        shape = (tensor.shape[0], half, tensor.shape[2])
        gate = Tensor(prefix + "mlp.experts.gate_proj", shape, tensor.format, tensor.data[:, :half])
        return [gate, Tensor(prefix + "mlp.experts.up_proj", shape, tensor.format, tensor.data[:, half : 2 * half])]
    if suffix == "ffn_gate_inp_shexp.weight" and len(tensor.shape) == 1:
        tensor = Tensor(name, (1, *tensor.shape), tensor.format, tensor.data[None])
    if suffix not in LAYER_NAMES:
        _refuse(file, name)
    return [_renamed(tensor, prefix + LAYER_NAMES[suffix])]


def _split_qkv(file: GGUFFile, config: ModelConfig, prefix: str, kind: str, tensor: Tensor) -> list[Tensor]:
    """Query, key and value rows (or biases) of a fused projection."""
    queries = config.num_attention_heads * config.head_dim * (2 if config.attn_output_gate else 1)
    keys = config.num_key_value_heads * config.head_dim
    if tensor.shape[0] != queries + 2 * keys or len(tensor.shape) != (2 if kind == "weight" else 1):
        raise TensorError(file.path, tensor.name, f"shape {tensor.shape} is not that of fused q, k and v", _REFETCH)
    parts, start = [], 0
    for letter, rows in (("q", queries), ("k", keys), ("v", keys)):
        name = f"{prefix}self_attn.{letter}_proj.{kind}"
        if kind == "weight":
            part = tensor[start : start + rows]
            parts.append(_renamed(part, name))
        else:
            parts.append(Tensor.from_float32(name, tensor.float32()[start : start + rows]))
        start += rows
    return parts


def _renamed(tensor: Tensor, name: str) -> Tensor:
    return Tensor(name, tensor.shape, tensor.format, tensor.data)


def _refuse(file: GGUFFile, name: str) -> NoReturn:
    """A tensor of unknown use: ignoring it could give wrong text without a sign."""
    raise TensorError(file.path, name, "has no place in this model", "use an unmodified conversion of the model")
