"""Copies of what layers remember: keys and values of a run of tokens, recurrent states at one position.

Attention caches are contiguous per sequence; what is shared between sequences is copied out of one and into another.
Knows the layout of `kernels/state.py`, and neither tokens nor who keeps the copies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inhouse.kernels.state import DeltaState, KVCache
from inhouse.models import LayerState

Arrays: TypeAlias = tuple[npt.NDArray[Any], ...]  # never written to once made


@dataclass(frozen=True, eq=False)
class Block:
    """Keys and values of the tokens from `start` to `end`, of every attention layer in turn.

    Where a backend keeps the keys of several tokens in one entry, the first and the last entry may hold neighbours'
    keys as well: blocks are put back in order, each over the end of the one before.
    """

    start: int
    end: int
    arrays: Arrays  # keys, values and scales, if any, of the first attention layer, of the second, ...

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)


@dataclass(frozen=True, eq=False)
class States:
    """Every recurrent layer's memory after `position` tokens."""

    position: int
    arrays: Arrays  # conv and s of the first recurrent layer, of the second, ...

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)


def block_of(layers: Sequence[LayerState], start: int, end: int) -> Block:
    """A copy of the keys and values from `start` to `end`."""
    caches = [layer for layer in layers if isinstance(layer, KVCache)]
    arrays = [
        np.array(array[:, _entries(array, cache.capacity, start, end)]) for cache in caches for array in cache.arrays
    ]
    return Block(start, end, tuple(arrays))


def put_block(block: Block, layers: Sequence[LayerState], end: int) -> None:
    """Writes `block` up to token `end` into layers that hold, and then no longer only, all tokens before its start."""
    caches = [layer for layer in layers if isinstance(layer, KVCache)]
    arrays = iter(block.arrays)
    for cache in caches:
        assert cache.length == block.start
        for target in cache.arrays:
            entries = _entries(target, cache.capacity, block.start, end)
            target[:, entries] = next(arrays)[:, : entries.stop - entries.start]
        cache.length = end


def states_of(layers: Sequence[LayerState], *, copy: bool = True) -> States | None:
    """The recurrent states as they are now, or None for a model without any; `copy` False gives the buffers away."""
    deltas = [layer for layer in layers if isinstance(layer, DeltaState)]
    if not deltas:
        return None
    arrays = [np.array(array, copy=copy or None) for delta in deltas for array in (delta.conv, delta.s)]
    return States(deltas[0].length, tuple(arrays))


def put_states(states: States, layers: Sequence[LayerState]) -> None:
    """Sets every recurrent layer to `states`."""
    arrays = iter(states.arrays)
    for layer in layers:
        if isinstance(layer, DeltaState):
            layer.conv[...] = next(arrays)
            layer.s[...] = next(arrays)
            layer.length = states.position


def _entries(array: Any, capacity: int, start: int, end: int) -> slice:
    """The entries of an array's second axis that hold the tokens from `start` to `end`."""
    tokens = capacity // array.shape[1]  # of one entry
    return slice(start // tokens, -(-end // tokens))
