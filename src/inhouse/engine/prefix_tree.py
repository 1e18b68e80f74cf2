"""A tree over token prefixes: each node is a run of tokens after its parent's, with what was remembered of them.

Knows where remembered things are (in memory, in a file, both) and what losing them would cost; knows neither layers
nor files themselves. Nodes are never split: where a prompt leaves a node's run midway, a sibling repeats the run's
beginning, at most a page of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from inhouse.engine.pages import Block, States

Ids: TypeAlias = npt.NDArray[np.int32]
Kind = Literal["block", "states"]

T = TypeVar("T", Block, States)


@dataclass(eq=False)
class Kept(Generic[T]):
    """One remembered thing: in memory, on disk (`stored` bytes there), in both places, or (both empty) lost."""

    data: T | None = None
    stored: int = 0
    used: int = 0  # the tree's clock when it was last made or needed

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return 0 if self.data is None else self.data.nbytes

    def __bool__(self) -> bool:
        return self.data is not None or self.stored > 0


@dataclass(eq=False)
class Node:
    """The tokens from `start` to `end` of every prompt that begins with those of the nodes above and these."""

    parent: Node | None
    tokens: Ids
    start: int
    key: bytes  # digest of all tokens up to `end` and of how nodes cut them
    block: Kept[Block] = field(default_factory=Kept)
    states: Kept[States] = field(default_factory=Kept)
    children: dict[int, list[Node]] = field(default_factory=dict)  # by their first token
    alive: bool = True  # still in the tree
    durable: bool = False  # its recurrent states are worth a file

    @property
    def end(self) -> int:
        return self.start + len(self.tokens)

    def path(self) -> list[Node]:
        """All nodes from below the root to this one."""
        nodes: list[Node] = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            nodes.append(node)
            node = node.parent
        return nodes[::-1]

    def each_child(self) -> Iterator[Node]:
        for siblings in self.children.values():
            yield from siblings


@dataclass(frozen=True)
class Match:
    """The first `position` tokens of a prompt are those of `node`'s path; `position` may lie inside its run."""

    node: Node
    position: int


class PrefixTree:
    """All nodes; `recurrent` models can go on only from a node's end, and only where states are kept."""

    def __init__(self, recurrent: bool) -> None:
        self.recurrent = recurrent
        self.root = Node(None, np.empty(0, np.int32), 0, prefix_key(b"", []))
        self.clock = 0

    def nodes(self) -> Iterator[Node]:
        """Every node but the root, parents before children."""
        stack = list(self.root.each_child())
        while stack:
            node = stack.pop()
            yield node
            stack.extend(node.each_child())

    def match(self, prompt: Ids, limit: int) -> Match:
        """The longest beginning of `prompt`, of at most `limit` tokens, from which a sequence can go on."""
        best = Match(self.root, 0)
        for node, common in self._along(prompt):
            if self.recurrent:
                usable = node.end if node.states and common == len(node.tokens) and node.end <= limit else 0
            else:
                usable = min(node.start + common, limit)
            if usable > best.position:
                best = Match(node, usable)
        return best

    def cover(self, ids: Ids) -> Node:
        """The node that ends farthest along `ids`, all of its run among them."""
        best = self.root
        for node, common in self._along(ids):
            if common == len(node.tokens) and node.end > best.end:
                best = node
        return best

    def at(self, node: Node, tokens: Ids) -> Node | None:
        """The child of `node` whose run is exactly `tokens`."""
        for child in node.children.get(int(tokens[0]), ()):
            if np.array_equal(child.tokens, tokens):
                return child
        return None

    def add(self, parent: Node, tokens: Ids) -> Node:
        """A new node below `parent`."""
        node = Node(parent, tokens, parent.end, prefix_key(parent.key, tokens))
        parent.children.setdefault(int(tokens[0]), []).append(node)
        return node

    def remove(self, node: Node) -> list[Node]:
        """Takes `node` and all below it out of the tree, and returns them."""
        assert node.parent is not None
        siblings = node.parent.children[int(node.tokens[0])]
        siblings.remove(node)
        if not siblings:
            del node.parent.children[int(node.tokens[0])]
        gone = [node]
        for each in gone:
            each.alive = False
            gone.extend(each.each_child())
        return gone

    def touch(self, node: Node) -> None:
        """Notes that `node` has been needed now: all blocks above it, and its own states but no others'."""
        self.clock += 1
        node.states.used = self.clock
        for each in node.path():
            each.block.used = self.clock

    def worth(self, node: Node, kind: Kind) -> float:
        """What losing a thing costs (tokens to compute again per byte), by how long ago it was needed."""
        kept = node.block if kind == "block" else node.states
        size = max(kept.nbytes, kept.stored, 1)
        age = self.clock - kept.used + 1
        if kind == "states":
            return (node.end - self._resumable_before(node)) / size / age
        useless = self.recurrent and not node.children and not node.states
        return len(node.tokens) / size / age * (0.01 if useless else 1.0)

    def _resumable_before(self, node: Node) -> int:
        """The last position above `node` from which one could compute its states again."""
        above = node.parent
        while above is not None and above.parent is not None and not above.states:
            above = above.parent
        return 0 if above is None else above.end

    def _along(self, ids: Ids) -> Iterator[tuple[Node, int]]:
        """Every node on a path that `ids` begin with, and how many tokens of its run they have in common (≥ 1)."""
        stack = [self.root]
        while stack:
            parent = stack.pop()
            rest = ids[parent.end :]
            if not len(rest):
                continue
            for child in parent.children.get(int(rest[0]), ()):
                common = common_prefix(child.tokens, rest[: len(child.tokens)])
                yield child, common
                if common == len(child.tokens):
                    stack.append(child)


def common_prefix(a: Ids, b: Ids) -> int:
    """How many tokens two runs begin with in common."""
    size = min(len(a), len(b))
    differ = np.flatnonzero(a[:size] != b[:size])
    return int(differ[0]) if len(differ) else size


def prefix_key(parent: bytes, tokens: Ids | Sequence[int]) -> bytes:
    """A node's key, from its parent's and its own tokens."""
    return hashlib.blake2b(parent + np.asarray(tokens, np.int32).tobytes(), digest_size=16).digest()
