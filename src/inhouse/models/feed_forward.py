"""The two feed-forwards: one SwiGLU network, or a mixture of many. Knows not the rest of a layer."""

from __future__ import annotations

from dataclasses import dataclass

from inhouse.errors import UnsupportedModelError
from inhouse.kernels.backend import MLP, Array, Backend, MoE, Norm
from inhouse.models.parameters import Parameters
from inhouse.weights.config import ModelConfig


@dataclass(frozen=True)
class DenseMLP:
    """x + mlp(norm(x))."""

    norm: Norm
    op: MLP

    def forward(self, backend: Backend, x: Array) -> Array:
        return backend.mlp(x, self.norm, self.op)


@dataclass(frozen=True)
class SparseMoE:
    """x + Σ of the chosen experts(norm(x)), plus the shared expert's."""

    norm: Norm
    op: MoE

    def forward(self, backend: Backend, x: Array) -> Array:
        return backend.moe(x, self.norm, self.op)


def dense_mlp(config: ModelConfig, layer: Parameters) -> DenseMLP:
    """The layer's `mlp` as one network."""
    norm = layer.norm("post_attention_layernorm", config.hidden_size, config.rms_norm_eps)
    return DenseMLP(norm, layer.under("mlp").swiglu(config.hidden_size, config.intermediate_size))


def sparse_moe(config: ModelConfig, layer: Parameters) -> SparseMoE:
    """The layer's `mlp` as routed experts and, where the config gives it a size, the shared one."""
    p = layer.under("mlp")
    moe, size = config.moe, config.hidden_size
    if moe is None:
        raise UnsupportedModelError(f"{layer.model}: has experts but no sizes for them; complete its config")
    experts, inner = moe.num_experts, moe.moe_intermediate_size
    has_shared = moe.shared_expert_intermediate_size > 0
    op = MoE(
        router=p.matrix("gate.weight", experts, size),
        gate=p.matrix("experts.gate_proj", experts, inner, size),
        up=p.matrix("experts.up_proj", experts, inner, size),
        down=p.matrix("experts.down_proj", experts, size, inner),
        top_k=moe.num_experts_per_tok,
        renormalise=moe.norm_topk_prob,
        shared=p.under("shared_expert").swiglu(size, moe.shared_expert_intermediate_size) if has_shared else None,
        shared_gate=p.vector("shared_expert_gate.weight", 1, size).reshape(size) if has_shared else None,
    )
    return SparseMoE(layer.norm("post_attention_layernorm", size, config.rms_norm_eps), op)
