"""Edits as models write them, applied to text: search/replace blocks and whole functions. Knows no files and no models.

Models misplace indentation and trailing blanks, so a block that does not match exactly is tried again with those left
out of account; never with words or punctuation different, and never where it would fit in two places.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from dataclasses import dataclass

from inhouse.errors import WorkspaceError
from inhouse.workspace import source

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n]*\n(.*?)(?:^[ \t]*\1[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(
    r"^<{5,} ?SEARCH[^\n]*\n(?P<search>.*?)^={5,}[^\n]*\n(?P<replace>.*?)(?:^>{5,}[^\n]*$|\Z)", re.DOTALL | re.MULTILINE
)


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
    wanted = edit.search.rstrip("\n").split("\n")
    if not edit.search.strip():
        raise EditError("the SEARCH part is empty; copy the lines that are to change")
    lines = text.split("\n")
    for key in (_exact, str.rstrip, str.strip):
        keyed = [key(line) for line in wanted]
        places = [
            start
            for start in range(len(lines) - len(wanted) + 1)
            if [key(line) for line in lines[start : start + len(wanted)]] == keyed
        ]
        if len(places) > 1:
            where = ", ".join(str(place + 1) for place in places[:5])
            raise EditError(f"the SEARCH part fits at lines {where}; copy more lines around it so that it fits once")
        if places:
            old = lines[places[0] : places[0] + len(wanted)]
            new = edit.replace.rstrip("\n").split("\n") if edit.replace.strip() else []
            return "\n".join([*lines[: places[0]], *_reindent(new, wanted, old), *lines[places[0] + len(wanted) :]])
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
    shown = "\n".join(f"{number + 1:5} {lines[number]}" for number in range(first, last))
    return f"the closest lines are\n{shown}"


def replace_function(text: str, name: str, code: str) -> str:
    """`text` with the function `name` ("Class.method" for a method) replaced by its definition in `code`.

    `code` may hold more (a class around the method, imports, a sentence of prose as comment): only the definition is
    taken, and indented as the old one was. Raises EditError when `code` does not parse or lacks the definition.
    """
    tree = source.parse(text)
    old = source.find_node(tree, name) if tree else None
    if old is None:
        raise EditError(f"there is no function {name} in the file")
    code = textwrap.dedent(code.expandtabs(4))
    problem = source.syntax_error(code)
    if problem:
        raise EditError(f"the new code of {name} is not valid Python ({problem})")
    new = [f for f in source.functions("", code) if f.short_name == name.rpartition(".")[2]]
    if not new:
        raise EditError(f"the code block does not define {name.rpartition('.')[2]}; write the whole function")
    chosen = next((function for function in new if function.name == name), new[-1])
    lines = text.split("\n")
    first = source.first_line(old)
    indent = lines[first - 1][: len(lines[first - 1]) - len(lines[first - 1].lstrip())]
    body = chosen.text(code)
    if not any(line.lstrip().startswith("@") for line in body.split("\n")[:1]):  # models drop decorators; they stay
        decorators = lines[first - 1 : old.lineno - 1]
    else:
        decorators = []
    return "\n".join([*lines[: first - 1], *decorators, *_indented(body, indent), *lines[old.end_lineno or first :]])


def _indented(body: str, indent: str) -> list[str]:
    return [indent + line if line.strip() else "" for line in body.split("\n")]


def _exact(line: str) -> str:
    return line


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _reindent(new: list[str], wanted: list[str], old: list[str]) -> list[str]:
    """The replacement, moved by as much as the search part had been moved against the file."""
    shift = next((_indent(o) - _indent(w) for o, w in zip(old, wanted, strict=True) if w.strip()), 0)
    if shift >= 0:
        return [" " * shift + line if line.strip() else line for line in new]
    return [line[min(-shift, _indent(line)) :] for line in new]
