"""The memory of past sequences: a prompt that begins like one of them is not computed again from its start.

Knows tokens and states, not text. The interface is two words: `acquire` a sequence for a prompt, `release` it after
use. Behind it, for now, lies a list of whole sequences, the least recently used first.
"""

from __future__ import annotations

from collections.abc import Sequence as Tokens

from inhouse.engine.sequence import NewLayers, Sequence

BRANCH = 512  # tokens: giving up more computed ones than this costs more than copying the part in common


class SequenceCache:
    """Keeps the last sequences in at most `budget` bytes. Whoever acquired a sequence has it alone until release.

    Not for two threads at once.
    """

    def __init__(self, new_layers: NewLayers, budget: int) -> None:
        self._new_layers = new_layers
        self._budget = budget
        self._kept: list[Sequence] = []  # least recently used first

    @property
    def nbytes(self) -> int:
        """Bytes of all kept sequences."""
        return sum(sequence.nbytes for sequence in self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    def acquire(self, prompt: Tokens[int]) -> Sequence:
        """A sequence that has already computed the longest possible beginning of `prompt`, though never all of it.

        At least the last token is left over, because its logits are what the caller wants. `len(sequence.ids)`
        tokens need no computing.
        """
        best: Sequence | None = None
        reach = 0
        for candidate in reversed(self._kept):
            common = min(_common_prefix(candidate.ids, prompt), len(prompt) - 1)
            if candidate.reach(common) > reach:
                best, reach = candidate, candidate.reach(common)
        if best is None:
            return Sequence(self._new_layers, len(prompt))
        self._kept.remove(best)
        if len(best.ids) - reach > min(BRANCH, reach):
            self._kept.append(best)
            return best.branch(reach)
        best.rewind(reach)
        return best

    def release(self, sequence: Sequence) -> None:
        """Takes a sequence back and keeps it while it fits.

        One that an interrupt left in the middle of a computation goes back to its last known state, if there is one.
        """
        if sequence.recover():
            self._kept.append(sequence)
        while self._kept and self.nbytes > self._budget:
            del self._kept[0]


def _common_prefix(a: Tokens[int], b: Tokens[int]) -> int:
    for index, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return index
    return min(len(a), len(b))
