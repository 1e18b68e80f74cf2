"""The packer in C++ against its NumPy twin, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from inhouse.kernels.cpu import pack
from inhouse.weights import formats, packed

SOURCES = [fmt for fmt in formats.FORMATS if packed.packed_format(fmt, 16)]


@pytest.mark.parametrize("fmt", SOURCES, ids=lambda fmt: fmt.name)
@pytest.mark.parametrize(("rows", "blocks"), [(16, 1), (160, 3)])
def test_equals_its_twin(fmt: formats.Format, rows: int, blocks: int) -> None:
    """Any bits at all, but for scales that are no numbers: those have many forms."""
    data = np.random.default_rng(rows).integers(0, 256, (rows, blocks * fmt.block_bytes), dtype=np.uint8)
    halves = data[:, 1 :: fmt.block_bytes] if fmt.name != "Q6_K" else data[:, fmt.block_bytes - 1 :: fmt.block_bytes]
    halves &= 0xBF  # the exponent's highest bit
    np.testing.assert_array_equal(pack(fmt, data, threads=2), packed.pack(fmt, data))


def test_takes_rows_with_gaps() -> None:
    """Half of a fused matrix is a view."""
    whole = np.random.default_rng(0).integers(0, 64, (2, 32, formats.Q4_K.row_bytes(256)), dtype=np.uint8)
    wide = np.concatenate([whole[0], whole[1]], axis=1)
    view = wide[:, : whole.shape[2]]
    np.testing.assert_array_equal(pack(formats.Q4_K, view), packed.pack(formats.Q4_K, np.ascontiguousarray(view)))
