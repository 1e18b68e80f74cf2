"""One piece of text replaced by another, as models ask for it. Knows no files.

What does not match exactly is tried again without what models add or lose: line numbers copied from a listing, escaped
line ends, symbols for what cannot be seen, indentation, tabs and trailing blanks. It is never replaced in a place that
is not the only one.
"""

from __future__ import annotations

import re
from unicodedata import normalize

from inhouse.workspace.edits import EditError, SearchReplace, closest_region, search_replace_span
from inhouse.workspace.lines import CR_SYMBOL, Span

_NUMBERED = re.compile(r"^ *\d+\t", re.MULTILINE)


def replacements(text: str, old: str, new: str, *, every: bool = False) -> list[Span]:
    """Where `old`, which must be in `text` once (or `every` time), is to be replaced, and by what.

    Raises EditError, worded for a model.
    """
    if not old.strip():
        raise EditError("old_str is empty; copy the lines that are to change, or use insert or create")
    if old == new:
        raise EditError("old_str and new_str are the same, so nothing would change; put the new lines in new_str")
    if "\r\n" not in text:  # the file's own line ends come back when it is written
        old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
    readings = (
        (old, new),
        _without_numbers(old, new),
        _unescaped(old, new),
        *_with_returns(text, old, new),
        *_in_forms(old, new),
    )
    for one, other in dict.fromkeys(readings):
        count = text.count(one)
        if count == 1 or (count and every):
            return [_span(text, at, one, other) for at in _offsets(text, one)]
        if count:
            raise EditError(
                f"old_str is there {count} times, at lines {_places(text, one)}; copy more lines around it so that it "
                "fits once, or set replace_all"
            )
    search, replacement = _without_numbers(old, new)
    try:
        return [search_replace_span(text, SearchReplace(search, replacement))]
    except EditError as error:
        if "fits at lines" in str(error):
            raise EditError(str(error).replace("the SEARCH part", "old_str")) from None
    raise EditError(f"old_str is nowhere in the file; {closest_region(text, search)}\ncopy old_str from there")


def _span(text: str, at: int, old: str, new: str) -> Span:
    """The replacement at an offset. A line that is deleted with its end takes its margin along."""
    begin = text.rfind("\n", 0, at) + 1
    whole = not new and old.endswith("\n") and not text[begin:at].strip(" \t")
    return Span(begin if whole else at, at + len(old), new)


def _with_returns(text: str, old: str, new: str) -> list[tuple[str, str]]:
    """Both with real carriage returns for their symbol; and for line ends, in a file whose lines end so."""
    if "\r" not in text:
        return []
    found = [(old.replace(CR_SYMBOL, "\r"), new.replace(CR_SYMBOL, "\r"))]
    if "\n" not in text.rstrip("\n"):
        found += [(one.replace("\n", "\r"), other.replace("\n", "\r")) for one, other in ((old, new), *found)]
    return found


def _in_forms(old: str, new: str) -> list[tuple[str, str]]:
    """Both with composed, and with decomposed characters."""
    if old.isascii():
        return []
    return [(normalize("NFC", old), normalize("NFC", new)), (normalize("NFD", old), normalize("NFD", new))]


def _without_numbers(old: str, new: str) -> tuple[str, str]:
    """Both without the line numbers of a listing, if every line of `old` has one."""
    lines = [line for line in old.split("\n") if line]
    if not all(_NUMBERED.match(line) for line in lines):
        return old, new
    return _NUMBERED.sub("", old), _NUMBERED.sub("", new)


def _unescaped(old: str, new: str) -> tuple[str, str]:
    """Both with \\n for line ends made real, if `old` has no real ones."""
    if "\n" in old or "\\n" not in old:
        return old, new
    return tuple(part.replace("\\n", "\n").replace("\\t", "\t") for part in (old, new))  # type: ignore[return-value]


def _offsets(text: str, part: str) -> list[int]:
    found, at = [], text.find(part)
    while at >= 0:
        found.append(at)
        at = text.find(part, at + len(part))
    return found


def _places(text: str, part: str) -> str:
    return ", ".join(str(text.count("\n", 0, at) + 1) for at in _offsets(text, part)[:8])
