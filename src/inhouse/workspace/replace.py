"""One piece of text replaced by another, as models ask for it. Knows no files.

What does not match exactly is tried again without what models add or lose: line numbers copied from a listing, escaped
line ends, indentation and trailing blanks. It is never replaced in a place that is not the only one.
"""

from __future__ import annotations

import re

from inhouse.workspace.edits import EditError, SearchReplace, apply_search_replace, closest_region

_NUMBERED = re.compile(r"^ *\d+\t", re.MULTILINE)


def replaced(text: str, old: str, new: str, *, every: bool = False) -> str:
    """`text` with `old`, which must be in it once (or `every` time), replaced. Raises EditError, worded for a model."""
    if not old.strip():
        raise EditError("old_str is empty; copy the lines that are to change, or use insert or create")
    if old == new:
        raise EditError("old_str and new_str are the same, so nothing would change; put the new lines in new_str")
    for one, other in dict.fromkeys(((old, new), _without_numbers(old, new), _unescaped(old, new))):
        count = text.count(one)
        if count == 1 or (count and every):
            return text.replace(one, other)
        if count:
            raise EditError(
                f"old_str is there {count} times, at lines {_places(text, one)}; copy more lines around it so that it "
                "fits once, or set replace_all"
            )
    search, replacement = _without_numbers(old, new)
    try:
        return apply_search_replace(text, SearchReplace(search, replacement))
    except EditError as error:
        if "fits at lines" in str(error):
            raise EditError(str(error).replace("the SEARCH part", "old_str")) from None
    raise EditError(f"old_str is nowhere in the file; {closest_region(text, search)}\ncopy old_str from there")


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


def _places(text: str, part: str) -> str:
    found: list[str] = []
    at = text.find(part)
    while at >= 0 and len(found) < 8:
        found.append(str(text.count("\n", 0, at) + 1))
        at = text.find(part, at + 1)
    return ", ".join(found)
