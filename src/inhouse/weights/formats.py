"""Number formats of weights: their block layouts, written once, with a NumPy dequantiser for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Format:
    """A block of `block_size` elements takes `block_bytes` bytes; ids are GGUF's (ggml_type)."""

    name: str
    gguf_id: int
    block_size: int
    block_bytes: int

    def row_bytes(self, columns: int) -> int:
        """Bytes of a row of `columns` elements, which must be whole blocks."""
        assert columns % self.block_size == 0, (self.name, columns)
        return columns // self.block_size * self.block_bytes

    @property
    def bits(self) -> float:
        """Bits per weight, scales included."""
        return 8 * self.block_bytes / self.block_size


F32 = Format("F32", 0, 1, 4)
F16 = Format("F16", 1, 1, 2)
BF16 = Format("BF16", 30, 1, 2)
Q4_0 = Format("Q4_0", 2, 32, 18)
Q4_1 = Format("Q4_1", 3, 32, 20)
Q5_0 = Format("Q5_0", 6, 32, 22)
Q5_1 = Format("Q5_1", 7, 32, 24)
Q8_0 = Format("Q8_0", 8, 32, 34)
Q2_K = Format("Q2_K", 10, 256, 84)
Q3_K = Format("Q3_K", 11, 256, 110)
Q4_K = Format("Q4_K", 12, 256, 144)
Q5_K = Format("Q5_K", 13, 256, 176)
Q6_K = Format("Q6_K", 14, 256, 210)
IQ4_NL = Format("IQ4_NL", 20, 32, 18)
IQ4_XS = Format("IQ4_XS", 23, 256, 136)

FORMATS: tuple[Format, ...] = (
    F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS,
)  # fmt: skip
BY_NAME = {f.name: f for f in FORMATS}
BY_GGUF_ID = {f.gguf_id: f for f in FORMATS}


def dequantize(fmt: Format, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Bytes (..., row_bytes) to float32 (..., columns)."""
    blocks = np.ascontiguousarray(data)
    if fmt is F32:
        return blocks.view("<f4").copy()
    if fmt is F16:
        return blocks.view("<f2").astype(np.float32)
    if fmt is BF16:
        return (blocks.view("<u2").astype(np.uint32) << 16).view(np.float32)
    raise NotImplementedError(fmt.name)
