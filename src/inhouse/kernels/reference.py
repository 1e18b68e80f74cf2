"""The truth: every op of the `Backend` protocol in plain NumPy float32, written to be read and checked against.

Knows nothing of speed: weights stay as they lie in the file and each op dequantises what it needs, each time;
recurrences run token by token. Faster backends are tested against this one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inhouse.kernels.backend import MLP, Array, Attention, DeltaNet, Linear, MoE, Norm
from inhouse.kernels.state import DeltaState, KVCache
from inhouse.weights.kv import SCALE_GROUP, kv_format, scale_groups
from inhouse.weights.tensor import Tensor

# Rows of a matrix in float32 at a time: a whole vocabulary's would take gigabytes.
_SLAB = 16384
_L2_EPS = 1e-6


class ReferenceBackend:
    """NumPy on the host. Never writes into its arguments, states excepted.

    `kv`: "f16" keeps keys and values as they are, in float32; "int8" rounds them. Raises ParameterError for others.
    """

    name = "reference"

    def __init__(self, kv: str = "f16") -> None:
        self.kv = kv_format(kv)
        self.layout = "reference" if self.kv == "f16" else f"reference, {self.kv} keys and values"

    def load(self, tensor: Tensor) -> Tensor:
        """The tensor itself: still quantised, still in the file's bytes."""
        return tensor

    def vector(self, tensor: Tensor) -> Array:
        """The values as float32 of the tensor's shape."""
        return tensor.float32()

    def kv_cache(self, capacity: int, num_kv_heads: int, head_dim: int) -> KVCache:
        """Keys and values as rows; zeroed lazily by the system, so that memory is touched only as it fills."""
        shape = (num_kv_heads, capacity, head_dim)
        if self.kv == "f16":
            return KVCache(np.zeros(shape, np.float32), np.zeros(shape, np.float32))
        key_scales = np.zeros((*shape[:2], scale_groups(head_dim)), np.float32)
        value_scales = np.zeros((*shape[:2], 1), np.float32)
        return KVCache(np.zeros(shape, np.int8), np.zeros(shape, np.int8), key_scales, value_scales)

    def delta_state(self, op: DeltaNet) -> DeltaState:
        """The zero state."""
        channels, kernel = op.conv.shape
        conv = np.zeros((kernel - 1, channels), np.float32)
        return DeltaState(conv, np.zeros((op.num_value_heads, op.value_head_dim, op.key_head_dim), np.float32))

    def embed(self, table: Tensor, ids: npt.NDArray[np.int32]) -> Array:
        """Rows `ids` (T,) of the table as (T, H)."""
        panel = table.format.panel_rows
        if panel == 1:
            return Tensor(table.name, (len(ids), table.shape[1]), table.format, table.data[ids]).float32()
        panels = table.data.reshape(-1, panel, table.data.shape[1])[ids // panel]  # (T, panel, row_bytes)
        rows = Tensor(table.name, (len(ids), panel, table.shape[1]), table.format, panels).float32()
        return rows[np.arange(len(ids)), ids % panel]

    def project(self, x: Array, norm: Norm | None, linears: Sequence[Linear]) -> list[Array]:
        """[norm(x) Wᵀ + b for each linear]: (T, H) to a (T, rows) each."""
        y = rms_norm(x, norm) if norm else x
        return [matmul(y, linear.weight) + (0 if linear.bias is None else linear.bias) for linear in linears]

    def project_add(self, x: Array, linear: Linear, residual: Array) -> Array:
        """residual + x Wᵀ + b."""
        return residual + self.project(x, None, [linear])[0]

    def attention(self, op: Attention, q: Array, k: Array, v: Array, cache: KVCache) -> Array:
        """Causal softmax attention over the cache and the new tokens; see `Backend.attention`."""
        tokens, start = len(q), cache.length
        end = start + tokens
        assert end <= cache.capacity, (end, cache.capacity)
        heads = q.reshape(tokens, op.num_heads, -1)  # (T, N, D), or (T, N, 2D) if gated
        query, gate = heads[:, :, : op.head_dim], heads[:, :, op.head_dim :]
        key = k.reshape(tokens, op.num_kv_heads, op.head_dim)
        query = rms_norm(query, op.q_norm) if op.q_norm else query
        key = rms_norm(key, op.k_norm) if op.k_norm else key
        positions = np.arange(start, end)
        query = rotate(query, positions, op.rotary_dim, op.rope_theta)
        new_keys = rotate(key, positions, op.rotary_dim, op.rope_theta).swapaxes(0, 1)
        keys = extend(cache.keys, cache.key_scales, start, new_keys)
        values = extend(cache.values, cache.value_scales, start, v.reshape(key.shape).swapaxes(0, 1))
        cache.length = end

        future = np.arange(end)[None, :] > positions[:, None]  # (T, S)
        out = np.empty((tokens, op.num_heads, op.head_dim), np.float32)
        for head in range(op.num_heads):
            kv_head = head // (op.num_heads // op.num_kv_heads)
            scores = query[:, head] @ keys[kv_head].T / np.float32(np.sqrt(op.head_dim))
            out[:, head] = softmax(np.where(future, -np.inf, scores)) @ values[kv_head]
        if op.gated:
            out *= sigmoid(gate)
        return out.reshape(tokens, -1)

    def gated_delta_net(self, op: DeltaNet, qkv: Array, z: Array, b: Array, a: Array, state: DeltaState) -> Array:
        """The delta rule as written, one token after another; see `Backend.gated_delta_net`."""
        tokens, value_heads = len(qkv), op.num_value_heads
        mixed = silu(causal_conv(op.conv, qkv, state))
        key_dim = op.num_key_heads * op.key_head_dim
        q, k, v = np.split(mixed, [key_dim, 2 * key_dim], axis=1)
        of_value_head = np.arange(value_heads)  # the key head that each value head uses
        of_value_head = (
            of_value_head % op.num_key_heads if op.tiled else of_value_head * op.num_key_heads // value_heads
        )
        q = l2_norm(q.reshape(tokens, op.num_key_heads, op.key_head_dim))[:, of_value_head]  # (T, HV, DK)
        k = l2_norm(k.reshape(tokens, op.num_key_heads, op.key_head_dim))[:, of_value_head]
        q = q / np.float32(np.sqrt(op.key_head_dim))
        v = v.reshape(tokens, value_heads, op.value_head_dim)
        beta = sigmoid(b)  # (T, HV)
        decay = np.exp(op.a * np.logaddexp(np.float32(0), a + op.dt_bias))

        out = np.empty_like(v)
        for t in range(tokens):
            s = state.s * decay[t, :, None, None]  # (HV, DV, DK)
            recalled = np.einsum("hvk,hk->hv", s, k[t])
            s += np.einsum("hv,hk->hvk", beta[t, :, None] * (v[t] - recalled), k[t])
            out[t] = np.einsum("hvk,hk->hv", s, q[t])
            state.s[...] = s
        state.length += tokens
        gated = rms_norm(out, op.norm) * silu(z.reshape(v.shape))
        return gated.reshape(tokens, -1)

    def mlp(self, x: Array, norm: Norm, op: MLP) -> Array:
        """x + mlp(norm(x))."""
        return x + swiglu(rms_norm(x, norm), op.gate, op.up, op.down)

    def moe(self, x: Array, norm: Norm, op: MoE) -> Array:
        """x + experts(norm(x)); equal router probabilities go to the lower expert."""
        y = rms_norm(x, norm)
        probabilities = softmax(matmul(y, op.router))  # (T, E)
        chosen = np.argsort(-probabilities, axis=1, kind="stable")[:, : op.top_k]  # (T, K)
        weights = np.take_along_axis(probabilities, chosen, axis=1)
        if op.renormalise:
            weights /= weights.sum(axis=1, keepdims=True)
        out = x.copy()
        for expert in np.unique(chosen):
            token, slot = np.nonzero(chosen == expert)
            part = swiglu(y[token], op.gate[expert], op.up[expert], op.down[expert])
            out[token] += weights[token, slot, None] * part
        if op.shared:
            scale = np.float32(1) if op.shared_gate is None else sigmoid(y @ op.shared_gate)[:, None]
            out += scale * swiglu(y, op.shared.gate, op.shared.up, op.shared.down)
        return out


def extend(kept: npt.NDArray[Any], scales: Array | None, start: int, rows: Array) -> Array:
    """Writes `rows` (heads, T, D) behind the first `start` tokens that are kept; all rows, as they are kept.

    With `scales` (heads, capacity, groups) they are kept as int8; one group is the whole row.
    """
    end = start + rows.shape[1]
    if scales is None:
        kept[:, start:end] = rows
        return kept[:, :end]
    dim = rows.shape[2]
    group = dim if scales.shape[2] == 1 else SCALE_GROUP
    for g, first in enumerate(range(0, dim, group)):
        part = np.s_[:, start:end, first : first + group]
        kept[part], scales[:, start:end, g] = quantize_rows(rows[:, :, first : first + group])
    return kept[:, :end] * np.repeat(scales[:, :end], group, axis=2)[:, :, :dim]


def quantize_rows(rows: Array) -> tuple[npt.NDArray[np.int8], Array]:
    """Codes (..., D) and scales (...) of rows (..., D): the largest magnitude becomes 127."""
    largest: Array = np.abs(rows).max(axis=-1)
    inverse = np.divide(np.float32(127), largest, out=np.zeros_like(largest), where=largest > 0)
    return np.rint(rows * inverse[..., None]).astype(np.int8), largest / np.float32(127)


def matmul(x: Array, weight: Tensor) -> Array:
    """x Wᵀ: (T, columns) and a weight (rows, columns) to (T, rows)."""
    rows = weight.shape[0]
    slabs = [x @ weight[first : first + _SLAB].float32().T for first in range(0, rows, _SLAB)]
    return np.concatenate(slabs, axis=1)


def swiglu(x: Array, gate: Tensor, up: Tensor, down: Tensor) -> Array:
    """down(silu(gate x) × up x)."""
    return matmul(silu(matmul(x, gate)) * matmul(x, up), down)


def rms_norm(x: Array, norm: Norm) -> Array:
    """Over the last axis."""
    variance: Array = np.mean(x * x, axis=-1, keepdims=True)
    root: Array = np.sqrt(variance + np.float32(norm.eps))
    return x / root * norm.weight


def l2_norm(x: Array) -> Array:
    """x / sqrt(Σx² + 1e-6) over the last axis."""
    squares: Array = np.sum(x * x, axis=-1, keepdims=True)
    root: Array = np.sqrt(squares + np.float32(_L2_EPS))
    return x / root


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(−x)) without overflow at either end."""
    return np.exp(-np.logaddexp(np.float32(0), -x))


def silu(x: Array) -> Array:
    """x × sigmoid(x)."""
    return x * sigmoid(x)


def softmax(x: Array) -> Array:
    """Over the last axis; −inf entries get probability zero."""
    e: Array = np.exp(x - x.max(axis=-1, keepdims=True))
    total: Array = e.sum(axis=-1, keepdims=True)
    return e / total


def rotate(x: Array, positions: npt.NDArray[np.int64], rotary_dim: int, theta: float) -> Array:
    """Rotary position embedding of (T, heads, D): dimension i of the first `rotary_dim` pairs with i + rotary_dim / 2.

    Source: Su et al., "RoFormer", 2021, in the half-split arrangement of GPT-NeoX. Angles are taken in float64:
    at long contexts a float32 product of position and frequency has no correct digit left after the point.
    """
    half = rotary_dim // 2
    angles = positions[:, None] * theta ** (-np.arange(half) / half)  # (T, half)
    cos, sin = np.cos(angles).astype(np.float32)[:, None], np.sin(angles).astype(np.float32)[:, None]
    first, second, rest = np.split(x, [half, rotary_dim], axis=-1)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin, rest], axis=-1)


def causal_conv(weight: Array, x: Array, state: DeltaState) -> Array:
    """Each channel's own taps slid over the state's inputs and the new (T, channels); moves `state` on."""
    kernel = weight.shape[1]
    inputs = np.concatenate([state.conv, x])  # (kernel − 1 + T, channels)
    state.conv[...] = inputs[len(x) :]
    out = np.zeros_like(x)
    for tap in range(kernel):
        out += inputs[tap : tap + len(x)] * weight[:, tap]
    return out
