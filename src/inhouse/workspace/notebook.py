"""Jupyter notebooks as text: whether one is whole, its cells, and edits of a cell's source. Runs nothing.

Edits stay edits of the JSON text: only the value of the changed cell's `source` is written anew, in the form that it
had, so that the rest of the file keeps every byte. The structure is that of nbformat's JSON schema for version 4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inhouse.workspace.lines import Span, kept_ends, lines_of

_OUTPUT_TYPES = frozenset({"stream", "display_data", "execute_result", "error"})
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MOST_OUTPUT = 5  # lines shown of a cell's outputs
_LONGEST = 200  # characters of each
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True)
class Cell:
    """`start`..`end`: where the JSON value of its source is in the file's text; `line`: the first one of the cell."""

    kind: str
    source: str
    outputs: tuple[str, ...]
    start: int
    end: int
    line: int


def is_notebook(path: str) -> bool:
    return path.endswith(".ipynb")


def problem(text: str) -> str | None:
    """What makes a text no notebook, in a few words; None for a whole one."""
    try:
        notebook = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"not valid JSON: {error}"
    if not isinstance(notebook, dict):
        return "the file must be one JSON object"
    if not isinstance(notebook.get("metadata"), dict):
        return "the notebook's `metadata` must be an object"
    for key in ("nbformat", "nbformat_minor"):
        if not isinstance(notebook.get(key), int):
            return f"the notebook's `{key}` must be a number"
    if notebook["nbformat"] < 4:
        return None  # the old format has worksheets; it is JSON, more is not known here
    if not isinstance(notebook.get("cells"), list):
        return "the notebook's `cells` must be a list"
    with_ids = (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)
    for number, cell in enumerate(notebook["cells"]):
        if said := _cell_problem(cell, with_ids):
            return f"cell {number}: {said}"
    ids = [cell["id"] for cell in notebook["cells"] if with_ids]
    twice = next((one for one in ids if ids.count(one) > 1), None)
    return f"two cells have the `id` {twice!r}" if twice is not None else None


def _cell_problem(cell: Any, with_ids: bool) -> str | None:
    if not isinstance(cell, dict):
        return "must be an object"
    if cell.get("cell_type") not in ("code", "markdown", "raw"):
        return "its `cell_type` must be code, markdown or raw"
    if not isinstance(cell.get("metadata"), dict):
        return "its `metadata` must be an object"
    if not _is_text(cell.get("source")):
        return "its `source` must be a string or a list of strings"
    if with_ids and not (isinstance(cell.get("id"), str) and _ID.fullmatch(cell["id"])):
        return "its `id` must be 1 to 64 letters, digits, - or _"
    if cell["cell_type"] != "code":
        return "its `outputs` belong to code cells alone" if "outputs" in cell else None
    if not isinstance(cell.get("outputs"), list):
        return "a code cell's `outputs` must be a list (`[]`)"
    if not isinstance(cell.get("execution_count", ""), int | None):
        return "a code cell's `execution_count` must be a number or null"
    if any(not isinstance(one, dict) or one.get("output_type") not in _OUTPUT_TYPES for one in cell["outputs"]):
        return f"each of its outputs must be an object whose `output_type` is one of {', '.join(sorted(_OUTPUT_TYPES))}"
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(line, str) for line in value))


def cells(text: str) -> list[Cell]:
    """The cells of a whole notebook; none of an old one, or of what is none."""
    if problem(text) is not None or json.loads(text)["nbformat"] < 4:
        return []
    found = []
    for at, _ in _members(text, _top(text, "cells")):
        inside = dict(_fields(text, at))
        cell = json.JSONDecoder().raw_decode(text, at)[0]
        source = "".join(cell["source"])
        outputs = tuple(line for one in cell.get("outputs", ()) for line in _output(one))
        found.append(Cell(cell["cell_type"], source, outputs, *inside["source"], text.count("\n", 0, at) + 1))
    return found


def listing(text: str) -> str:
    """The cells as they are shown: sources whole, outputs shortened."""
    parts = []
    for number, cell in enumerate(cells(text)):
        parts.append(f"[cell {number}: {cell.kind}, from line {cell.line} of the file]\n{cell.source.rstrip()}")
        if cell.outputs:
            more = f"\n... {len(cell.outputs) - _MOST_OUTPUT} more lines" if len(cell.outputs) > _MOST_OUTPUT else ""
            said = "\n".join(line[:_LONGEST] for line in cell.outputs[:_MOST_OUTPUT])
            parts.append(f"[output of cell {number}]\n{said}{more}")
    return "\n".join(parts)


def with_source(text: str, cell: Cell, source: str) -> Span:
    """The edit of a notebook's text that gives a cell another source."""
    old = text[cell.start : cell.end]
    ascii_only = text.isascii()
    if old.startswith('"'):
        return Span(cell.start, cell.end, json.dumps(source, ensure_ascii=ascii_only))
    lines = [json.dumps(line, ensure_ascii=ascii_only) for line in kept_ends(source)]
    begin = text.rfind("\n", 0, cell.start) + 1
    own = text[begin : cell.start]
    closing = f"\n{own[: len(own) - len(own.lstrip())]}"
    found = re.match(r"\[(\s*)\"", old)
    opening = found[1] if found else f"{closing}{_step(text)}"
    separator = "," + (opening if "\n" in opening else " ")
    end = closing if "\n" in opening else ""
    return Span(cell.start, cell.end, f"[{opening}{separator.join(lines)}{end}]" if lines else "[]")


def _step(text: str) -> str:
    """What the file indents by."""
    found = re.match(r"\s*\{\s*\n([ \t]+)", text)
    return found[1] if found else " "


def _output(output: Mapping[str, Any]) -> list[str]:
    if output["output_type"] == "error":
        return [f"{output.get('ename')}: {output.get('evalue')}"]
    data = output.get("data")
    if output["output_type"] == "stream":
        text = output.get("text")
    else:
        text = data.get("text/plain") if isinstance(data, dict) else None
    if isinstance(text, str | list) and _is_text(text):
        return lines_of("".join(text))
    return [f"[{', '.join(data)}]"] if isinstance(data, dict) else []


def _fields(text: str, at: int) -> list[tuple[str, tuple[int, int]]]:
    """The keys of the JSON object that begins at an offset, and where their values are."""
    found = []
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = json.JSONDecoder().raw_decode(text, at)
        at = _skip(text, _skip(text, at) + 1)
        end = json.JSONDecoder().raw_decode(text, at)[1]
        found.append((key, (at, end)))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def _members(text: str, at: int) -> list[tuple[int, int]]:
    """Where the members of the JSON array that begins at an offset are."""
    found = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        end = json.JSONDecoder().raw_decode(text, at)[1]
        found.append((at, end))
        at = _skip(text, end)
        at = _skip(text, at + 1) if text[at] == "," else at
    return found


def _top(text: str, key: str) -> int:
    return dict(_fields(text, _skip(text, 0)))[key][0]


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at
