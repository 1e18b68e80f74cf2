"""Corrections of single lines of a numbered listing: what is listed, the form of an answer, what it makes of a file.

An answer is one line, its number first. That costs a small part of the tokens of a whole function, so that many answers
can be sampled from one prompt and each be tested. Runs nothing and asks nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from inhouse.repair.localise import Suspect
from inhouse.workspace import source
from inhouse.workspace.code.lines import code_lines
from inhouse.workspace.edits import EditError
from inhouse.workspace.indentation import fitted
from inhouse.workspace.lines import margin

LISTED = 70  # lines of a function that are listed whole; of a longer one what is around its likeliest lines
_AROUND = 10  # lines above and below a likely one
_HEAD = 6  # lines at the beginning of a long function
_ANSWER = re.compile(r"^(\d+)\|(.*)$", re.MULTILINE)


def likely(suspect: Suspect, text: str) -> list[int]:
    """The lines of a suspect that may be wrong, the likeliest first: those that failing tests ran, if that is known."""
    able = code_lines(suspect.path, text, suspect.first, suspect.last)
    ran = [line for line in suspect.lines if line in able]
    return ran or able


def listed(suspect: Suspect, text: str) -> list[int]:
    """The lines of a suspect that are shown."""
    every = range(suspect.first, suspect.last + 1)
    if len(every) <= LISTED:
        return list(every)
    shown = set(every[:_HEAD])
    for line in likely(suspect, text):
        near = {n for n in range(line - _AROUND, line + _AROUND + 1) if n in every}
        if len(shown | near) > LISTED:
            break
        shown |= near
    return sorted(shown)


def listing(text: str, numbers: Sequence[int]) -> str:
    """Lines with their numbers; an ellipsis stands for those between that are left out."""
    lines = text.split("\n")
    shown: list[str] = []
    before = numbers[0] - 1 if numbers else 0
    for number in numbers:
        if number != before + 1:
            shown.append("...")
        shown.append(f"{number}|{lines[number - 1]}")
        before = number
    return "\n".join(shown)


def grammar(head: str, numbers: Iterable[int]) -> str:
    """The form of an answer that begins with `head`: one of these lines, with its number (Lark's notation)."""
    choices = "|".join(str(number) for number in sorted(set(numbers)))
    return f"start: {json.dumps(head)} LINE\nLINE: /({choices})\\|[^\\n]*\\n?/"


def changed(suspect: Suspect, text: str, answer: str) -> str:
    """`text` with the line that an answer corrects. Raises EditError.

    Blanks at the margin are the old line's where the answer has none, or where the program does not parse with its own.
    """
    found = _ANSWER.search(answer)
    number = int(found[1]) if found else 0
    lines = text.split("\n")
    if found is None or not suspect.first <= number <= suspect.last <= len(lines):
        raise EditError(f"there is no line of {suspect.name} with its number in the answer")
    old, new = lines[number - 1], found[2].rstrip()
    if old.endswith("\r"):
        new += "\r"
    versions = [margin(old) + new[len(margin(new)) :]]
    if margin(new) or not margin(old):
        versions.insert(0, fitted([new], [old], [old])[0])
    for version in versions:
        whole = "\n".join([*lines[: number - 1], version, *lines[number:]])
        if not suspect.path.endswith(".py") or source.parse(whole) is not None:
            return whole
    return whole
