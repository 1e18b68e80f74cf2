"""One sequence: the tokens computed so far and what every layer remembers of them. Knows neither text nor requests.

Attention layers can forget their newest tokens at no cost (`KVCache.truncate`). Recurrent layers cannot: they go
back only to a position at which a copy of them was kept, so a sequence carries such copies (`snapshot`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from inhouse.kernels.state import DeltaState, KVCache
from inhouse.models import LayerState

Layers: TypeAlias = list[LayerState]
NewLayers: TypeAlias = Callable[[int], Layers]  # a model's empty layers, with room for so many tokens

ROOM = 256  # tokens: capacities are multiples of this
SNAPSHOTS = 8  # at most so many per sequence


class Sequence:
    """A sequence's tokens and state; `ids[i]` has been computed for every i. Not for two threads at once.

    Its layers start with room for few tokens and move to larger ones as they fill: what a sequence occupies is what it
    needs, and `nbytes` says the truth about it.
    """

    def __init__(self, new_layers: NewLayers, capacity: int = 0) -> None:
        self._new_layers = new_layers
        self.capacity = _rounded(capacity)
        self._consistent = True
        self.ids: list[int] = []
        self.layers = new_layers(self.capacity)
        self.snapshots: dict[
            int, tuple[DeltaState, ...]
        ] = {}  # recurrent states after so many tokens; never written to

    @property
    def recurrent(self) -> bool:
        """Whether any layer's state cannot be trimmed."""
        return any(isinstance(layer, DeltaState) for layer in self.layers)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers, snapshots included."""
        kept = [state for states in self.snapshots.values() for state in states]
        return sum(_layer_bytes(layer) for layer in [*self.layers, *kept])

    def reserve(self, length: int) -> None:
        """Makes room for `length` tokens in all, moving what is there if need be."""
        if length <= self.capacity:
            return
        capacity = _rounded(max(length, self.capacity + self.capacity // 2))
        self.layers = _copy(self.layers, len(self.ids), self._new_layers(capacity))
        self.capacity = capacity

    @contextmanager
    def extending(self, ids: list[int]) -> Iterator[Layers]:
        """The layers, for a forward pass that appends `ids` to all of them.

        If the pass fails or is interrupted, some layers may have moved and others not; `recover` mends that.
        """
        self.reserve(len(self.ids) + len(ids))
        self._consistent = False
        yield self.layers
        self.ids.extend(ids)
        assert all(layer.length == len(self.ids) for layer in self.layers)
        self._consistent = True

    def recover(self) -> bool:
        """After a forward pass that did not finish: goes back to a known state. False if there is none."""
        if self._consistent:
            return True
        known = max(self.snapshots, default=0) if self.recurrent else len(self.ids)
        if known == 0:
            return False
        self._set(known)
        self._consistent = True
        return True

    def snapshot(self) -> None:
        """Keeps a copy of the recurrent states as they are now; nothing to do for a model without any."""
        if not self.recurrent or len(self.ids) in self.snapshots:
            return
        self.snapshots[len(self.ids)] = tuple(layer.copy() for layer in self.layers if isinstance(layer, DeltaState))
        if len(self.snapshots) > SNAPSHOTS:
            # The first is where conversations part (the system prompt), the newest are where this one goes on.
            del self.snapshots[sorted(self.snapshots)[1]]

    def reach(self, length: int) -> int:
        """The largest position at most `length` from which this sequence can go on without computing anything again."""
        if length >= len(self.ids):
            return len(self.ids)
        if not self.recurrent:
            return length
        return max((position for position in self.snapshots if position <= length), default=0)

    def rewind(self, position: int) -> None:
        """Goes back to a `position` that `reach` returned."""
        assert position == self.reach(position) > 0
        if position < len(self.ids):
            self._set(position)

    def branch(self, position: int) -> Sequence:
        """A sequence of its own that begins with the first `position` tokens of this one; `reach` returned it."""
        assert position == self.reach(position) > 0
        other = Sequence(self._new_layers, position)
        other.ids = self.ids[:position]
        other.layers = _copy(self.layers, position, other.layers)
        other.snapshots = {at: states for at, states in self.snapshots.items() if at <= position}
        if self.recurrent and position < len(self.ids):
            other._set(position)
        return other

    def _set(self, position: int) -> None:
        """Brings ids, layers and snapshots to `position`; recurrent layers from the snapshot there."""
        saved = iter(self.snapshots[position]) if self.recurrent else iter(())
        for layer in self.layers:
            if isinstance(layer, DeltaState):
                layer.restore(next(saved))
            else:
                layer.truncate(position)
        del self.ids[position:]
        self.snapshots = {at: states for at, states in self.snapshots.items() if at <= position}


def _rounded(tokens: int) -> int:
    return max(-(-tokens // ROOM), 1) * ROOM


def _layer_bytes(layer: LayerState) -> int:
    if isinstance(layer, DeltaState):
        return int(layer.conv.nbytes + layer.s.nbytes)
    return int(layer.keys.nbytes + layer.values.nbytes)


def _copy(source: Layers, length: int, target: Layers) -> Layers:
    """`target` after taking over the first `length` tokens' keys and values, and the recurrent states as they are."""
    for old, new in zip(source, target, strict=True):
        if isinstance(new, DeltaState):
            assert isinstance(old, DeltaState)
            new.restore(old)
        else:
            assert isinstance(old, KVCache)
            new.take(old, length)
    return target
