"""Which files matter: a graph of who uses whose names, and PageRank over it. Knows files by number, names by hash.

PageRank (Brin and Page 1998) is linear in where the reader begins. So the rank of a reader who begins anywhere is
computed once and kept; what a task mentions is a second, small computation that is added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from inhouse.workspace.lexical import Words

_COMMON = 0.2  # a name that more than this share of the files use tells nothing
_FEW = 20  # files may always share a name
_DEFINED = 8  # files that define a name, at most, for its use to point at them
_DAMPING, _ROUNDS, _NEAR = 0.85, 20, 6

Numbers = NDArray[np.int32]


@dataclass(frozen=True)
class Graph:
    """File `source[i]` uses names of file `target[i]`, which makes up `share[i]` of all that it uses.

    `defined` and `used` are hashes in order, with the file of each beside them. `rank` is of the files.
    """

    source: Numbers
    target: Numbers
    share: NDArray[np.float32]
    rank: NDArray[np.float64]
    defined: Words
    definers: Numbers
    used: Words
    users: Numbers

    def defining(self, name: int) -> Numbers:
        """The files that seem to define a name."""
        return self.definers[slice(*_span(self.defined, name))]

    def using(self, name: int) -> Numbers:
        """The files that hold a name."""
        return self.users[slice(*_span(self.used, name))]

    def uses(self, names: Sequence[int]) -> NDArray[np.int64]:
        """How many files hold each of these names."""
        wanted = np.array(names, np.uint32)
        return np.searchsorted(self.used, wanted, "right") - np.searchsorted(self.used, wanted, "left")

    def rank_near(self, start: Mapping[int, float]) -> NDArray[np.float64]:
        """The rank for a reader who begins at some files more often, in units of one file."""
        if not start:
            return self.rank
        extra = np.zeros(len(self.rank))
        extra[list(start)] = list(start.values())
        return self.rank + _spread(self.source, self.target, self.share, extra, _NEAR)

    def parts(self) -> dict[str, bytes]:
        """The arrays as bytes, for `graph_from`."""
        return {field.name: getattr(self, field.name).tobytes() for field in fields(self)}


_TYPES = {
    "source": np.int32, "target": np.int32, "share": np.float32, "rank": np.float64,
    "defined": np.uint32, "definers": np.int32, "used": np.uint32, "users": np.int32,
}  # fmt: skip


def graph_from(parts: Mapping[str, bytes]) -> Graph:
    """Raises KeyError when a part is missing."""
    return Graph(**{name: np.frombuffer(parts[name], kind) for name, kind in _TYPES.items()})


def draw(defined: Sequence[bytes], used: Sequence[bytes]) -> Graph:
    """The graph of files whose hashes (4 bytes each) of defined and of used names are given, in their order."""
    files = len(defined)
    names, definers = _in_order(defined)
    words, users = _in_order(used)
    first = np.searchsorted(names, words, "left")
    count = np.searchsorted(names, words, "right") - first
    begins = np.flatnonzero(np.r_[True, words[1:] != words[:-1]]) if len(words) else np.zeros(0, np.int64)
    spread = np.repeat(np.diff(np.r_[begins, len(words)]), np.diff(np.r_[begins, len(words)]))
    keep = (count > 0) & (count <= _DEFINED) & (spread <= max(_FEW, _COMMON * files))
    first, count, spread, user = first[keep], count[keep], spread[keep], users[keep]
    source = np.repeat(user, count)
    offset = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
    target = definers[np.repeat(first, count) + offset]
    weight = np.repeat((1 / (count * np.sqrt(spread))).astype(np.float32), count)
    other = source != target
    source, target, weight = source[other], target[other], weight[other]
    out = np.bincount(source, weight, files)
    share = (weight / np.maximum(out, 1e-12)[source]).astype(np.float32)
    rank = _spread(source, target, share, np.ones(files), _ROUNDS)
    return Graph(source, target, share, rank, names, definers, words, users)


def _spread(
    source: Numbers, target: Numbers, share: NDArray[np.float32], start: NDArray[np.float64], rounds: int
) -> NDArray[np.float64]:
    """How often a reader who begins at `start` and follows uses comes by each file."""
    total: NDArray[np.float64] = start.copy()
    here: NDArray[np.float64] = start
    for _ in range(rounds):
        here = np.bincount(target, share * here[source], len(start)) * np.float64(_DAMPING)
        total += here
    return total


def _in_order(blobs: Sequence[bytes]) -> tuple[Words, Numbers]:
    """All hashes of all files in order, and the number of the file of each."""
    sizes = [len(blob) // 4 for blob in blobs]
    # A hash and a file's number in one word sort four times as fast as the one by the other.
    both = np.frombuffer(b"".join(blobs), np.uint32).astype(np.uint64) << np.uint64(32)
    both |= np.repeat(np.arange(len(blobs), dtype=np.uint64), sizes)
    both.sort()
    return (both >> np.uint64(32)).astype(np.uint32), (both & np.uint64(0xFFFFFFFF)).astype(np.int32)


def _span(ordered: Words, name: int) -> tuple[int, int]:
    wanted = np.uint32(name)
    return int(np.searchsorted(ordered, wanted, "left")), int(np.searchsorted(ordered, wanted, "right"))
