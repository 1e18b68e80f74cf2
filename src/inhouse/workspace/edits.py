"""Search/replace edits as models write them, applied to text. Knows no files and no models.

Models misplace indentation and trailing blanks, so a block that does not match exactly is tried again with those left
out of account; never with words or punctuation different, and never where it would fit in two places.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from dataclasses import dataclass

from inhouse.errors import WorkspaceError
from inhouse.workspace.indentation import fitted
from inhouse.workspace.lines import Span, applied, excerpt

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(
    r"^<{5,} ?SEARCH[^\n]*\n(?P<search>.*?)^={5,}[^\n]*\n(?P<replace>.*?)(?:^>{5,}[^\n]*$|\Z)", re.DOTALL | re.MULTILINE
)

_LONGEST = 500  # characters shown of a line


class EditError(WorkspaceError):
    """An edit that does not apply; the message tells a model what to do about it."""


@dataclass(frozen=True)
class SearchReplace:
    search: str
    replace: str


def fenced_blocks(answer: str) -> list[str]:
    """The contents of the fenced code blocks of an answer; one that is not closed reaches to the end."""
    return [match[2] for match in _FENCE.finditer(answer)]


def search_replace_blocks(answer: str) -> list[SearchReplace]:
    """The `<<<<<<< SEARCH … ======= … >>>>>>> REPLACE` blocks of an answer."""
    return [SearchReplace(match["search"], match["replace"]) for match in _BLOCK.finditer(answer)]


def apply_search_replace(text: str, edit: SearchReplace) -> str:
    """`text` with the one place that matches replaced. Raises EditError on none or several, with the closest region."""
    return applied(text, [search_replace_span(text, edit)])


def search_replace_span(text: str, edit: SearchReplace) -> Span:
    """The one place of `text` that an edit means, and its new lines. Raises EditError like `apply_search_replace`.

    Lines that the edit repeats stay as the file has them, whatever became of their blanks on the way.
    """
    wanted = edit.search.rstrip("\n").split("\n")
    if not edit.search.strip():
        raise EditError("the SEARCH part is empty; copy the lines that are to change")
    lines = text.split("\n")
    for key in (_exact, str.rstrip, str.strip, _without_blanks):
        keyed = [key(line) for line in wanted]
        of_file = list(map(key, lines))
        places = [
            start
            for start in range(len(lines) - len(wanted) + 1)
            if of_file[start] == keyed[0] and of_file[start : start + len(wanted)] == keyed
        ]
        if len(places) > 1:
            where = ", ".join(str(place + 1) for place in places[:5])
            raise EditError(f"the SEARCH part fits at lines {where}; copy more lines around it so that it fits once")
        if places:
            first, last = places[0], places[0] + len(wanted)
            new = edit.replace.rstrip("\n").split("\n") if edit.replace.strip() else []
            start = sum(map(len, lines[:first])) + first
            old = lines[first:last]
            end = start + sum(map(len, old)) + len(old) - 1
            if new:
                return Span(start, end, "\n".join(fitted(new, wanted, old)))
            return Span(start, end + 1, "") if last < len(lines) else Span(max(0, start - 1), end, "")
    raise EditError(f"the SEARCH part is nowhere in the file; {closest_region(text, edit.search)}")


def closest_region(text: str, search: str, context: int = 2) -> str:
    """The lines of `text` that are most like `search`, numbered: what a model needs to correct its edit."""
    lines, wanted = text.split("\n"), search.strip("\n").split("\n")
    best, best_ratio = 0, 0.0
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2("\n".join(line.strip() for line in wanted))
    for start in range(max(1, len(lines) - len(wanted) + 1)):
        matcher.set_seq1("\n".join(line.strip() for line in lines[start : start + len(wanted)]))
        if matcher.real_quick_ratio() > best_ratio and matcher.ratio() > best_ratio:
            best, best_ratio = start, matcher.ratio()
    first, last = max(0, best - context), min(len(lines), best + len(wanted) + context)
    found = "\n".join(f"{number + 1:5} {excerpt(lines[number], 0, _LONGEST)}" for number in range(first, last))
    return f"the closest lines are\n{found}"


def _exact(line: str) -> str:
    return line


def _without_blanks(line: str) -> str:
    """A line by its words and marks: composed characters, and one blank for any between them."""
    return " ".join(unicodedata.normalize("NFC", line).split())
