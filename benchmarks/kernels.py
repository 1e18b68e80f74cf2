"""Matrix products of the real shapes against this machine's roofs: bytes a second for few tokens, operations for many.

Run: .venv/bin/python benchmarks/kernels.py [--isa avx512] [--formats Q4_K,Q6_K,Q8_0] [--tokens 1,8,512]. What is
timed is the backend's whole op: quantising the activations, the product, writing the result. Knows no model.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from inhouse.kernels.backend import MLP, Linear, MoE, Norm
from inhouse.kernels.cpu import CpuBackend, byte_peak, read_bandwidth
from inhouse.weights import packed
from inhouse.weights.formats import BY_NAME
from inhouse.weights.tensor import Tensor

SHAPES = ((8192, 2048), (2048, 4096), (512, 2048), (2048, 512), (248320, 2048))
EXPERTS, CHOSEN, WIDTH, INNER = 256, 8, 2048, 512


def weight(name: str, *shape: int, seed: int = 1) -> Tensor:
    """Random bytes in a packed format; scales are small positive halves, so that no sum is odd."""
    source = BY_NAME[name]
    fmt = packed.packed_format(source, shape[-2])
    assert fmt is not None
    data = np.random.default_rng(seed).integers(0, 64, (*shape[:-1], fmt.row_bytes(shape[-1])), np.uint8)
    return Tensor(name, shape, fmt, data)


def best_time(run: Callable[[], object], seconds: float) -> float:
    """The fastest of as many runs as fit, at least three."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times)


def measure(backend: CpuBackend, names: Sequence[str], tokens: Sequence[int], seconds: float, head: bool) -> None:
    """Prints the roofs, then a line per format, shape and number of tokens."""
    bandwidth, peak = read_bandwidth(backend.threads), byte_peak(backend.threads, backend.isa)
    print(f"{backend.name}: {bandwidth / 1e9:.1f} GB/s, {peak / 1e9:.0f} GOP/s")

    def line(what: str, count: int, elapsed: float, nbytes: float, products: float) -> None:
        rate, ops = nbytes / elapsed, 2 * products / elapsed
        shares = f"{rate / 1e9:7.1f} GB/s {rate / bandwidth:5.0%} {ops / 1e9:7.0f} GOP/s {ops / peak:5.0%}"
        print(f"{what:24} T={count:<5} {elapsed * 1e6:10.0f} us {shares}", flush=True)

    for name in names:
        for rows, columns in SHAPES:
            if rows > 100_000 and not head:
                continue
            w = weight(name, rows, columns)
            copies = max(1, min(64, (256 << 20) // w.nbytes))  # more than the caches hold, for the few
            loaded = [backend.load(Tensor(name, w.shape, w.format, w.data.copy())) for _ in range(copies)]
            for count in tokens if rows < 100_000 else [t for t in tokens if t <= 8]:
                x = np.random.default_rng(2).normal(0, 1, (count, columns)).astype(np.float32)
                few = loaded if count <= 8 else loaded[:1]

                def run(x: np.ndarray = x, few: list[object] = few) -> None:
                    for one in few:
                        backend.project(x, None, [Linear(one)])

                elapsed = best_time(run, seconds) / len(few)
                line(f"{name} {columns}→{rows}", count, elapsed, w.nbytes, count * w.size)
            del loaded
        measure_experts(backend, name, tokens, seconds, line)


def measure_experts(
    backend: CpuBackend, name: str, tokens: Sequence[int], seconds: float, line: Callable[..., None]
) -> None:
    """A whole mixture of experts of the full model's size, with its router."""
    router = Tensor.from_float32(
        "router", np.random.default_rng(3).normal(0, 0.02, (EXPERTS, WIDTH)).astype(np.float32)
    )
    stacks = [weight(name, EXPERTS, *s) for s in ((INNER, WIDTH), (INNER, WIDTH), (WIDTH, INNER))]
    shared = MLP(*(backend.load(t[0]) for t in stacks))
    op = MoE(*(backend.load(t) for t in (router, *stacks)), CHOSEN, True, shared, np.zeros(WIDTH, np.float32))
    norm = Norm(np.ones(WIDTH, np.float32), 1e-6)
    for count in tokens:
        x = np.random.default_rng(4).normal(0, 1, (count, WIDTH)).astype(np.float32)
        elapsed = best_time(lambda x=x: backend.moe(x.copy(), norm, op), seconds)
        one = sum(t.nbytes for t in stacks) / EXPERTS
        touched = one * (1 + EXPERTS * (1 - (1 - CHOSEN / EXPERTS) ** count))
        line(f"{name} {EXPERTS} experts", count, elapsed, touched, count * (CHOSEN + 1) * 3 * WIDTH * INNER)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isa")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--formats", default="Q4_K,Q6_K,Q8_0")
    parser.add_argument("--tokens", default="1,2,4,8,512,2048")
    parser.add_argument("--seconds", type=float, default=0.3, help="per line")
    parser.add_argument("--head", action="store_true", help="also the 248,320 rows of the head")
    a = parser.parse_args()
    backend = CpuBackend(a.threads, a.isa)
    measure(backend, a.formats.split(","), [int(t) for t in a.tokens.split(",")], a.seconds, a.head)


if __name__ == "__main__":
    main()
