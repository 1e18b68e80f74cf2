"""The memory of past sequences: a prompt that begins like one of them is not computed again from its start.

A prefix tree of copies, within a budget of memory and, if given, a second tier on disk. `begin` finds what is known of
a prompt and puts it into a sequence, piece by piece; `keep` adds what a sequence has computed. Sequences share nothing:
all that goes in or out is copied. Knows tokens and states, not text. Not for two threads at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence as Tokens
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from inhouse.engine.disk import DiskTier
from inhouse.engine.pages import Block, States, block_of, put_block, put_states, states_of
from inhouse.engine.prefix_tree import Ids, Kind, Match, Node, PrefixTree
from inhouse.engine.sequence import NewLayers, Sequence

PAGE = 128  # tokens of a node at most; a multiple of what any backend keeps in one entry
SLACK = 0.95  # an eviction frees a little more than it must, so that not every insertion is one


@dataclass(frozen=True)
class CacheStats:
    """Occupancy in bytes, and counts since the start."""

    nodes: int = 0
    memory_bytes: int = 0
    memory_budget: int = 0
    disk_bytes: int = 0
    disk_budget: int = 0
    lookups: int = 0
    prompt_tokens: int = 0  # of all lookups
    cached_tokens: int = 0  # of them, those that needed no computing
    evictions: int = 0
    corrupt: int = 0  # files dropped because they were not what they should be


class PrefixCache:
    """Keeps copies of sequences' states in at most `budget` bytes of memory."""

    def __init__(self, new_layers: NewLayers, budget: int) -> None:
        self._new_layers = new_layers
        self.budget = budget
        self._tree = PrefixTree(Sequence(new_layers).recurrent)
        self._disk: DiskTier | None = None
        self._memory = 0
        self._counts = CacheStats()

    def attach(self, disk: DiskTier) -> None:
        """Adds a second tier, with all that is in it already."""
        self._disk = disk
        known: dict[bytes, Node] = {self._tree.root.key: self._tree.root}
        last: dict[Node, float] = {}
        for record in disk.records():
            parent = known.get(record.parent)
            if parent is None or parent.end != record.start:
                disk.forget(record.key)
                continue
            node = self._tree.at(parent, record.tokens) or self._tree.add(parent, record.tokens)
            node.block.stored, node.states.stored = record.block_bytes, record.states_bytes
            node.durable = node.durable or record.states_bytes > 0
            known[record.key] = node
            last[node] = record.used
        for node in sorted(last, key=lambda node: last[node]):
            self._tree.touch(node)
        self._fit_disk()

    @property
    def recurrent(self) -> bool:
        """Whether sequences go on only from where their recurrent states were kept."""
        return self._tree.recurrent

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self._memory

    @property
    def stats(self) -> CacheStats:
        """The figures as they are now."""
        disk = self._disk
        return replace(
            self._counts,
            nodes=sum(1 for _ in self._tree.nodes()),
            memory_bytes=self._memory,
            memory_budget=self.budget,
            disk_bytes=0 if disk is None else disk.nbytes,
            disk_budget=0 if disk is None else disk.budget,
        )

    def begin(self, prompt: Tokens[int], room: int = 0) -> Restore:
        """A sequence for `prompt` and `room` more tokens, to which `Restore.step` brings what is known."""
        return Restore(self, prompt, room)

    def acquire(self, prompt: Tokens[int], room: int = 0) -> Sequence:
        """A sequence that has computed the longest known beginning of `prompt`, though never all of it.

        At least the last token is left over, because its logits are what the caller wants. `len(sequence.ids)`
        tokens need no computing.
        """
        restore = self.begin(prompt, room)
        while not restore.step():
            pass
        return restore.sequence

    def keep(self, sequence: Sequence, *, states: bool, durable: bool = False, last: bool = False) -> None:
        """Adds what `sequence` has computed: whole pages, and with `states` also the rest and the recurrent states.

        `durable` states go to disk too. `last`: the sequence will not be used again and gives its buffers away.
        """
        if not sequence.consistent or not sequence.ids or self.budget == 0:
            return
        ids = np.asarray(sequence.ids, np.int32)
        node = sequence.anchor
        if node is None or not node.alive:
            node = self._tree.cover(ids)
        end = len(ids) if states or last else len(ids) // PAGE * PAGE
        while node.end < end:
            cut = min((node.end // PAGE + 1) * PAGE, end)
            node = self._node(node, ids[node.end : cut], sequence)
        sequence.anchor = node
        if states and node.end == len(ids) and self.recurrent:
            node.durable = node.durable or durable
            if node.states.data is None:
                node.states.data = states_of(sequence.layers, copy=not last)
                self._memory += node.states.nbytes
        if node.parent is not None:
            self._tree.touch(node)
        if durable or last:
            self._store(node)
        self._fit_memory()

    def release(self, sequence: Sequence) -> None:
        """Takes all of a sequence that will not be used again. One left in the middle of a pass is just dropped."""
        self.keep(sequence, states=True, durable=True, last=True)

    def flush(self) -> None:
        """Returns when everything given to the disk is there."""
        if self._disk is not None:
            self._disk.flush()

    def close(self) -> None:
        """Flushes and lets go of the disk and of all copies."""
        if self._disk is not None:
            self._disk.close()
            self._disk = None
        self._tree = PrefixTree(self._tree.recurrent)
        self._memory = 0

    # What `Restore` needs.

    def find(self, prompt: Ids) -> Match:
        """What is known of `prompt` short of its last token."""
        match = self._tree.match(prompt, len(prompt) - 1)
        if match.position:
            self._tree.touch(match.node)
        return match

    def empty(self, capacity: int) -> Sequence:
        return Sequence(self._new_layers, capacity)

    def count(self, prompt: int, cached: int) -> None:
        """Notes a lookup."""
        counts = self._counts
        self._counts = replace(
            counts,
            lookups=counts.lookups + 1,
            prompt_tokens=counts.prompt_tokens + prompt,
            cached_tokens=counts.cached_tokens + cached,
        )

    def block(self, node: Node) -> Block | None:
        """A node's keys and values, from wherever they are; None (and no such node any more) if they are damaged."""
        if node.block.data is None and not self._load(node, "block"):
            return None
        return node.block.data

    def states(self, node: Node) -> States | None:
        """A node's recurrent states, as `block`."""
        if node.states.data is None and not self._load(node, "states"):
            return None
        return node.states.data

    def fit(self) -> None:
        """Brings both tiers within their budgets."""
        self._fit_memory()

    # Insertion.

    def _node(self, parent: Node, tokens: Ids, sequence: Sequence) -> Node:
        """The node of `tokens` below `parent`, made from `sequence` if there is none yet."""
        node = self._tree.at(parent, tokens)
        if node is None or node.block.data is None:
            block = block_of(sequence.layers, parent.end, parent.end + len(tokens))
            node = node or self._tree.add(parent, tokens)  # only now: a node without a block would be found for ever
            node.block.data = block
            self._memory += node.block.nbytes
        return node

    def _store(self, node: Node) -> None:
        """Hands the path to `node` to the disk, as far as it is not there."""
        if self._disk is None:
            return
        for each in node.path():
            if not each.block.stored and each.block.data is not None:
                each.block.stored = self._disk.put(each, "block")
            if not each.block.stored:
                break  # what follows would have no beginning
            if each.durable and not each.states.stored and each.states.data is not None:
                each.states.stored = self._disk.put(each, "states")
        self._fit_disk()
        self._disk.write()
        self._disk.used(node)

    def _load(self, node: Node, kind: Kind) -> bool:
        """Reads a thing back from disk. If it is damaged, it and all that needs it are forgotten."""
        kept: Any = node.block if kind == "block" else node.states
        if self._disk is None or not kept.stored:
            return False
        kept.data = self._disk.load(node, kind)
        if kept.data is not None:
            self._memory += kept.nbytes
            return True
        self._counts = replace(self._counts, corrupt=self._counts.corrupt + 1)
        kept.stored = 0
        if kind == "block":
            self._remove(node)
        return False

    # Eviction.

    def _fit_memory(self) -> None:
        """Drops what is worth least until memory is within budget."""
        self._fit(self.budget, lambda: self._memory, self._in_memory, self._drop_from_memory)

    def _fit_disk(self) -> None:
        disk = self._disk
        if disk is not None:
            self._fit(disk.budget, lambda: disk.nbytes, self._on_disk, self._drop_from_disk)

    def _fit(
        self,
        budget: int,
        size: Callable[[], int],
        evictable: Callable[[Node, Kind], float | None],
        drop: Callable[[Node, Kind], None],
    ) -> None:
        if size() <= budget:
            return
        target = int(budget * SLACK)
        while size() > target:
            kinds: tuple[Kind, Kind] = ("block", "states")
            worth = [
                (value, node.end, node, kind)
                for node in self._tree.nodes()
                for kind in kinds
                if (value := evictable(node, kind)) is not None
            ]
            if not worth:
                return
            worth.sort(key=lambda entry: (entry[0], -entry[1]))
            for _, _, node, kind in worth[: max(len(worth) // 4, 1)]:
                if node.alive and evictable(node, kind) is not None:
                    drop(node, kind)
                    self._counts = replace(self._counts, evictions=self._counts.evictions + 1)
                if size() <= target:
                    return

    def _in_memory(self, node: Node, kind: Kind) -> float | None:
        """What a thing in memory is worth; None if it cannot be dropped from there now."""
        kept: Any = node.block if kind == "block" else node.states
        if kept.data is None:
            return None
        if kept.stored:
            return self._tree.worth(node, kind) * 0.1  # to be read again, not to be computed again
        return None if kind == "block" and node.children else self._tree.worth(node, kind)

    def _drop_from_memory(self, node: Node, kind: Kind) -> None:
        kept: Any = node.block if kind == "block" else node.states
        self._memory -= kept.nbytes
        kept.data = None
        if kind == "block" and not kept.stored:
            self._remove(node)

    def _on_disk(self, node: Node, kind: Kind) -> float | None:
        kept: Any = node.block if kind == "block" else node.states
        if not kept.stored:
            return None
        if kind == "block" and any(child.block.stored for child in node.each_child()):
            return None  # their files would have no beginning
        return self._tree.worth(node, kind)

    def _drop_from_disk(self, node: Node, kind: Kind) -> None:
        assert self._disk is not None
        kept: Any = node.block if kind == "block" else node.states
        self._disk.drop(node, kind)
        kept.stored = 0
        if kind == "block":
            if node.states.stored:
                self._disk.drop(node, "states")
                node.states.stored = 0
            if node.block.data is None:
                self._remove(node)

    def _remove(self, node: Node) -> None:
        """Forgets a node and all below it, wherever they are."""
        for gone in self._tree.remove(node):
            self._memory -= gone.block.nbytes + gone.states.nbytes
            if self._disk is not None:
                self._disk.forget(gone.key)
            gone.block, gone.states = type(gone.block)(), type(gone.states)()


class Restore:
    """A sequence on its way to what is known of a prompt, in steps short enough for others to be served between."""

    def __init__(self, cache: PrefixCache, prompt: Tokens[int], room: int) -> None:
        self._cache = cache
        self._prompt = np.asarray(prompt, np.int32)
        self._capacity = len(prompt) + room
        self._look()

    def step(self, seconds: float | None = None) -> bool:
        """Copies for about `seconds` (None: until done). True when `sequence` has all that is known."""
        begun = time.monotonic()
        while self._left:
            node = self._left[0]
            block = self._cache.block(node) if node.alive else None
            if block is None:
                self._look()  # evicted or damaged since: whatever else is known
                continue
            put_block(block, self.sequence.layers, min(node.end, self._match.position))
            del self._left[0]
            if seconds is not None and time.monotonic() - begun > seconds:
                break
        if self._left:
            return False
        if self._states is not None:
            put_states(self._states, self.sequence.layers)
        match = self._match
        self.sequence.ids = self._prompt[: match.position].tolist()
        self.sequence.anchor = match.node if match.position == match.node.end else match.node.parent
        assert all(layer.length == match.position for layer in self.sequence.layers)
        self._cache.fit()
        self._cache.count(len(self._prompt), match.position)
        return True

    def _look(self) -> None:
        """Begins (again) with the best that is known now."""
        self.sequence = self._cache.empty(self._capacity)
        while True:
            self._match = self._cache.find(self._prompt)
            self._left = self._match.node.path() if self._match.position else []
            self._states: States | None = None
            if not self._left or not self._cache.recurrent:
                return
            # Held from now on: they cannot be evicted on the way, and if they are damaged nothing else is needed.
            self._states = self._cache.states(self._match.node)
            if self._states is not None:
                return
