"""Where in a prompt recurrent states are worth keeping: a later prompt may go on from there another way.

Knows tokens and which of them end a message, nothing of layers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

SPACING = 1024  # tokens at most from one place to the next
NEAR = 96  # tokens: a message that ends so soon after another place is as well computed again


def places(prompt: Sequence[int], ends: Collection[int], tail: int = 0) -> Mapping[int, bool]:
    """Positions, and whether each is worth a file as well.

    The end of the first message (system prompt and tools, shared by conversations), the ends of the others, fixed
    stretches of long ones, and the place before the last `tail` tokens, which the next turn may write otherwise. If
    there is none, the place before the last token: another answer to the same prompt needs its logits, the next turn
    goes on from the prompt's end.
    """
    last = len(prompt) - max(tail, 1)
    marks: dict[int, bool] = {}
    ended = [i + 1 for i, token in enumerate(prompt) if token in ends and i + 1 < last]
    before = 0
    for end in [*ended, last]:
        for stretch in range(before + SPACING, end - NEAR, SPACING):
            marks[stretch] = True
            before = stretch
        if end in (*ended[:1], last) or end - before >= NEAR:
            marks[end] = end in (*ended[:1], last)
            before = end
    if tail == 0:
        marks[len(prompt)] = True
    marks.pop(0, None)
    return marks
