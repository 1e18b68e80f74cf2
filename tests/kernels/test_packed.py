"""Packed panels against their NumPy twin: every packed format, every instruction set that runs here."""

from __future__ import annotations

import numpy as np
import pytest
from inputs import activations, quantised_activations

from inhouse.kernels import _core
from inhouse.kernels.backend import MLP, Array, Linear, MoE, Norm
from inhouse.kernels.cpu import CpuBackend
from inhouse.kernels.reference import ReferenceBackend
from inhouse.weights import packed
from inhouse.weights.formats import BY_NAME, F32, Format
from inhouse.weights.quantize import quantize
from inhouse.weights.tensor import Tensor

SOURCES = [BY_NAME[n] for n in ["Q4_K", "Q5_K", "Q6_K", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "IQ4_XS"]]
reference = ReferenceBackend()


@pytest.fixture(params=_core.instruction_sets())
def cpu(request: pytest.FixtureRequest) -> CpuBackend:
    return CpuBackend(threads=2, isa=request.param)


def weight(seed: int, fmt: Format, *shape: int) -> tuple[Tensor, Tensor]:
    """Random weights of a file's format, and the same packed."""
    values = np.random.default_rng(seed).normal(0, 1 / np.sqrt(shape[-1]), shape).astype(np.float32)
    plain = Tensor("w", shape, fmt, quantize(fmt, values))
    target = packed.packed_format(fmt, shape[-2])
    assert target is not None
    rows = plain.data.reshape(-1, plain.data.shape[-1])
    return plain, Tensor("w", shape, target, packed.pack(fmt, rows).reshape(*shape[:-1], -1))


@pytest.mark.parametrize("rows", [16, 176])
@pytest.mark.parametrize("fmt", SOURCES, ids=lambda f: f.name)
def test_any_number_of_tokens_equals_numpy(cpu: CpuBackend, fmt: Format, rows: int) -> None:
    """Every way of splitting tokens into register tiles, and a short last span where blocks allow one."""
    columns = 768 if fmt.block_size == 256 else 32 * 19
    _, w = weight(1, fmt, rows, columns)
    x, loaded = activations(2, 40, columns), cpu.load(w)
    truth = quantised_activations(x) @ w.float32().T
    [whole] = cpu.project(x, None, [Linear(loaded)])
    np.testing.assert_allclose(whole, truth, rtol=0, atol=2e-5)
    for tokens in range(1, 40):
        [y] = cpu.project(x[:tokens], None, [Linear(loaded)])
        np.testing.assert_array_equal(y, whole[:tokens])  # a token's result does not depend on its company


@pytest.mark.parametrize("fmt", SOURCES, ids=lambda f: f.name)
def test_packed_equals_unpacked(cpu: CpuBackend, fmt: Format) -> None:
    plain, w = weight(3, fmt, 48, 1024)
    x = activations(4, 9, 1024)
    [a], [b] = (cpu.project(x, None, [Linear(cpu.load(t))]) for t in (plain, w))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.parametrize("fmt", SOURCES, ids=lambda f: f.name)
def test_embedding_rows_equal_the_dequantised_ones(cpu: CpuBackend, fmt: Format) -> None:
    plain, w = weight(5, fmt, 32, 512)
    ids = np.array([31, 0, 16, 15, 16], np.int32)
    np.testing.assert_allclose(cpu.embed(cpu.load(w), ids), plain.float32()[ids], rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("fmt", SOURCES, ids=lambda f: f.name)
def test_the_largest_codes_and_scales_do_not_overflow(cpu: CpuBackend, fmt: Format) -> None:
    """All bits of a packed block set, but for halves and floats; activations of one sign meet them."""
    _, w = weight(6, fmt, 16, 512)
    layout = packed.BY_NAME[w.format.name]
    blocks = np.full((512 // w.format.block_size, w.format.block_bytes * packed.ROWS), 0xFF, np.uint8)
    ends = [blocks[:, -32:]] if layout.scale_type == "<u2" else []
    if layout.has_extra:
        ends.append(blocks[:, -64:-32])
    for end in ends:
        end.view("<f2")[:] = 0.01
    if layout.scale_type == "<f4":
        blocks[:, -64:].view("<f4")[:] = 0.01
    worst = Tensor("w", w.shape, w.format, blocks.reshape(w.data.shape))
    x = np.ones((25, 512), np.float32)
    truth = x @ worst.float32().T
    for tokens in (1, 25):
        [y] = cpu.project(x[:tokens], None, [Linear(cpu.load(worst))])
        np.testing.assert_allclose(y, truth[:tokens], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("tokens", [1, 4, 50])
@pytest.mark.parametrize("names", [("Q4_K", "Q6_K"), ("Q8_0", "Q4_0")], ids="-".join)
def test_packed_experts_equal_their_unpacked_twins(cpu: CpuBackend, names: tuple[str, str], tokens: int) -> None:
    """Tokens meet experts through index lists of uneven length; most experts of the first case get none."""
    inner_format, outer_format = (BY_NAME[n] for n in names)
    width, inner, experts = 512, 256, 24
    router = Tensor.from_float32("router", activations(1, experts, width) / 16)
    stacks = [weight(2, inner_format, experts, inner, width), weight(3, inner_format, experts, inner, width)]
    stacks.append(weight(4, outer_format, experts, width, inner))
    shared = [weight(5, inner_format, 512, width), weight(6, inner_format, 512, width)]
    shared.append(weight(7, outer_format, width, 512))
    x, norm = activations(8, tokens, width), Norm(np.ones(width, np.float32), 1e-6)
    gate = activations(9, width) / 20

    def run(which: int) -> Array:
        up, down = [cpu.load(s[which]) for s in stacks], MLP(*(cpu.load(s[which]) for s in shared))
        op = MoE(cpu.load(router), *up, top_k=3, renormalise=True, shared=down, shared_gate=gate)
        return cpu.moe(x.copy(), norm, op) - x

    np.testing.assert_allclose(run(1), run(0), rtol=0, atol=2e-4)


def test_threads_and_company_do_not_change_experts() -> None:
    """A token's result is the same alone, in a crowd, and on any number of threads."""
    fmt, width, inner, experts = BY_NAME["Q4_K"], 512, 256, 12
    router = Tensor.from_float32("router", activations(1, experts, width) / 16)
    stacks = [
        weight(s, fmt, experts, *shape)[1]
        for s, shape in ((2, (inner, width)), (3, (inner, width)), (4, (width, inner)))
    ]
    x, norm = activations(8, 30, width), Norm(np.ones(width, np.float32), 1e-6)

    def run(threads: int, rows: Array) -> Array:
        backend = CpuBackend(threads)
        op = MoE(*(backend.load(t) for t in (router, *stacks)), top_k=3, renormalise=True)
        return backend.moe(rows.copy(), norm, op)

    whole = run(1, x)
    np.testing.assert_array_equal(whole, run(3, x))
    for t in (0, 17):
        np.testing.assert_array_equal(whole[t : t + 1], run(2, x[t : t + 1]))


@pytest.mark.parametrize("rows", [1, 32, 35, 256])
def test_only_whole_panels_are_packed(rows: int) -> None:
    assert (packed.packed_format(BY_NAME["Q4_K"], rows) is not None) == (rows % 16 == 0)
    assert packed.packed_format(F32, rows) is None


def test_a_matrix_cut_inside_a_panel_is_refused() -> None:
    _, w = weight(1, BY_NAME["Q4_K"], 32, 512)
    with pytest.raises(ValueError, match="panels"):
        CpuBackend(1).load(Tensor("w", (8, 512), w.format, w.data[:8]))
