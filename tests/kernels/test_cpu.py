"""The C++ kernels against their NumPy twins: every instruction set that runs here, every format, awkward shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from inputs import activations, quantised_activations

from inhouse.errors import ParameterError
from inhouse.kernels import _core
from inhouse.kernels.backend import MLP, Array, Attention, Backend, DeltaNet, Linear, MoE, Norm
from inhouse.kernels.cpu import CpuBackend
from inhouse.kernels.reference import ReferenceBackend
from inhouse.weights.formats import FORMATS, Format
from inhouse.weights.quantize import quantize
from inhouse.weights.tensor import Tensor

QUANTISED = [f for f in FORMATS if f.block_size > 1]


@pytest.fixture(params=_core.instruction_sets())
def cpu(request: pytest.FixtureRequest) -> CpuBackend:
    return CpuBackend(threads=2, isa=request.param)


reference = ReferenceBackend()


def weight(seed: int, fmt: Format, *shape: int) -> Tensor:
    values = np.random.default_rng(seed).normal(0, 1 / np.sqrt(shape[-1]), shape).astype(np.float32)
    return Tensor("w", shape, fmt, quantize(fmt, values))


def relative_error(ours: Array, truth: Array) -> float:
    """Root mean square of the difference over that of the truth."""
    return float(np.sqrt(np.mean((ours - truth) ** 2) / np.mean(truth**2)))


@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 7, 8, 17])
@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_matmul_equals_numpy_on_the_same_quantised_activations(cpu: CpuBackend, fmt: Format, tokens: int) -> None:
    rows, columns = 83, 512 if fmt.block_size == 256 else 288
    w, x = weight(1, fmt, rows, columns), activations(2, tokens, columns)
    seen = x if fmt.block_size == 1 else quantised_activations(x)
    [y] = cpu.project(x, None, [Linear(cpu.load(w))])
    np.testing.assert_allclose(y, seen @ w.float32().T, rtol=0, atol=2e-5)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_embedding_rows_equal_the_dequantised_ones(cpu: CpuBackend, fmt: Format) -> None:
    w, ids = weight(3, fmt, 9, 512), np.array([8, 0, 3, 3], np.int32)
    np.testing.assert_allclose(cpu.embed(cpu.load(w), ids), w.float32()[ids], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("fmt", QUANTISED, ids=lambda f: f.name)
def test_extreme_blocks_do_not_overflow(cpu: CpuBackend, fmt: Format) -> None:
    """All-ones bytes are the largest codes and scales of most formats; activations of one sign meet them."""
    data = np.full((16, fmt.row_bytes(512)), 0xFF, np.uint8)
    blocks = data.reshape(16, -1, fmt.block_bytes)
    for offset in _half_offsets(fmt):
        blocks[:, :, offset : offset + 2] = np.frombuffer(np.float16(0.01).tobytes(), np.uint8)
    w, x = Tensor("w", (16, 512), fmt, data), np.ones((9, 512), np.float32)
    truth = x @ w.float32().T
    for tokens in (1, 9):
        [y] = cpu.project(x[:tokens], None, [Linear(cpu.load(w))])
        np.testing.assert_allclose(y, truth[:tokens], rtol=1e-4, atol=1e-3)


def _half_offsets(fmt: Format) -> tuple[int, ...]:
    at = {"Q4_1": (0, 2), "Q5_1": (0, 2), "Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2)}
    return at.get(fmt.name, (208,) if fmt.name == "Q6_K" else (0,))


def test_projections_share_a_norm_and_keep_their_biases(cpu: CpuBackend) -> None:
    f16, q4, q6 = (next(f for f in FORMATS if f.name == n) for n in ("F16", "Q4_K", "Q6_K"))
    x, norm = activations(4, 5, 512), Norm(activations(5, 512), 1e-6)
    ws = [weight(6, f16, 7, 512), weight(7, q4, 130, 512), weight(8, q6, 64, 512)]
    bias = [None, activations(9, 130), activations(10, 64)]

    def run(backend: Backend) -> list[Array]:
        return backend.project(x, norm, [Linear(backend.load(w), b) for w, b in zip(ws, bias, strict=True)])

    for ours, truth in zip(run(cpu), run(reference), strict=True):
        assert relative_error(ours, truth) < 0.02


def test_project_add_adds_to_the_residual(cpu: CpuBackend) -> None:
    w = weight(11, next(f for f in FORMATS if f.name == "F32"), 70, 96)
    x, residual = activations(12, 3, 96), activations(13, 3, 70)
    truth = residual + x @ w.float32().T
    np.testing.assert_allclose(cpu.project_add(x, Linear(cpu.load(w)), residual), truth, atol=1e-5)


@pytest.mark.parametrize("tokens", [1, 5, 40])
@pytest.mark.parametrize("name", ["F32", "Q4_K", "Q8_0"])
def test_mlp(cpu: CpuBackend, name: str, tokens: int) -> None:
    fmt = next(f for f in FORMATS if f.name == name)
    gate, up, down = weight(1, fmt, 256, 512), weight(2, fmt, 256, 512), weight(3, fmt, 512, 256)
    x, norm = activations(4, tokens, 512), Norm(1 + activations(5, 512) / 10, 1e-6)
    truth = reference.mlp(x, norm, MLP(gate, up, down)) - x
    ours = cpu.mlp(x.copy(), norm, MLP(*(cpu.load(w) for w in (gate, up, down)))) - x
    assert relative_error(ours, truth) < (1e-5 if name == "F32" else 0.02)


@pytest.mark.parametrize("tokens", [1, 3, 50])
@pytest.mark.parametrize("shared", [0, 256, 512])  # rows of the shared expert's gate: none, like the others, unlike
@pytest.mark.parametrize("name", ["F32", "Q4_K"])
def test_moe(cpu: CpuBackend, name: str, shared: int, tokens: int) -> None:
    fmt, f32 = next(f for f in FORMATS if f.name == name), next(f for f in FORMATS if f.name == "F32")
    width, inner, experts = 512, 256, 10
    tensors = {
        "router": weight(1, f32, experts, width),
        "gate": weight(2, fmt, experts, inner, width),
        "up": weight(3, fmt, experts, inner, width),
        "down": weight(4, fmt, experts, width, inner),
    }
    size = shared or 256
    mlp = [weight(5, fmt, size, width), weight(6, fmt, size, width), weight(7, fmt, width, size)]
    x, norm = activations(8, tokens, width), Norm(np.ones(width, np.float32), 1e-6)

    def run(backend: Backend) -> Array:
        loaded = {key: backend.load(w) for key, w in tensors.items()}
        extra = MLP(*(backend.load(w) for w in mlp)) if shared else None
        gate = activations(9, width) / 20 if shared else None
        op = MoE(**loaded, top_k=3, renormalise=True, shared=extra, shared_gate=gate)
        return backend.moe(x.copy(), norm, op) - x

    assert relative_error(run(cpu), run(reference)) < (2e-5 if name == "F32" else 0.03)


ATTENTION = Attention(6, 2, 32, 32, 1e6, None, None, False)
KV = ("f16", "int8")


def attention_inputs(op: Attention, tokens: int, seed: int) -> tuple[Array, Array, Array]:
    q = activations(seed, tokens, op.num_heads * op.head_dim * (2 if op.gated else 1))
    k, v = (activations(seed + more, tokens, op.num_kv_heads * op.head_dim) for more in (47, 87))
    return q, k, v


@pytest.mark.parametrize("kv", KV)
@pytest.mark.parametrize(
    "op",
    [
        ATTENTION,
        dataclasses.replace(ATTENTION, rotary_dim=16, gated=True),
        dataclasses.replace(ATTENTION, q_norm=Norm(activations(1, 32), 1e-6), k_norm=Norm(activations(2, 32), 1e-5)),
        dataclasses.replace(ATTENTION, num_heads=64, num_kv_heads=1, head_dim=16, rotary_dim=16),
        Attention(3, 3, 256, 64, 1e7, None, None, True),
    ],
    ids=["plain", "partial-gated", "normed", "wide-group", "wide-head"],
)
@pytest.mark.parametrize("lengths", [[1], [1, 1, 1], [37, 1, 20], [130, 1, 65, 600, 1]], ids=str)
def test_attention_over_a_growing_cache(cpu: CpuBackend, op: Attention, lengths: list[int], kv: str) -> None:
    backend, twin = CpuBackend(2, cpu.isa, kv), ReferenceBackend(kv)
    ours = backend.kv_cache(sum(lengths), op.num_kv_heads, op.head_dim)
    truth = twin.kv_cache(sum(lengths), op.num_kv_heads, op.head_dim)
    for step, tokens in enumerate(lengths):
        inputs = attention_inputs(op, tokens, 3 + step)
        np.testing.assert_allclose(
            backend.attention(op, *inputs, ours), twin.attention(op, *inputs, truth), rtol=0, atol=5e-3
        )
        assert ours.length == truth.length


@pytest.mark.parametrize("kv", KV)
def test_a_truncated_cache_forgets(cpu: CpuBackend, kv: str) -> None:
    backend = CpuBackend(2, cpu.isa, kv)
    cache = backend.kv_cache(64, 2, 32)
    q, k, v = attention_inputs(ATTENTION, 30, 1)
    backend.attention(ATTENTION, q, k[::-1].copy(), 3 * v, cache)
    cache.truncate(0)
    backend.attention(ATTENTION, q, k, v, cache)
    cache.truncate(20)
    again = backend.attention(ATTENTION, q[20:], k[20:], v[20:], cache)
    whole = backend.attention(ATTENTION, q, k, v, backend.kv_cache(64, 2, 32))
    np.testing.assert_allclose(again, whole[20:], atol=1e-5)


@pytest.mark.parametrize("lengths", [[1] * 35, [17, 1, 16, 1]], ids=["ones", "uneven"])
def test_codes_are_those_of_numpy_and_the_same_however_tokens_come(cpu: CpuBackend, lengths: list[int]) -> None:
    """Sixteen keys lie side by side in a block; a product that lies midway between two codes may go to either."""
    backend, twin = CpuBackend(2, cpu.isa, "int8"), ReferenceBackend("int8")
    dim = 48  # one group of components that share a scale, and a half
    op = Attention(6, 2, dim, 32, 1e6, None, Norm(activations(2, dim), 1e-5), True)
    q, k, v = attention_inputs(op, 35, 1)
    k[3], v[4] = 0, 0
    at_once, in_pieces, truth = (each.kv_cache(40, 2, dim) for each in (backend, backend, twin))
    whole = backend.attention(op, q, k, v, at_once)
    twin.attention(op, q, k, v, truth)
    cuts = np.cumsum(lengths)[:-1]
    pieces = zip(*(np.split(x, cuts) for x in (q, k, v)), strict=True)
    parts = [backend.attention(op, *piece, in_pieces) for piece in pieces]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)
    for one, other in zip(at_once.arrays, in_pieces.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    keys = at_once.keys.swapaxes(2, 3).reshape(2, -1, dim)[:, :35]
    for ours, theirs in ((keys, truth.keys[:, :35]), (at_once.values[:, :35], truth.values[:, :35])):
        difference = np.abs(ours.astype(int) - theirs)
        assert difference.max() <= 1
        assert np.mean(difference) < 1e-3
    key_scales = at_once.key_scales.swapaxes(2, 3).reshape(2, -1, 2)[:, :35]
    np.testing.assert_allclose(key_scales, truth.key_scales[:, :35], rtol=1e-5)
    np.testing.assert_allclose(at_once.value_scales[:, :35], truth.value_scales[:, :35, 0], rtol=1e-5)
    assert not key_scales[:, 3].any()
    assert not at_once.value_scales[:, 4].any()


def delta_net(dims: tuple[int, int, int, int], tiled: bool, log_decay: float = 0.0) -> DeltaNet:
    """Random parameters; decays are about exp(−exp(log_decay))."""
    hk, hv, dk, dv = dims
    return DeltaNet(
        *dims,
        tiled=tiled,
        conv=activations(1, 2 * hk * dk + hv * dv, 4) / 2,
        a=-np.exp(activations(2, hv) + np.float32(log_decay)),
        dt_bias=activations(3, hv),
        norm=Norm(1 + activations(4, dv) / 10, 1e-6),
    )


def delta_inputs(op: DeltaNet, seed: int, tokens: int) -> list[Array]:
    channels, hv = len(op.conv), op.num_value_heads
    return [activations(seed + i, tokens, w) for i, w in enumerate((channels, hv * op.value_head_dim, hv, hv))]


def assert_delta_nets_agree(cpu: CpuBackend, op: DeltaNet, calls: list[list[Array]]) -> None:
    """One sequence's calls, one after another, to the reference's results and state."""
    ours, truth = cpu.delta_state(op), reference.delta_state(op)
    for args in calls:
        a, b = cpu.gated_delta_net(op, *args, ours), reference.gated_delta_net(op, *args, truth)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4)
    np.testing.assert_allclose(ours.conv, truth.conv)
    np.testing.assert_allclose(ours.s, truth.s.swapaxes(1, 2), atol=1e-4)


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize("dims", [(2, 4, 32, 32), (3, 3, 16, 24), (1, 2, 8, 6), (2, 4, 30, 80)], ids=str)
@pytest.mark.parametrize("lengths", [[1, 1, 1, 1, 1], [2, 1, 33], [70, 5], [3, 4, 15, 16, 17, 53]], ids=str)
def test_gated_delta_net_and_its_state(
    cpu: CpuBackend, dims: tuple[int, int, int, int], tiled: bool, lengths: list[int]
) -> None:
    op = delta_net(dims, tiled)
    assert_delta_nets_agree(cpu, op, [delta_inputs(op, 10 * step, n) for step, n in enumerate(lengths)])


@pytest.mark.parametrize("dims", [(1, 2, 128, 128), (1, 1, 260, 32)], ids=["full heads", "too wide to be copied"])
def test_gated_delta_net_with_wide_heads(cpu: CpuBackend, dims: tuple[int, int, int, int]) -> None:
    op = delta_net(dims, True)
    assert_delta_nets_agree(cpu, op, [delta_inputs(op, 1, 150), delta_inputs(op, 2, 7)])


@pytest.mark.parametrize("log_decay", [-9.0, 3.0, 6.0], ids=["hardly decays", "decays fast", "forgets at once"])
@pytest.mark.parametrize("step", [-30.0, 0.0, 30.0], ids=["beta 0", "any beta", "beta 1"])
def test_gated_delta_net_at_the_ends_of_decay_and_step(cpu: CpuBackend, log_decay: float, step: float) -> None:
    """Underflowing decays stay finite, and so does what many equal keys add up to."""
    op = delta_net((2, 4, 32, 32), False, log_decay)
    qkv, z, b, a = delta_inputs(op, 5, 83)
    qkv[20:60] = qkv[20]
    assert_delta_nets_agree(cpu, op, [[qkv, z, b + np.float32(step), a]])


@pytest.mark.parametrize("lengths", [[1] * 53, [3, 50], [16, 16, 21], [37, 16]], ids=lambda x: str(x[:3]))
def test_gated_delta_net_in_several_calls_equals_one(cpu: CpuBackend, lengths: list[int]) -> None:
    op = delta_net((2, 4, 32, 48), True)
    args = delta_inputs(op, 7, 53)
    whole, parts = cpu.delta_state(op), cpu.delta_state(op)
    once = cpu.gated_delta_net(op, *args, whole)
    ends = np.cumsum(lengths)[:-1]
    calls = zip(*(np.split(x, ends) for x in args), strict=True)
    several = np.concatenate([cpu.gated_delta_net(op, *call, parts) for call in calls])
    np.testing.assert_allclose(several, once, rtol=0, atol=2e-5)
    np.testing.assert_allclose(parts.s, whole.s, rtol=0, atol=2e-5)
    np.testing.assert_array_equal(parts.conv, whole.conv)


def test_threads_do_not_change_a_result() -> None:
    fmt = next(f for f in FORMATS if f.name == "Q4_K")
    w, x = weight(1, fmt, 300, 512), activations(2, 11, 512)
    one, three = (b.project(x, None, [Linear(b.load(w))])[0] for b in (CpuBackend(1), CpuBackend(3)))
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_every_row_is_computed_once(threads: int) -> None:
    """However threads take rows from each other: what is added twice or never would show."""
    cpu, fmt = CpuBackend(threads), next(f for f in FORMATS if f.name == "Q8_0")
    for rows in (1, 64, 65, 300, 1000):
        w, x = weight(1, fmt, rows, 64), activations(2, 1, 64)
        linear = Linear(cpu.load(w))
        expected = 1 + cpu.project(x, None, [linear])[0]
        for _ in range(100):
            residual = np.ones((1, rows), np.float32)
            np.testing.assert_array_equal(cpu.project_add(x, linear, residual), expected)


def _too_many_tokens(cpu: CpuBackend) -> None:
    cache = cpu.kv_cache(16, 2, 32)
    cpu.attention(ATTENTION, activations(1, 17, 192), activations(2, 17, 64), activations(3, 17, 64), cache)


def _a_cache_of_another_kind(cpu: CpuBackend) -> None:
    cache, other = cpu.kv_cache(16, 2, 32), CpuBackend(1, kv="int8").kv_cache(16, 2, 32)
    cache.key_scales, cache.value_scales = other.key_scales, other.value_scales
    cpu.attention(ATTENTION, *attention_inputs(ATTENTION, 3, 1), cache)


def _too_few_scales(cpu: CpuBackend) -> None:
    cache = CpuBackend(1, kv="int8").kv_cache(32, 2, 32)
    cache.key_scales = np.ascontiguousarray(cache.key_scales[:, :1])
    cpu.attention(ATTENTION, *attention_inputs(ATTENTION, 3, 1), cache)


def _wrong_columns(cpu: CpuBackend) -> None:
    cpu.project(activations(1, 2, 64), None, [Linear(cpu.load(weight(1, FORMATS[0], 8, 96)))])


def _id_out_of_range(cpu: CpuBackend) -> None:
    cpu.embed(cpu.load(weight(1, FORMATS[0], 8, 96)), np.array([8], np.int32))


@pytest.mark.parametrize(
    "misuse", [_too_many_tokens, _a_cache_of_another_kind, _too_few_scales, _wrong_columns, _id_out_of_range]
)
def test_misuse_raises_instead_of_reading_foreign_memory(misuse: Callable[[CpuBackend], None]) -> None:
    with pytest.raises(ValueError):
        misuse(CpuBackend(1))


@pytest.mark.parametrize("options", [{"threads": 0}, {"isa": "sse1"}, {"kv": "int7"}])
def test_impossible_options_are_refused_by_name(options: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=next(iter(options))):
        CpuBackend(**options)  # type: ignore[arg-type]


def test_bandwidth_is_measured() -> None:
    assert _core.read_bandwidth(1, 1 << 24, 1) > 1e8
