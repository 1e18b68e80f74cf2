"""What Hugging Face's config.json and tensor names mean for the supported models. Knows neither bytes nor devices.

Reads what transformers saves and what the publisher ships: text-only names or the nested ones of multimodal models,
experts fused in 3-D tensors or one matrix per expert, rotary settings in `rope_parameters` or beside it. Norm weights
become effective here: (1 + w) where the architecture applies that.

Source: transformers' configuration and modelling files of each `model_type`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from inhouse.errors import ModelFileError, ModelNotFoundError, TensorError, UnsupportedModelError
from inhouse.weights.config import Architecture, DeltaNetConfig, LayerType, ModelConfig, MoEConfig
from inhouse.weights.expected import Shape, check_config, check_shapes
from inhouse.weights.formats import Format
from inhouse.weights.safetensors import INDEX_NAME, Entry, read_indexed, read_json_file, read_safetensors
from inhouse.weights.tensor import Tensor

log = logging.getLogger(__name__)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        "qwen3_5_moe": "qwen3_5_moe", "qwen3_5_moe_text": "qwen3_5_moe", "qwen3_5": "qwen3_5",
        "qwen3_5_text": "qwen3_5", "qwen3_moe": "qwen3_moe", "qwen3": "qwen3", "qwen2": "qwen2",
    }
)  # fmt: skip

_REFETCH = "download the model again"
_EXPERT = re.compile(r"(model\.layers\.\d+\.mlp\.experts)\.(\d{1,5})\.(gate|up|down)_proj\.weight")
_EXTRA = ("mtp.", "model.visual.", "visual.", "model.mtp.")


class Tensors(Mapping[str, Tensor]):
    """Canonical tensors. One of an expert per matrix is stacked, by copy, each time it is asked for."""

    def __init__(self, made: dict[str, Tensor], stacks: dict[str, list[Tensor]]) -> None:
        self._made = made
        self._stacks = stacks

    def __getitem__(self, name: str) -> Tensor:
        if name in self._made:
            return self._made[name]
        parts = self._stacks[name]
        return Tensor(name, (len(parts), *parts[0].shape), parts[0].format, np.stack([p.data for p in parts]))

    def __iter__(self) -> Iterator[str]:
        yield from self._made
        yield from self._stacks

    def __len__(self) -> int:
        return len(self._made) + len(self._stacks)

    def shapes(self) -> dict[str, Shape]:
        """Name to shape, without stacking."""
        stacked = {name: (len(parts), *parts[0].shape) for name, parts in self._stacks.items()}
        return {name: tensor.shape for name, tensor in self._made.items()} | stacked

    def formats(self) -> dict[str, Format]:
        """Name to number format, without stacking."""
        stacked = {name: parts[0].format for name, parts in self._stacks.items()}
        return {name: tensor.format for name, tensor in self._made.items()} | stacked


def load_huggingface(path: Path) -> tuple[ModelConfig, Tensors, tuple[str, ...]]:
    """A model directory, or one .safetensors file with config.json beside it.

    Returns configuration, canonical tensors and the names skipped. Raises ModelNotFoundError, ModelFileError or
    UnsupportedModelError.
    """
    folder = path if path.is_dir() else path.parent
    raw = read_json_file(folder / "config.json")
    entries = read_safetensors(path) if path.is_file() else _read_folder(path)
    config = read_config(folder / "config.json", raw, frozenset(entries))
    check_config(folder / "config.json", config)
    tensors, skipped = _canonical(config, entries)
    check_shapes(path, config, tensors.shapes())
    if skipped:
        log.info("%s: %d tensors of parts that are not used were skipped (%s, ...)", path, len(skipped), skipped[0])
    return config, tensors, tuple(skipped)


def _read_folder(folder: Path) -> dict[str, Entry]:
    if (folder / INDEX_NAME).is_file():
        return read_indexed(folder / INDEX_NAME)
    if (folder / "model.safetensors").is_file():
        return read_safetensors(folder / "model.safetensors")
    raise ModelNotFoundError(f"{folder}: neither model.safetensors nor {INDEX_NAME}; download the model again")


@dataclass(frozen=True)
class _Keys:
    """Typed look-ups in config.json; errors name file and key."""

    path: Path
    values: Mapping[str, Any]

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if type(value) is not int or not 0 <= value < 1 << 31:
            raise ModelFileError(self.path, f"{key} is {value!r}, not a whole number", _REFETCH)
        return value

    def number(self, key: str, default: float) -> float:
        value = self.values.get(key)
        if value is None:
            return default
        if type(value) not in (int, float):
            raise ModelFileError(self.path, f"{key} is {value!r}, not a number", _REFETCH)
        try:
            return float(value)
        except OverflowError:
            raise ModelFileError(self.path, f"{key} is too large a number", _REFETCH) from None

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        return default if value is None else value is True

    def section(self, key: str) -> _Keys:
        value = self.values.get(key)
        return _Keys(self.path, value if isinstance(value, dict) else {})


def read_config(path: Path, raw: Mapping[str, Any], names: frozenset[str]) -> ModelConfig:
    """The text model's shape; `names`, the tensors there are, bound it and settle what older files leave out."""
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in ARCHITECTURES:
        supported = ", ".join(ARCHITECTURES)
        raise UnsupportedModelError(f"{path}: model_type {model_type!r} is not supported; use one of {supported}")
    architecture = ARCHITECTURES[model_type]
    keys = _Keys(path, raw["text_config"] if isinstance(raw.get("text_config"), dict) else raw)
    rope = _rope(keys)
    _refuse_unsupported(path, raw, keys, rope)
    hybrid = architecture.startswith("qwen3_5")
    layers, heads = keys.integer("num_hidden_layers"), keys.integer("num_attention_heads")
    if layers > len(names):
        raise ModelFileError(path, f"num_hidden_layers is {layers}, but there are {len(names)} tensors", _REFETCH)
    default_head = {"qwen2": keys.integer("hidden_size") // max(heads, 1)}.get(architecture, 256 if hybrid else 128)
    head_dim = keys.integer("head_dim", default_head)
    rotated = rope.number("partial_rotary_factor", keys.number("partial_rotary_factor", 0.25 if hybrid else 1.0))
    if not 0 < rotated <= 1:
        raise ModelFileError(path, f"partial_rotary_factor is {rotated}", _REFETCH)
    return ModelConfig(
        architecture=architecture,
        vocab_size=keys.integer("vocab_size"),
        hidden_size=keys.integer("hidden_size"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=keys.integer("num_key_value_heads", heads),
        head_dim=head_dim,
        intermediate_size=0 if architecture.endswith("moe") else keys.integer("intermediate_size"),
        rms_norm_eps=keys.number("rms_norm_eps", 1e-6),
        rope_theta=rope.number("rope_theta", keys.number("rope_theta", 10000.0)),
        rotary_dim=int(head_dim * rotated),
        max_position_embeddings=keys.integer("max_position_embeddings", 32768),
        tie_word_embeddings=keys.flag("tie_word_embeddings", "lm_head.weight" not in names),
        layer_types=_layer_types(keys, layers, hybrid),
        attention_bias=architecture == "qwen2" or keys.flag("attention_bias", False),
        qk_norm=architecture != "qwen2",
        attn_output_gate=hybrid,
        moe=_moe(keys, hybrid) if architecture.endswith("moe") else None,
        delta=_delta(keys) if hybrid else None,
        eos_token_ids=_eos_ids(keys),
    )


def _rope(keys: _Keys) -> _Keys:
    """Rotary settings, wherever this file's vintage keeps them."""
    section = keys.section("rope_parameters")
    return section if section.values else keys.section("rope_scaling")


def _refuse_unsupported(path: Path, raw: Mapping[str, Any], keys: _Keys, rope: _Keys) -> None:
    """Options that would give wrong text if they were ignored."""
    scaling = rope.values.get("rope_type", rope.values.get("type", "default"))
    dense_layers = keys.values.get("mlp_only_layers") or keys.integer("decoder_sparse_step", 1) != 1
    refused = {
        f"rotary scaling {scaling!r}": scaling not in ("default", "mrope"),
        "sliding window attention": keys.flag("use_sliding_window", False),
        "a mix of dense and expert layers": bool(dense_layers),
        f"activation {keys.values.get('hidden_act')!r}": keys.values.get("hidden_act", "silu") != "silu",
        "quantised safetensors": bool(raw.get("quantization_config") or keys.values.get("quantization_config")),
        "attention without an output gate": keys.values.get("attn_output_gate") is False,
    }
    for option, present in refused.items():
        if present:
            raise UnsupportedModelError(f"{path}: {option} is not supported; use a GGUF file or another model")


def _layer_types(keys: _Keys, layers: int, hybrid: bool) -> tuple[LayerType, ...]:
    listed = keys.values.get("layer_types")
    if listed is None:
        interval = max(1, keys.integer("full_attention_interval", 4)) if hybrid else 1
        return tuple("full_attention" if (i + 1) % interval == 0 else "linear_attention" for i in range(layers))
    if not isinstance(listed, list):
        raise ModelFileError(keys.path, "layer_types is not a list", _REFETCH)
    known: Mapping[Any, LayerType] = {"full_attention": "full_attention", "linear_attention": "linear_attention"}
    for kind in listed:
        if not isinstance(kind, str) or kind not in known or (kind == "linear_attention" and not hybrid):
            raise UnsupportedModelError(f"{keys.path}: layer type {kind!r} is not supported; use another model")
    return tuple(known[kind] for kind in listed)


def _moe(keys: _Keys, hybrid: bool) -> MoEConfig:
    experts = "num_experts" if keys.values.get("num_experts") is not None else "num_local_experts"
    return MoEConfig(
        num_experts=keys.integer(experts),
        num_experts_per_tok=keys.integer("num_experts_per_tok"),
        moe_intermediate_size=keys.integer("moe_intermediate_size"),
        shared_expert_intermediate_size=keys.integer("shared_expert_intermediate_size") if hybrid else 0,
        norm_topk_prob=hybrid or keys.flag("norm_topk_prob", False),
    )


def _delta(keys: _Keys) -> DeltaNetConfig:
    return DeltaNetConfig(
        conv_kernel_dim=keys.integer("linear_conv_kernel_dim"),
        num_key_heads=keys.integer("linear_num_key_heads"),
        num_value_heads=keys.integer("linear_num_value_heads"),
        key_head_dim=keys.integer("linear_key_head_dim"),
        value_head_dim=keys.integer("linear_value_head_dim"),
        value_head_order="grouped",
    )


def _eos_ids(keys: _Keys) -> tuple[int, ...]:
    """Of generation_config.json, which overrides config.json, if it is there."""
    generation = keys.path.with_name("generation_config.json")
    raw = read_json_file(generation).get("eos_token_id") if generation.is_file() else None
    ids = keys.values.get("eos_token_id") if raw is None else raw
    return tuple(i for i in (ids if isinstance(ids, list) else [ids]) if type(i) is int)


def _canonical(config: ModelConfig, entries: Mapping[str, Entry]) -> tuple[Tensors, list[str]]:
    made: dict[str, Tensor] = {}
    experts: dict[str, dict[int, Tensor]] = {}
    skipped: list[str] = []
    for full_name, entry in entries.items():
        name = full_name.replace("model.language_model.", "model.", 1)
        if full_name.startswith(_EXTRA) or (name == "lm_head.weight" and config.tie_word_embeddings):
            skipped.append(full_name)
            continue
        expert = _EXPERT.fullmatch(name)
        if expert is not None:
            experts.setdefault(f"{expert[1]}.{expert[3]}_proj", {})[int(expert[2])] = entry.tensor()
            continue
        for tensor in _convert(config, name, entry):
            if tensor.name in made:
                raise TensorError(entry.path, full_name, f"is a second {tensor.name!r}", _REFETCH)
            made[tensor.name] = tensor
    stacks = {name: _stack(name, parts, entries) for name, parts in experts.items()}
    for name in stacks.keys() & made.keys():
        raise TensorError(entries[stacks[name][0].name].path, name, "is there fused and per expert", _REFETCH)
    return Tensors(made, stacks), skipped


def _stack(name: str, parts: Mapping[int, Tensor], entries: Mapping[str, Entry]) -> list[Tensor]:
    """The matrices of all experts in order, which must be alike."""
    first = next(iter(parts.values()))
    for index in range(len(parts)):
        if index not in parts:
            raise TensorError(entries[first.name].path, name, f"expert {index} is missing", _REFETCH)
        if parts[index].shape != first.shape or parts[index].format is not first.format:
            raise TensorError(entries[first.name].path, parts[index].name, "differs from its siblings", _REFETCH)
    return [parts[index] for index in range(len(parts))]


def _convert(config: ModelConfig, name: str, entry: Entry) -> list[Tensor]:
    """The canonical tensors that one tensor holds: a view, or new values where they mean something else."""
    tensor = entry.tensor()
    if name.endswith(".mlp.experts.gate_up_proj") and len(tensor.shape) == 3:
        prefix, half = name.removesuffix("gate_up_proj"), tensor.shape[1] // 2
        shape = (tensor.shape[0], half, tensor.shape[2])
        gate = Tensor(prefix + "gate_proj", shape, tensor.format, tensor.data[:, :half])
        return [gate, Tensor(prefix + "up_proj", shape, tensor.format, tensor.data[:, half : 2 * half])]
    if name.endswith(".linear_attn.A_log"):
        with np.errstate(over="ignore"):
            return [Tensor.from_float32(name.removesuffix("A_log") + "A", -np.exp(tensor.float32()))]
    if name.endswith(".linear_attn.conv1d.weight") and len(tensor.shape) == 3 and tensor.shape[1] == 1:
        return [Tensor(name, (tensor.shape[0], tensor.shape[2]), tensor.format, tensor.data[:, 0])]
    if name.endswith("norm.weight") and config.architecture.startswith("qwen3_5") and "linear_attn" not in name:
        return [Tensor.from_float32(name, tensor.float32() + np.float32(1))]
    return [Tensor(name, tensor.shape, tensor.format, tensor.data)]
