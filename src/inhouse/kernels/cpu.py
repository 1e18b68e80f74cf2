"""The CPU backend: the C++ kernels of `csrc/` behind the `Backend` protocol. Knows neither graphs nor files.

Matrices stay the quantised blocks they are in the (mapped) file. Activations that meet quantised weights become int8
with one scale per 256 columns; float weights meet float activations. Keys and values are kept in half precision, or as
int8 with scales, the recurrent memory in float32. One caller at a time: the backend owns its threads and its
scratch memory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

import inhouse.kernels._core as _core
from inhouse.errors import ParameterError
from inhouse.kernels.backend import MLP, Array, Attention, DeltaNet, Linear, MoE, Norm
from inhouse.kernels.state import DeltaState, KVCache
from inhouse.weights import packed
from inhouse.weights.formats import U8, Format
from inhouse.weights.kv import kv_format, scale_groups
from inhouse.weights.tensor import Tensor

_KEY_BLOCK = 16  # tokens whose keys lie side by side, so that vector lanes are keys


def usable_cpus() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_bandwidth(threads: int, *, size: int = 1 << 30, rounds: int = 5) -> float:
    """Bytes per second that `threads` threads stream from a buffer of `size` bytes: the best of `rounds`."""
    return _core.read_bandwidth(threads, size, rounds)


def pack(fmt: Format, data: U8, threads: int | None = None) -> U8:
    """As `weights.packed.pack`, its NumPy twin, at the speed of memory."""
    columns = data.shape[1] // fmt.block_bytes * fmt.block_size
    target = packed.packed_format(fmt, len(data))
    assert target is not None, (fmt.name, data.shape)
    out = np.empty((len(data), target.row_bytes(columns)), np.uint8)
    _core.pack(_core.weight(data, columns, fmt.gguf_id), out, threads or usable_cpus())
    return out


def byte_peak(threads: int, isa: str, *, rounds: int = 5) -> float:
    """Byte multiplications and additions per second that `threads` threads reach from registers: best of `rounds`."""
    return _core.byte_peak(threads, isa, rounds)


class CpuBackend:
    """`threads`: how many (default: all usable). `isa`: an instruction set such as "avx2" (default: the best here).

    `kv`: how keys and values are kept, "f16" or "int8". Raises ParameterError for what there is not.
    """

    def __init__(self, threads: int | None = None, isa: str | None = None, kv: str = "f16") -> None:
        threads = usable_cpus() if threads is None else threads
        if threads < 1:
            raise ParameterError(f"threads={threads}: give at least 1")
        if isa is not None and isa not in _core.instruction_sets():
            known = ", ".join(_core.instruction_sets())
            raise ParameterError(f"isa={isa!r}: this processor has {known}")
        self._ops = _core.Ops(threads, isa)
        self.threads = threads
        self.isa = self._ops.isa
        self.kv = kv_format(kv)
        kept = "" if self.kv == "f16" else f", {self.kv} keys and values"
        self.layout = f"cpu{kept}"
        self.name = f"cpu ({self.isa}, {threads} threads{kept})"

    def load(self, tensor: Tensor) -> _core.Weight:
        return _core.weight(tensor.data, tensor.shape[-1], tensor.format.gguf_id)

    def vector(self, tensor: Tensor) -> Array:
        return np.ascontiguousarray(tensor.float32())

    def kv_cache(self, capacity: int, num_kv_heads: int, head_dim: int) -> KVCache:
        blocks = -(-capacity // _KEY_BLOCK)
        # Zeroed memory is untouched memory: the system hands out pages as the cache fills.
        number = np.uint16 if self.kv == "f16" else np.int8
        keys = np.zeros((num_kv_heads, blocks, head_dim, _KEY_BLOCK), number)
        values = np.zeros((num_kv_heads, blocks * _KEY_BLOCK, head_dim), number)
        if self.kv == "f16":
            return KVCache(keys, values)
        key_scales = np.zeros((num_kv_heads, blocks, scale_groups(head_dim), _KEY_BLOCK), np.float32)
        return KVCache(keys, values, key_scales, np.zeros(values.shape[:2], np.float32))

    def delta_state(self, op: DeltaNet) -> DeltaState:
        channels, kernel = op.conv.shape
        conv = np.zeros((kernel - 1, channels), np.float32)
        return DeltaState(conv, np.zeros((op.num_value_heads, op.key_head_dim, op.value_head_dim), np.float32))

    def embed(self, table: _core.Weight, ids: npt.NDArray[np.int32]) -> Array:
        out = np.empty((len(ids), table.columns), np.float32)
        self._ops.embed(table, ids, out)
        return out

    def project(self, x: Array, norm: Norm | None, linears: Sequence[Linear]) -> list[Array]:
        outs = [np.empty((len(x), linear.weight.rows), np.float32) for linear in linears]
        parts = [(linear.weight, linear.bias, out) for linear, out in zip(linears, outs, strict=True)]
        weight, eps = (norm.weight, norm.eps) if norm else (None, 0.0)
        self._ops.project(x, weight, eps, parts, False)
        return outs

    def project_add(self, x: Array, linear: Linear, residual: Array) -> Array:
        self._ops.project(x, None, 0.0, [(linear.weight, linear.bias, residual)], True)
        return residual

    def attention(self, op: Attention, q: Array, k: Array, v: Array, cache: KVCache) -> Array:
        out = np.empty((len(q), op.num_heads * op.head_dim), np.float32)
        q_norm, q_eps = (op.q_norm.weight, op.q_norm.eps) if op.q_norm else (None, 0.0)
        k_norm, k_eps = (op.k_norm.weight, op.k_norm.eps) if op.k_norm else (None, 0.0)
        shape = (op.num_heads, op.num_kv_heads, op.head_dim, op.rotary_dim, op.rope_theta)
        norms = (q_norm, q_eps, k_norm, k_eps)
        kept = (cache.keys, cache.values, cache.key_scales, cache.value_scales, cache.length)
        self._ops.attention(*shape, *norms, op.gated, q, k, v, *kept, out)
        cache.length += len(q)
        return out

    def gated_delta_net(self, op: DeltaNet, qkv: Array, z: Array, b: Array, a: Array, state: DeltaState) -> Array:
        out = np.empty((len(qkv), op.num_value_heads * op.value_head_dim), np.float32)
        shape = (op.num_key_heads, op.num_value_heads, op.key_head_dim, op.value_head_dim, op.tiled)
        parameters = (op.conv, op.a, op.dt_bias, op.norm.weight, op.norm.eps)
        self._ops.gated_delta_net(*shape, *parameters, qkv, z, b, a, state.conv, state.s, out)
        state.length += len(qkv)
        return out

    def mlp(self, x: Array, norm: Norm, op: MLP) -> Array:
        self._ops.mlp(x, norm.weight, norm.eps, op.gate, op.up, op.down)
        return x

    def moe(self, x: Array, norm: Norm, op: MoE) -> Array:
        shared = (op.shared.gate, op.shared.up, op.shared.down) if op.shared else None
        experts = (op.router, op.gate, op.up, op.down, op.top_k, op.renormalise)
        self._ops.moe(x, norm.weight, norm.eps, *experts, shared, op.shared_gate)
        return x
