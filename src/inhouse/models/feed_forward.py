"""The two feed-forwards: one SwiGLU network, or a mixture of many. Knows not the rest of a layer."""

from __future__ import annotations

from dataclasses import dataclass

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
    return DenseMLP(layer.norm("post_attention_layernorm", config.rms_norm_eps), layer.under("mlp").swiglu())


def sparse_moe(config: ModelConfig, layer: Parameters) -> SparseMoE:
    """The layer's `mlp` as routed experts and, where the configuration gives it a size, the shared one."""
    assert config.moe is not None
    p, moe = layer.under("mlp"), config.moe
    has_shared = moe.shared_expert_intermediate_size > 0
    op = MoE(
        router=p.matrix("gate.weight"),
        gate=p.matrix("experts.gate_proj"),
        up=p.matrix("experts.up_proj"),
        down=p.matrix("experts.down_proj"),
        top_k=moe.num_experts_per_tok,
        renormalise=moe.norm_topk_prob,
        shared=p.under("shared_expert").swiglu() if has_shared else None,
        shared_gate=p.vector("shared_expert_gate.weight").reshape(-1) if has_shared else None,
    )
    return SparseMoE(layer.norm("post_attention_layernorm", config.rms_norm_eps), op)
