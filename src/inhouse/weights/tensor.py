"""A named, possibly quantised tensor that lives in somebody else's bytes. Knows neither devices nor graphs.

Shapes are row-major in NumPy's order, the last axis being the one that a matrix multiplication sums over; a
quantised row is a whole number of blocks. `Tensor.data` is a uint8 view of shape `shape[:-1] + (row_bytes,)`
whose last axis is contiguous and whose leading axes may have any stride, so that slices (one half of a fused
gate/up matrix, one expert) are views on the mapped file and never copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inhouse.weights import packed
from inhouse.weights.formats import Format, dequantize

U8 = npt.NDArray[np.uint8]
F32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor: `shape` in elements, `data` as raw bytes (see the module's text)."""

    name: str
    shape: tuple[int, ...]
    format: Format
    data: U8

    def __post_init__(self) -> None:
        assert self.data.dtype == np.uint8
        assert self.data.shape == (*self.shape[:-1], self.format.row_bytes(self.shape[-1])), self.name
        assert self.data.shape[-1] == 0 or self.data.strides[-1] == 1, self.name

    @property
    def nbytes(self) -> int:
        return self.data.size

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, index: int | slice) -> Tensor:
        """Entries of the first axis (an expert, some rows) as a view; not the last axis."""
        assert len(self.shape) > 1
        part = self.data[index]
        return Tensor(self.name, (*part.shape[:-1], self.shape[-1]), self.format, part)

    def float32(self) -> F32:
        """The values, dequantised into new float32 memory of shape `shape`."""
        decode = packed.dequantize if self.format.panel_rows > 1 else dequantize
        return decode(self.format, self.data).reshape(self.shape)

    @staticmethod
    def from_float32(name: str, values: F32) -> Tensor:
        """An F32 tensor over a contiguous copy (or view) of `values`."""
        from inhouse.weights.formats import F32 as FORMAT_F32

        values = np.ascontiguousarray(values, dtype=np.float32)
        raw = values.view(np.uint8) if values.ndim else values.reshape(1).view(np.uint8)
        return Tensor(name, values.shape or (1,), FORMAT_F32, raw)
