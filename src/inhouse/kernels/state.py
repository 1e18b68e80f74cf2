"""What a layer remembers of a sequence: device buffers and a length. Knows not who owns them or when they are freed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class KVCache:
    """Keys (rotated) and values of the first `length` tokens: values (kv_heads, capacity, head_dim), keys as the
    backend likes them, but with tokens, or blocks of them, along the second axis. Where they are kept as int8,
    `key_scales`, several for a key and with tokens as keys have them, and `value_scales`, one for a value, say what the
    codes are multiplied by."""

    keys: Any
    values: Any
    key_scales: Any = None
    value_scales: Any = None
    length: int = 0

    @property
    def capacity(self) -> int:
        return int(self.values.shape[1])

    @property
    def arrays(self) -> tuple[Any, ...]:
        """All buffers; the second axis of each is tokens, or blocks of as many as `capacity` tells."""
        scales = () if self.key_scales is None else (self.key_scales, self.value_scales)
        return (self.keys, self.values, *scales)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(int(array.nbytes) for array in self.arrays)

    def truncate(self, length: int) -> None:
        """Forgets all but the first `length` tokens."""
        assert 0 <= length <= self.length
        self.length = length

    def take(self, other: KVCache, length: int) -> None:
        """Becomes a copy of the first `length` tokens of a cache of the same layer, of whatever capacity."""
        assert length <= min(other.length, self.capacity)
        for new, old in zip(self.arrays, other.arrays, strict=True):
            block = self.capacity // new.shape[1]  # tokens per entry of the second axis
            used = -(-length // block)
            new[:, :used] = old[:, :used]
        self.length = length


@dataclass
class DeltaState:
    """A Gated DeltaNet layer's memory; it cannot be trimmed, only copied and restored.

    conv: (kernel − 1, channels) raw inputs of the newest tokens, oldest first; s: the memory of each value head,
    float32, key and value dimensions in the backend's order.
    """

    conv: Any
    s: Any
    length: int = 0

    def copy(self) -> DeltaState:
        return DeltaState(self.conv.copy(), self.s.copy(), self.length)

    def restore(self, saved: DeltaState) -> None:
        """Takes over a copy's values, in place."""
        self.conv[...] = saved.conv
        self.s[...] = saved.s
        self.length = saved.length
