"""Lines of a text, counted as git, grep and editors count them: a line ends with "\\n" and with nothing else.

`str.splitlines` also breaks at form feeds, U+0085, U+2028 and others, so its line numbers are nobody else's. Knows no
files and no encodings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CR_SYMBOL = "␍"  # shown for a carriage return inside a line, which would be invisible
MARGIN = re.compile(r"[ \t\f\v]*")

# What ends a line for a language whose tools number lines otherwise: Python's tokenizer, ECMAScript's LineTerminator.
_PYTHON_ENDS = re.compile(r"\r\n|\r|\n")
_SCRIPT_ENDS = re.compile(r"\r\n|[\r\n\u2028\u2029]")
_SCRIPTS = (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte")


@dataclass(frozen=True)
class Span:
    """Characters start..end (from 0, the end excluded) of a text, and what takes their place."""

    start: int
    end: int
    new: str


def lines_of(text: str) -> list[str]:
    """The lines without their ends; a text that ends with "\\n" has no empty line after it."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def kept_ends(text: str) -> list[str]:
    """The lines with their "\\n", as `str.splitlines(keepends=True)` would give them if it knew no other ends."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def applied(text: str, spans: list[Span]) -> str:
    """`text` with spans, which lie apart, replaced."""
    parts, at = [], 0
    for span in sorted(spans, key=lambda span: span.start):
        parts += [text[at : span.start], span.new]
        at = span.end
    return "".join([*parts, text[at:]])


def line_number(path: str, text: str, line: int) -> int:
    """The number, by "\\n" alone, of the line that the language of `path` numbers `line` (both from 1)."""
    if path.endswith((".py", ".pyi")):
        ends = _PYTHON_ENDS
    elif path.endswith(_SCRIPTS):
        ends = _SCRIPT_ENDS
    else:
        return line
    if not re.search("\r(?!\n)|[\u2028\u2029]", text):
        return line
    at = 0
    for index, end in enumerate(ends.finditer(text), 2):
        if index > line:
            break
        at = end.end()
    return text.count("\n", 0, at) + 1


def margin(line: str) -> str:
    """The blanks, tabs and form feeds that a line begins with."""
    found = MARGIN.match(line)
    return found[0] if found else ""


def shown(line: str) -> str:
    """A line as it is shown: a carriage return inside it has a visible symbol."""
    return line.replace("\r", CR_SYMBOL)


def excerpt(line: str, start: int, length: int) -> str:
    """`length` characters of a long line from `start` (from 0), with "…" where something is left out."""
    start = max(0, min(start, len(line) - length))
    end = min(len(line), start + length)
    return f"{'…' if start else ''}{shown(line[start:end])}{'…' if end < len(line) else ''}"
