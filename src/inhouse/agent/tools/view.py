"""`view` and `search`: reading the workspace. Nothing here changes anything."""

from __future__ import annotations

import unicodedata
from functools import partial
from itertools import islice
from pathlib import PurePosixPath

from inhouse.agent.desk import Desk
from inhouse.agent.tools.base import Action, AgentTool, Arguments, Control, ToolResult, define
from inhouse.errors import WorkspaceError
from inhouse.workspace import notebook
from inhouse.workspace.files import MOST_BYTES, count_lines, read_lines
from inhouse.workspace.lines import lines_of, shown
from inhouse.workspace.paths import Target, resolve
from inhouse.workspace.search import Hit, Query, files_of, search
from inhouse.workspace.text import TextFile

LONGEST_LINE = 500  # characters of a line at once

_PAGE = 400  # lines of a file at once
_ENTRIES = 200  # of a folder
_MOST_HITS = 100


def view_tool(desk: Desk) -> AgentTool:
    parameters = {
        "path": {"type": "string", "description": "a file or folder of the workspace; '.' is its root"},
        "start": {"type": "integer", "description": "first line, from 1"},
        "end": {"type": "integer", "description": "last line, inclusive"},
        "start_column": {"type": "integer", "description": "first character of long lines, from 1"},
    }
    description = f"Show a file with line numbers ({_PAGE} lines at once), or what is in a folder."
    return define("view", description, parameters, ("path",), partial(_view, desk), {"path": "src/app.py", "start": 1})


def search_tool(desk: Desk) -> AgentTool:
    parameters = {
        "pattern": {"type": "string", "description": "a regular expression, found in single lines"},
        "path": {"type": "string", "description": "a file or folder to search in, default all"},
        "glob": {"type": "string", "description": "which files, as '*.py' or 'src/**/*.ts'; '!' in front excludes"},
        "ignore_case": {"type": "boolean"},
        "literal": {"type": "boolean", "description": "the pattern is plain text"},
        "files_only": {"type": "boolean", "description": "list the files that match, not the lines"},
    }
    description = "Search the text of the workspace's files as ripgrep does; ignored and hidden files are left out."
    example = {"pattern": r"def total\w*\(", "glob": "*.py"}
    return define("search", description, parameters, ("pattern",), partial(_search, desk), example)


def _view(desk: Desk, arguments: Arguments) -> Action:
    target = resolve(desk.root, arguments["path"])
    start, end = arguments.get("start"), arguments.get("end")
    column = max(1, arguments.get("start_column") or 1)

    def run(control: Control) -> ToolResult:
        if target.real.is_dir():
            return ToolResult(_folder(desk, target))
        if not target.real.exists():
            hint = similar(desk, target) or "; look with view '.' or search"
            raise WorkspaceError(f"{target.path}: no such file{hint}")
        if target.real.stat().st_size > MOST_BYTES:
            return ToolResult(_page_of_large(target, start, end, column))
        file = desk.read(target)
        if notebook.is_notebook(target.path) and start is None and (cells := notebook.listing(file.text)):
            return ToolResult(f"{cells}\n[a notebook; with start = 1 its JSON is shown]")
        return ToolResult(_numbered(target, lines_of(file.text), start, end, column) + _encoding_note(file))

    return Action("read", f"view {target.path}", run, (str(target.real),))


def _numbered(target: Target, lines: list[str], start: int | None, end: int | None, column: int) -> str:
    if not lines:
        return f"{target.path} is empty"
    first, last = _range(target, len(lines), start, end)
    listed = [f"{number:5}\t{_cut(lines[number - 1], column)}" for number in range(first, last + 1)]
    return "\n".join(listed) + _more(first, last, len(lines))


def _page_of_large(target: Target, start: int | None, end: int | None, column: int) -> str:
    """The same of a file that is too large to be read at once."""
    count = count_lines(target.real)
    first, last = _range(target, count, start, end)
    lines = read_lines(target.real, first, last, column - 1 + LONGEST_LINE)
    listed = [f"{number:5}\t{_cut(line.text, column, line.length)}" for number, line in enumerate(lines, first)]
    return "\n".join(listed) + _more(first, last, count)


def _range(target: Target, count: int, start: int | None, end: int | None) -> tuple[int, int]:
    """The first and last line that are shown."""
    first = max(1, start or 1)
    if first > count:
        raise WorkspaceError(f"{target.path} has {count} lines; view it from an earlier one")
    return first, min(count, end if end is not None and end >= first else count, first + _PAGE - 1)


def _more(first: int, last: int, count: int) -> str:
    return f"\n[lines {first}-{last} of {count}; go on with start = {last + 1}]" if last < count else ""


def _cut(line: str, column: int, length: int | None = None) -> str:
    length = len(line) if length is None else length
    if length <= LONGEST_LINE:
        return shown(line)
    start = min(column - 1, length)
    end = min(length, start + LONGEST_LINE)
    more = f"; go on with start_column = {end + 1}" if end < length else ""
    return f"{'... ' if start else ''}{shown(line[start:end])} ... [characters {start + 1}-{end} of {length}{more}]"


def _encoding_note(file: TextFile) -> str:
    if not file.known:
        return "\n[neither UTF-8 nor of a declared encoding: shown as Latin-1, and may be edited with ASCII text alone]"
    return "" if file.encoding in ("utf-8", "ascii") else f"\n[encoding {file.encoding}, which edits keep]"


def _folder(desk: Desk, target: Target) -> str:
    """Two levels of a folder, folders with the number of files below them."""
    depth = 0 if target.path == "." else len(PurePosixPath(target.path).parts)
    entries: dict[str, int] = {}
    for path in files_of(desk.root, target.path):
        parts = PurePosixPath(path).parts
        for level in range(depth + 1, min(len(parts), depth + 2) + 1):
            name = "/".join(parts[:level]) + ("/" if level < len(parts) else "")
            entries[name] = entries.get(name, 0) + 1
    if not entries:
        return f"{target.path}: nothing in it but ignored or hidden files"
    lines = [f"{name}  ({count} files)" if name.endswith("/") else name for name, count in sorted(entries.items())]
    more = f"\n[{len(lines) - _ENTRIES} more; view a folder of it]" if len(lines) > _ENTRIES else ""
    return "\n".join(lines[:_ENTRIES]) + more


def similar(desk: Desk, target: Target) -> str:
    """Files of the same name elsewhere, or in other letters, as a hint; empty if there are none."""
    name = _plain(PurePosixPath(target.path).name)
    found = [path for path in files_of(desk.root) if _plain(PurePosixPath(path).name) == name][:5]
    return f"; did you mean {', '.join(found)}?" if found else ""


def _plain(name: str) -> str:
    """A name without the difference of upper and lower case, and of composed and decomposed characters."""
    return unicodedata.normalize("NFC", name).casefold()


def _search(desk: Desk, arguments: Arguments) -> Action:
    folder = resolve(desk.root, arguments.get("path", "."))
    if not folder.real.exists():
        hint = similar(desk, folder) or "; look with view '.'"
        raise WorkspaceError(f"{folder.path}: no such file or folder{hint}")
    query = Query(
        arguments["pattern"],
        folder.path,
        arguments.get("glob", ""),
        arguments.get("ignore_case", False),
        arguments.get("literal", False),
    )

    def run(control: Control) -> ToolResult:
        too_large: list[str] = []
        hits = list(islice(search(desk.root, query, too_large), 20 * _MOST_HITS))
        left = f"\n[not searched, too large: {', '.join(too_large[:5])}; use grep in bash]" if too_large else ""
        if not hits:
            return ToolResult(f"no match; try fewer words, ignore_case, or another path{left}")
        return ToolResult((_files(hits) if arguments.get("files_only") else _lines(hits)) + left)

    return Action("read", f"search {query.pattern}", run, (str(folder.real),))


def _files(hits: list[Hit]) -> str:
    counts: dict[str, int] = {}
    for hit in hits:
        counts[hit.path] = counts.get(hit.path, 0) + 1
    return "\n".join(f"{path}  ({count} lines)" for path, count in counts.items())


def _lines(hits: list[Hit]) -> str:
    listed = [f"{hit.path}:{hit.line}:{f'{hit.column}: ' if hit.column else ''}{hit.text}" for hit in hits[:_MOST_HITS]]
    if len(hits) > _MOST_HITS:
        paths = len({hit.path for hit in hits})
        listed.append(f"[{len(hits) - _MOST_HITS} or more further lines in {paths} files; narrow it with path or glob]")
    return "\n".join(listed)
