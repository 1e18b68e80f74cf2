"""The reference against the papers' formulas, one token and one head at a time in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from inhouse.kernels.backend import MLP, Attention, DeltaNet, Linear, MoE, Norm
from inhouse.kernels.reference import ReferenceBackend, extend, quantize_rows
from inhouse.weights.formats import Q8_0
from inhouse.weights.tensor import Tensor

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
EPS = 1e-6
BACKEND = ReferenceBackend()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def normal(rng: np.random.Generator, *shape: int) -> F32:
    return rng.standard_normal(shape).astype(np.float32)


def weight(rng: np.random.Generator, *shape: int) -> Tensor:
    return Tensor.from_float32("w", normal(rng, *shape) / np.float32(np.sqrt(shape[-1])))


def norm(rng: np.random.Generator, size: int) -> Norm:
    return Norm(1 + normal(rng, size) / 4, EPS)


def normed(x: npt.NDArray[np.floating], n: Norm) -> F64:
    x = x.astype(np.float64)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + n.eps) * n.weight


def sigmoid(x: npt.NDArray[np.floating]) -> F64:
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def silu(x: npt.NDArray[np.floating]) -> F64:
    return x * sigmoid(x)


def swiglu(x: F64, gate: F32, up: F32, down: F32) -> F64:
    return down @ (silu(gate @ x) * (up @ x))


def close(got: F32, wanted: npt.NDArray[np.floating], tolerance: float = 1e-5) -> None:
    assert got.dtype == np.float32
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)


def test_embed_takes_rows_of_a_quantised_table() -> None:
    scales = np.array([1, 2, 4], np.float16).view(np.uint8).reshape(3, 2)
    codes = np.tile(np.arange(32, dtype=np.int8).view(np.uint8), (3, 1))
    table = Tensor("t", (3, 32), Q8_0, np.concatenate([scales, codes], axis=1))
    got = BACKEND.embed(BACKEND.load(table), np.array([2, 0, 2], np.int32))
    close(got, np.arange(32) * np.array([[4], [1], [4]]), 0)


def test_project_norms_once_and_adds_biases(rng: np.random.Generator) -> None:
    x, n = normal(rng, 5, 24), norm(rng, 24)
    first, second, bias = weight(rng, 7, 24), weight(rng, 11, 24), normal(rng, 11)
    got = BACKEND.project(x, n, [Linear(first), Linear(second, bias)])
    close(got[0], normed(x, n) @ first.float32().T)
    close(got[1], normed(x, n) @ second.float32().T + bias)


def test_project_add_adds_to_the_residual(rng: np.random.Generator) -> None:
    x, residual, w, bias = normal(rng, 5, 24), normal(rng, 5, 9), weight(rng, 9, 24), normal(rng, 9)
    before = residual.copy()
    close(BACKEND.project_add(x, Linear(w, bias), residual), residual + x @ w.float32().T + bias)
    np.testing.assert_array_equal(residual, before)


def test_a_vocabulary_larger_than_one_slab_keeps_its_order() -> None:
    table = Tensor.from_float32("head", np.arange(40_000, dtype=np.float32).reshape(-1, 1))
    (got,) = BACKEND.project(np.ones((1, 1), np.float32), None, [Linear(table)])
    np.testing.assert_array_equal(got[0], np.arange(40_000))


def attention_by_hand(op: Attention, q: F32, k: F32, v: F32) -> F64:
    """Attention(q, k, v) of a whole sequence, rotations as products of complex numbers."""
    tokens, dim, half = len(q), op.head_dim, op.rotary_dim // 2
    angle = np.outer(np.arange(tokens), op.rope_theta ** (-2 * np.arange(half) / op.rotary_dim))

    def rotated(x: F64) -> F64:
        turned = (x[:, :half] + 1j * x[:, half : 2 * half]) * np.exp(1j * angle)
        return np.concatenate([turned.real, turned.imag, x[:, 2 * half :]], axis=1)

    width = 2 * dim if op.gated else dim
    out = np.zeros((tokens, op.num_heads * dim))
    for h in range(op.num_heads):
        g = h * op.num_kv_heads // op.num_heads
        query, gate = q[:, h * width : h * width + dim], q[:, h * width + dim : (h + 1) * width]
        key, value = k[:, g * dim : (g + 1) * dim], v[:, g * dim : (g + 1) * dim]
        query = rotated(normed(query, op.q_norm) if op.q_norm else query.astype(np.float64))
        key = rotated(normed(key, op.k_norm) if op.k_norm else key.astype(np.float64))
        for t in range(tokens):
            weights = np.exp(key[: t + 1] @ query[t] / np.sqrt(dim))
            result = weights @ value[: t + 1] / weights.sum()
            out[t, h * dim : (h + 1) * dim] = result * sigmoid(gate[t]) if op.gated else result
    return out


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("with_norms", [False, True])
def test_attention_in_chunks_is_the_formula(rng: np.random.Generator, gated: bool, with_norms: bool) -> None:
    norms = (norm(rng, 12), norm(rng, 12)) if with_norms else (None, None)
    op = Attention(6, 2, 12, 8, 100.0, *norms, gated)
    q, k, v = normal(rng, 11, 6 * 12 * (2 if gated else 1)), normal(rng, 11, 24), normal(rng, 11, 24)
    cache = BACKEND.kv_cache(11, 2, 12)
    parts = [BACKEND.attention(op, q[r], k[r], v[r], cache) for r in (slice(0, 4), slice(4, 5), slice(5, 11))]
    close(np.concatenate(parts), attention_by_hand(op, q, k, v))
    assert cache.length == cache.capacity == 11


def test_a_truncated_cache_takes_other_tokens(rng: np.random.Generator) -> None:
    op = Attention(2, 1, 8, 8, 100.0, None, None, False)
    q, k, v = normal(rng, 9, 16), normal(rng, 9, 8), normal(rng, 9, 8)
    cache = BACKEND.kv_cache(16, 1, 8)
    BACKEND.attention(op, q[:4], k[:4], v[:4], cache)
    BACKEND.attention(op, normal(rng, 3, 16), normal(rng, 3, 8), normal(rng, 3, 8), cache)
    cache.truncate(4)
    close(BACKEND.attention(op, q[4:], k[4:], v[4:], cache), attention_by_hand(op, q, k, v)[4:])


def test_int8_keys_and_values_are_rounded_rows(rng: np.random.Generator) -> None:
    rows = normal(rng, 3, 5, 16) * np.array([1e-8, 1, 1e8], np.float32)[:, None, None]
    rows[1, 2] = 0
    codes, scales = quantize_rows(rows)
    assert np.all(np.abs(codes * scales[..., None] - rows) <= 0.501 * scales[..., None])
    assert np.all(np.abs(codes).max(-1) == np.where(rows.any(-1), 127, 0))


def test_a_keys_outlier_spoils_no_more_than_its_group(rng: np.random.Generator) -> None:
    cache = ReferenceBackend("int8").kv_cache(16, 2, 80)
    rows = normal(rng, 2, 11, 80)
    rows[:, :, 40] = 300
    for first, end in ((0, 4), (4, 5), (5, 11)):
        kept = extend(cache.keys, cache.key_scales, first, rows[:, first:end])
    error = np.abs(kept - rows).max(axis=(0, 1))
    assert error[32:64].max() > 0.5
    assert error[:32].max() < 0.02
    assert error[64:].max() < 0.02


def test_attention_over_int8_is_the_formula_where_rounding_loses_nothing(rng: np.random.Generator) -> None:
    op = Attention(4, 2, 16, 0, 100.0, None, None, True)  # without rotation, so that keys stay what they are
    q, backend = normal(rng, 11, 2 * 64), ReferenceBackend("int8")
    codes = rng.integers(-127, 128, (2, 11, 2, 16))
    codes[..., 5] = 127
    k, v = (codes * 2.0 ** rng.integers(-8, -4, (2, 11, 2, 1))).reshape(2, 11, 32).astype(np.float32)
    cache = backend.kv_cache(11, 2, 16)
    parts = [backend.attention(op, q[r], k[r], v[r], cache) for r in (slice(0, 4), slice(4, 5), slice(5, 11))]
    close(np.concatenate(parts), attention_by_hand(op, q, k, v))
    assert cache.nbytes == 11 * 2 * 2 * (16 + 4)


def test_large_scores_do_not_overflow(rng: np.random.Generator) -> None:
    op = Attention(1, 1, 4, 4, 100.0, None, None, True)
    q, k, v = np.full((3, 8), 1e3, np.float32), np.full((3, 4), 1e3, np.float32), normal(rng, 3, 4)
    q[:, 4:] = -1e3
    close(BACKEND.attention(op, q, k, v, BACKEND.kv_cache(3, 1, 4)), np.zeros((3, 4)))


DELTA_TOKENS = 13


def delta_net(rng: np.random.Generator, tiled: bool) -> tuple[DeltaNet, list[F32]]:
    conv, a = normal(rng, 2 * 2 * 8 + 6 * 5, 4) / 2, -np.exp(normal(rng, 6))
    op = DeltaNet(2, 6, 8, 5, tiled, conv, a, normal(rng, 6), norm(rng, 5))
    return op, [normal(rng, DELTA_TOKENS, width) for width in (2 * 2 * 8 + 6 * 5, 6 * 5, 6, 6)]


def delta_net_by_hand(op: DeltaNet, qkv: F32, z: F32, b: F32, a: F32) -> tuple[F64, F64]:
    """The recurrence in the paper's orientation, S (DK, DV) per value head; returns outputs and final Sᵀs."""
    dk, dv, taps = op.key_head_dim, op.value_head_dim, op.conv.shape[1]
    padded = np.concatenate([np.zeros((taps - 1, qkv.shape[1])), qkv])
    mixed = silu(np.stack([(padded[t : t + taps] * op.conv.T).sum(0) for t in range(len(qkv))]))
    out = np.zeros((len(qkv), op.num_value_heads, dv))
    states = []
    for h in range(op.num_value_heads):
        group = op.num_value_heads // op.num_key_heads
        g = h % op.num_key_heads if op.tiled else h // group
        first_key, first_value = op.num_key_heads * dk, 2 * op.num_key_heads * dk
        s = np.zeros((dk, dv))
        for t, row in enumerate(mixed):
            q, k = row[g * dk : (g + 1) * dk], row[first_key + g * dk : first_key + (g + 1) * dk]
            q, k = q / np.sqrt(q @ q + 1e-6), k / np.sqrt(k @ k + 1e-6)
            v = row[first_value + h * dv : first_value + (h + 1) * dv]
            s = s * np.exp(op.a[h] * np.log1p(np.exp(float(a[t, h] + op.dt_bias[h]))))
            s = s + np.outer(k, sigmoid(b[t, h]) * (v - s.T @ k))
            out[t, h] = normed(s.T @ q / np.sqrt(dk), op.norm) * silu(z[t, h * dv : (h + 1) * dv])
        states.append(s.T)
    return out.reshape(len(qkv), -1), np.stack(states)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("chunks", [[13], [1] * 13, [2, 1, 7, 3]])
def test_gated_delta_net_in_chunks_is_the_formula(rng: np.random.Generator, tiled: bool, chunks: list[int]) -> None:
    op, inputs = delta_net(rng, tiled)
    state = BACKEND.delta_state(op)
    ends = np.cumsum(chunks)
    parts = [
        BACKEND.gated_delta_net(op, *(x[end - size : end] for x in inputs), state)
        for end, size in zip(ends, chunks, strict=True)
    ]
    out, s = delta_net_by_hand(op, *inputs)
    close(np.concatenate(parts), out, 1e-4)
    close(state.s, s)
    np.testing.assert_array_equal(state.conv, inputs[0][-3:])
    assert state.length == DELTA_TOKENS


def test_a_restored_delta_state_continues_from_its_copy(rng: np.random.Generator) -> None:
    op, inputs = delta_net(rng, tiled=False)
    state = BACKEND.delta_state(op)
    BACKEND.gated_delta_net(op, *(x[:5] for x in inputs), state)
    saved = state.copy()
    first = BACKEND.gated_delta_net(op, *(x[5:] for x in inputs), state)
    state.restore(saved)
    np.testing.assert_array_equal(BACKEND.gated_delta_net(op, *(x[5:] for x in inputs), state), first)


def test_mlp_is_swiglu_on_the_normed_input(rng: np.random.Generator) -> None:
    x, n = normal(rng, 5, 16), norm(rng, 16)
    op = MLP(weight(rng, 24, 16), weight(rng, 24, 16), weight(rng, 16, 24))
    matrices = [w.float32() for w in (op.gate, op.up, op.down)]
    close(BACKEND.mlp(x, n, op), x + np.stack([swiglu(y, *matrices) for y in normed(x, n)]))


@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_moe_is_the_sum_of_the_chosen_experts(rng: np.random.Generator, renormalise: bool, shared: bool) -> None:
    x, n = normal(rng, 9, 16), norm(rng, 16)
    op = MoE(weight(rng, 6, 16), weight(rng, 6, 12, 16), weight(rng, 6, 12, 16), weight(rng, 6, 16, 12), 3, renormalise)
    if shared:
        mlp = MLP(weight(rng, 20, 16), weight(rng, 20, 16), weight(rng, 16, 20))
        op = replace(op, shared=mlp, shared_gate=normal(rng, 16))
    wanted = x.astype(np.float64)
    for t, y in enumerate(normed(x, n)):
        scores = np.exp(op.router.float32() @ y)
        best = sorted(range(6), key=lambda e: -scores[e])[:3]
        total = scores[best].sum() if renormalise else scores.sum()
        for e in best:
            wanted[t] += scores[e] / total * swiglu(y, op.gate.float32()[e], op.up.float32()[e], op.down.float32()[e])
        if op.shared and op.shared_gate is not None:
            part = swiglu(y, op.shared.gate.float32(), op.shared.up.float32(), op.shared.down.float32())
            wanted[t] += sigmoid(op.shared_gate @ y) * part
    close(BACKEND.moe(x, n, op), wanted)


def test_equal_experts_give_way_to_the_lower_one(rng: np.random.Generator) -> None:
    x, n = normal(rng, 4, 8), norm(rng, 8)
    up, down = weight(rng, 4, 8, 8), weight(rng, 4, 8, 8)
    indifferent = MoE(Tensor.from_float32("r", np.zeros((4, 8), np.float32)), up, up, down, 2, True)
    first_two = replace(indifferent, router=indifferent.router[:2], gate=up[:2], up=up[:2], down=down[:2])
    np.testing.assert_array_equal(BACKEND.moe(x, n, indifferent), BACKEND.moe(x, n, first_two))


def test_ops_leave_their_inputs_alone(rng: np.random.Generator) -> None:
    x, n = normal(rng, 4, 8), norm(rng, 8)
    mlp = MLP(weight(rng, 8, 8), weight(rng, 8, 8), weight(rng, 8, 8))
    op = MoE(weight(rng, 4, 8), weight(rng, 4, 8, 8), weight(rng, 4, 8, 8), weight(rng, 4, 8, 8), 2, True, mlp)
    before = x.copy()
    BACKEND.moe(x, n, op)
    BACKEND.mlp(x, n, mlp)
    np.testing.assert_array_equal(x, before)
