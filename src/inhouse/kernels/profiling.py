"""A backend that measures another one: per op the calls, the seconds, the bytes that must move and the operations.

Bytes are what an op cannot avoid: its weights once (of experts, those that some token chose, at most), keys and values
read and written, recurrent states in and out. Activations stay in caches and are not counted. Operations are two per
multiplication and addition. Knows neither models nor how fast the machine could be.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from inhouse.kernels.backend import MLP, Array, Attention, Backend, DeltaNet, Linear, MoE, Norm, Weight
from inhouse.kernels.state import DeltaState, KVCache
from inhouse.weights.tensor import Tensor

T = TypeVar("T")


@dataclass
class OpCost:
    """What one op has cost so far."""

    calls: int = 0
    seconds: float = 0.0
    bytes: float = 0.0
    operations: float = 0.0


@dataclass(frozen=True)
class _Loaded:
    """A weight with its size: `shape` in elements."""

    inner: Weight
    shape: tuple[int, ...]
    nbytes: int

    @property
    def elements(self) -> float:
        return float(math.prod(self.shape))


@dataclass
class ProfilingBackend:
    """Hands every call on to `inner` and keeps `costs` by the op's name."""

    inner: Backend
    costs: dict[str, OpCost] = field(default_factory=dict)
    name: str = field(init=False)
    layout: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = f"{self.inner.name}, profiled"
        self.layout = self.inner.layout

    def load(self, tensor: Tensor) -> _Loaded:
        return _Loaded(self.inner.load(tensor), tensor.shape, tensor.nbytes)

    def vector(self, tensor: Tensor) -> Array:
        return self.inner.vector(tensor)

    def kv_cache(self, capacity: int, num_kv_heads: int, head_dim: int) -> KVCache:
        return self.inner.kv_cache(capacity, num_kv_heads, head_dim)

    def delta_state(self, op: DeltaNet) -> DeltaState:
        return self.inner.delta_state(op)

    def embed(self, table: _Loaded, ids: npt.NDArray[np.int32]) -> Array:
        moved = table.nbytes / table.shape[0] * len(ids)
        return self._timed("embed", moved, 0.0, lambda: self.inner.embed(table.inner, ids))

    def project(self, x: Array, norm: Norm | None, linears: Sequence[Linear]) -> list[Array]:
        weights: list[_Loaded] = [linear.weight for linear in linears]
        plain = [Linear(linear.weight.inner, linear.bias) for linear in linears]
        kind = "project" if max(weight.shape[0] for weight in weights) < 1 << 16 else "lm_head"
        moved, work = sum(w.nbytes for w in weights), 2 * len(x) * sum(w.elements for w in weights)
        return self._timed(kind, moved, work, lambda: self.inner.project(x, norm, plain))

    def project_add(self, x: Array, linear: Linear, residual: Array) -> Array:
        weight: _Loaded = linear.weight
        plain = Linear(weight.inner, linear.bias)
        work = 2 * len(x) * weight.elements
        return self._timed("project_add", weight.nbytes, work, lambda: self.inner.project_add(x, plain, residual))

    def attention(self, op: Attention, q: Array, k: Array, v: Array, cache: KVCache) -> Array:
        tokens, before = len(q), cache.length
        per_token = cache.nbytes / cache.capacity
        pairs = tokens * before + tokens * (tokens + 1) / 2
        work = 4 * pairs * op.num_heads * op.head_dim
        moved = per_token * (before + 2 * tokens)
        return self._timed("attention", moved, work, lambda: self.inner.attention(op, q, k, v, cache))

    def gated_delta_net(self, op: DeltaNet, qkv: Array, z: Array, b: Array, a: Array, state: DeltaState) -> Array:
        moved = 2 * (state.s.nbytes + state.conv.nbytes)
        per_token = 7 * op.num_value_heads * op.key_head_dim * op.value_head_dim + 2 * op.conv.size
        run: Callable[[], Array] = lambda: self.inner.gated_delta_net(op, qkv, z, b, a, state)  # noqa: E731
        return self._timed("gated_delta_net", moved, len(qkv) * per_token, run)

    def mlp(self, x: Array, norm: Norm, op: MLP) -> Array:
        moved, elements = _swiglu(op)
        return self._timed("mlp", moved, 2 * len(x) * elements, lambda: self.inner.mlp(x, norm, _plain(op)))

    def moe(self, x: Array, norm: Norm, op: MoE) -> Array:
        experts = op.router.shape[0]
        stacks: list[_Loaded] = [op.gate, op.up, op.down]
        # Tokens that choose at random leave an expert alone with probability (1 − k/E)^T.
        touched = 1 - (1 - op.top_k / experts) ** len(x)
        moved = op.router.nbytes + touched * sum(stack.nbytes for stack in stacks)
        elements = op.router.elements + op.top_k / experts * sum(stack.elements for stack in stacks)
        shared = None
        if op.shared is not None:
            more, extra = _swiglu(op.shared)
            moved, elements, shared = moved + more, elements + extra, _plain(op.shared)
        plain = MoE(
            op.router.inner, op.gate.inner, op.up.inner, op.down.inner, op.top_k, op.renormalise, shared, op.shared_gate
        )
        return self._timed("moe", moved, 2 * len(x) * elements, lambda: self.inner.moe(x, norm, plain))

    def _timed(self, name: str, moved: float, operations: float, run: Callable[[], T]) -> T:
        started = time.perf_counter()
        result = run()
        cost = self.costs.setdefault(name, OpCost())
        cost.seconds += time.perf_counter() - started
        cost.calls += 1
        cost.bytes += moved
        cost.operations += operations
        return result


def _swiglu(op: MLP) -> tuple[float, float]:
    weights: list[_Loaded] = [op.gate, op.up, op.down]
    return sum(weight.nbytes for weight in weights), sum(weight.elements for weight in weights)


def _plain(op: MLP) -> MLP:
    return MLP(op.gate.inner, op.up.inner, op.down.inner)
