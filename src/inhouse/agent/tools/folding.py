"""Long output made short for a model: the head and the tail stay. Knows no tools."""

from __future__ import annotations

_HEAD_LINES, _TAIL_LINES = 60, 140
_HEAD_CHARS, _TAIL_CHARS = 5_000, 11_000
_LINE = 1_000


def fold(text: str) -> str:
    """At most 200 lines and 16,000 characters of `text`, with a line that says what is left out."""
    lines = [line if len(line) <= _LINE else f"{line[:_LINE]} ... [{len(line) - _LINE} characters]"
             for line in text.rstrip("\n").split("\n")]  # fmt: skip
    if len(lines) <= _HEAD_LINES + _TAIL_LINES and sum(map(len, lines)) + len(lines) <= _HEAD_CHARS + _TAIL_CHARS:
        return "\n".join(lines)
    head = _within(lines[:_HEAD_LINES], _HEAD_CHARS)
    rest = lines[len(head) :]
    tail = _within(rest[::-1][:_TAIL_LINES], _TAIL_CHARS)[::-1]
    left_out = len(lines) - len(head) - len(tail)
    return "\n".join([*head, f"... [{left_out} lines left out] ...", *tail])


def _within(lines: list[str], room: int) -> list[str]:
    kept = []
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return kept
