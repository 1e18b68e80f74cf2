"""The two token mixers: softmax attention and Gated DeltaNet, each with its projections and its norm.

Their cores are ops of the backend; this file says what is projected from what. Knows neither the rest of a layer nor
which layers use which mixer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inhouse.kernels.backend import Array, Attention, Backend, DeltaNet, Linear, Norm
from inhouse.kernels.state import DeltaState, KVCache
from inhouse.models.parameters import Parameters
from inhouse.weights.config import ModelConfig


@dataclass(frozen=True)
class SelfAttention:
    """x + o(attention(q(y), k(y), v(y))) with y = norm(x)."""

    op: Attention
    norm: Norm
    q: Linear
    k: Linear
    v: Linear
    o: Linear

    def new_state(self, backend: Backend, capacity: int) -> KVCache:
        return backend.kv_cache(capacity, self.op.num_kv_heads, self.op.head_dim)

    def forward(self, backend: Backend, x: Array, rows: Sequence[slice], states: Sequence[KVCache]) -> Array:
        q, k, v = backend.project(x, self.norm, [self.q, self.k, self.v])
        mixed = [backend.attention(self.op, q[r], k[r], v[r], cache) for r, cache in zip(rows, states, strict=True)]
        return backend.project_add(_joined(mixed), self.o, x)


@dataclass(frozen=True)
class GatedDeltaNet:
    """x + out(delta_net(qkv(y), z(y), b(y), a(y))) with y = norm(x)."""

    op: DeltaNet
    norm: Norm
    qkv: Linear
    z: Linear
    b: Linear
    a: Linear
    out: Linear

    def new_state(self, backend: Backend, capacity: int) -> DeltaState:
        return backend.delta_state(self.op)

    def forward(self, backend: Backend, x: Array, rows: Sequence[slice], states: Sequence[DeltaState]) -> Array:
        qkv, z, b, a = backend.project(x, self.norm, [self.qkv, self.z, self.b, self.a])
        mixed = [
            backend.gated_delta_net(self.op, qkv[r], z[r], b[r], a[r], state)
            for r, state in zip(rows, states, strict=True)
        ]
        return backend.project_add(_joined(mixed), self.out, x)


def self_attention(
    config: ModelConfig, layer: Parameters, *, qk_norm: bool = False, output_gate: bool = False
) -> SelfAttention:
    """The layer's `self_attn`. `output_gate`: q_proj yields, per head, the query and then the gate of its result."""
    p = layer.under("self_attn")
    op = Attention(
        num_heads=config.num_attention_heads,
        num_kv_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        rotary_dim=config.rotary_dim,
        rope_theta=config.rope_theta,
        q_norm=p.norm("q_norm", config.rms_norm_eps) if qk_norm else None,
        k_norm=p.norm("k_norm", config.rms_norm_eps) if qk_norm else None,
        gated=output_gate,
    )
    return SelfAttention(
        op=op,
        norm=layer.norm("input_layernorm", config.rms_norm_eps),
        q=p.linear("q_proj", bias=config.attention_bias),
        k=p.linear("k_proj", bias=config.attention_bias),
        v=p.linear("v_proj", bias=config.attention_bias),
        o=p.linear("o_proj"),
    )


def gated_delta_net(config: ModelConfig, layer: Parameters) -> GatedDeltaNet:
    """The layer's `linear_attn`."""
    assert config.delta is not None
    p, delta = layer.under("linear_attn"), config.delta
    op = DeltaNet(
        num_key_heads=delta.num_key_heads,
        num_value_heads=delta.num_value_heads,
        key_head_dim=delta.key_head_dim,
        value_head_dim=delta.value_head_dim,
        tiled=delta.value_head_order == "tiled",
        conv=p.vector("conv1d.weight"),
        a=p.vector("A"),
        dt_bias=p.vector("dt_bias"),
        norm=p.norm("norm", config.rms_norm_eps),
    )
    return GatedDeltaNet(
        op=op,
        norm=layer.norm("input_layernorm", config.rms_norm_eps),
        qkv=p.linear("in_proj_qkv"),
        z=p.linear("in_proj_z"),
        b=p.linear("in_proj_b"),
        a=p.linear("in_proj_a"),
        out=p.linear("out_proj"),
    )


def _joined(parts: Sequence[Array]) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
