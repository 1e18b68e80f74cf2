"""The device boundary: one method per op of the forward pass. Knows neither graphs nor requests.

An `Array` is whatever the backend computes on: NumPy float32 for `reference` and `cpu`. A `Weight` is whatever
`load` made of a tensor: models keep it and hand it back. Ops are as coarse as a fused kernel may be: a norm and the
projections that share it are one op, so that a backend can quantise the activations once.

Rows are tokens. Where an op takes a state (`KVCache`, `DeltaState`), the rows are consecutive tokens of the one
sequence that owns the state, and the op appends them to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from inhouse.kernels.state import DeltaState, KVCache
from inhouse.weights.tensor import Tensor

Array: TypeAlias = npt.NDArray[np.float32]
Weight: TypeAlias = Any


@dataclass(frozen=True)
class Norm:
    """RMS norm: x / sqrt(mean(x²) + eps) × weight."""

    weight: Array  # (D,)
    eps: float


@dataclass(frozen=True)
class Linear:
    """y = x Wᵀ + bias."""

    weight: Weight  # (rows, columns)
    bias: Array | None = None  # (rows,)


@dataclass(frozen=True)
class Attention:
    """Everything of a softmax attention but its projections."""

    num_heads: int
    num_kv_heads: int
    head_dim: int
    rotary_dim: int
    rope_theta: float
    q_norm: Norm | None  # per head
    k_norm: Norm | None
    gated: bool  # q rows hold, per head, head_dim of query then head_dim of output gate


@dataclass(frozen=True)
class DeltaNet:
    """Everything of a Gated DeltaNet layer but its projections. HV value heads, HK key heads."""

    num_key_heads: int
    num_value_heads: int
    key_head_dim: int
    value_head_dim: int
    tiled: bool  # value head h uses key head h % HK if tiled, else h // (HV / HK)
    conv: Array  # (2·HK·DK + HV·DV, kernel), newest tap last
    a: Array  # (HV,) = −exp(A_log)
    dt_bias: Array  # (HV,)
    norm: Norm  # over one value head


@dataclass(frozen=True)
class MLP:
    """SwiGLU: down(silu(gate x) × up x)."""

    gate: Weight  # (I, H)
    up: Weight  # (I, H)
    down: Weight  # (H, I)


@dataclass(frozen=True)
class MoE:
    """Routed experts plus an optional shared one, scaled by sigmoid(shared_gate · x)."""

    router: Weight  # (E, H), softmax in float32
    gate: Weight  # (E, I, H)
    up: Weight  # (E, I, H)
    down: Weight  # (E, H, I)
    top_k: int
    renormalise: bool
    shared: MLP | None = None
    shared_gate: Array | None = None  # (H,)


class Backend(Protocol):
    """One device. Methods return new arrays unless they say otherwise; all shapes row-major."""

    name: str
    layout: str  # names how states lie in memory: one backend's can be put into another's of the same layout

    def load(self, tensor: Tensor) -> Weight:
        """Makes a matrix (2-D) or a stack of them (3-D) usable by the ops below, by view where possible."""

    def vector(self, tensor: Tensor) -> Array:
        """A small parameter as float32 of the tensor's shape."""

    def kv_cache(self, capacity: int, num_kv_heads: int, head_dim: int) -> KVCache:
        """Room for `capacity` tokens of keys and values; memory is touched only as it fills."""

    def delta_state(self, op: DeltaNet) -> DeltaState:
        """The zero state of a Gated DeltaNet layer."""

    def embed(self, table: Weight, ids: npt.NDArray[np.int32]) -> Array:
        """Rows `ids` (T,) of the table as (T, H)."""

    def project(self, x: Array, norm: Norm | None, linears: Sequence[Linear]) -> list[Array]:
        """[norm(x) Wᵀ + b for each linear]: (T, H) to a (T, rows) each."""

    def project_add(self, x: Array, linear: Linear, residual: Array) -> Array:
        """residual + x Wᵀ + b; may write into `residual` and return it."""

    def attention(self, op: Attention, q: Array, k: Array, v: Array, cache: KVCache) -> Array:
        """Causal attention of T new tokens, which are appended to `cache` (rotary positions start at its length).

        q (T, heads·head_dim), twice as wide if gated; k, v (T, kv_heads·head_dim), neither normed nor rotated.
        Returns (T, heads·head_dim), gated where the op says so.
        """

    def gated_delta_net(self, op: DeltaNet, qkv: Array, z: Array, b: Array, a: Array, state: DeltaState) -> Array:
        """Gated DeltaNet over T new tokens: convolution + SiLU, L2-normed q and k, delta rule, gated norm.

        qkv (T, conv channels), z (T, HV·DV), b and a (T, HV). Advances `state`. Returns (T, HV·DV).
        Source: Yang et al., "Gated Delta Networks", 2024; conventions of Qwen3.5 (see docs/architecture.md).
        """

    def mlp(self, x: Array, norm: Norm, op: MLP) -> Array:
        """x + mlp(norm(x)); may write into `x` and return it."""

    def moe(self, x: Array, norm: Norm, op: MoE) -> Array:
        """x + experts(norm(x)); may write into `x` and return it."""
