"""One sequence: the tokens computed so far and what every layer remembers of them. Knows neither text nor requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from inhouse.engine.prefix_tree import Node
from inhouse.kernels.state import DeltaState, KVCache
from inhouse.models import LayerState

Layers: TypeAlias = list[LayerState]
NewLayers: TypeAlias = Callable[[int], Layers]  # a model's empty layers, with room for so many tokens

ROOM = 256  # tokens: capacities are multiples of this


class Sequence:
    """A sequence's tokens and state; `ids[i]` has been computed for every i. Not for two threads at once.

    Its layers start with room for few tokens and move to larger ones as they fill: what a sequence occupies is what it
    needs, and `nbytes` says the truth about it.
    """

    def __init__(self, new_layers: NewLayers, capacity: int = 0) -> None:
        self._new_layers = new_layers
        self.capacity = _rounded(capacity)
        self.consistent = True  # all layers are where `ids` are; False during a pass and after one that failed
        self.ids: list[int] = []
        self.layers = new_layers(self.capacity)
        self.anchor: Node | None = None  # the last place in the prefix tree that holds a beginning of this sequence

    @property
    def recurrent(self) -> bool:
        """Whether any layer's state cannot be trimmed."""
        return any(isinstance(layer, DeltaState) for layer in self.layers)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return sum(_layer_bytes(layer) for layer in self.layers)

    def reserve(self, length: int) -> None:
        """Makes room for `length` tokens in all, moving what is there if need be."""
        if length <= self.capacity:
            return
        capacity = _rounded(max(length, self.capacity + self.capacity // 2))
        self.layers = [
            _moved(*pair, len(self.ids)) for pair in zip(self.layers, self._new_layers(capacity), strict=True)
        ]
        self.capacity = capacity

    @contextmanager
    def extending(self, ids: list[int]) -> Iterator[Layers]:
        """The layers, for a forward pass that appends `ids` to all of them.

        If the pass fails or is interrupted, some layers may have moved and others not: the sequence is of no more use.
        """
        self.reserve(len(self.ids) + len(ids))
        self.consistent = False
        yield self.layers
        self.ids.extend(ids)
        assert all(layer.length == len(self.ids) for layer in self.layers)
        self.consistent = True


def _rounded(tokens: int) -> int:
    return max(-(-tokens // ROOM), 1) * ROOM


def _layer_bytes(layer: LayerState) -> int:
    if isinstance(layer, DeltaState):
        return int(layer.conv.nbytes + layer.s.nbytes)
    return layer.nbytes


def _moved(old: LayerState, new: LayerState, length: int) -> LayerState:
    """What `old` holds, with the room of `new`: recurrent states need no more than they have."""
    if isinstance(new, KVCache):
        assert isinstance(old, KVCache)
        new.take(old, length)
        return new
    return old
