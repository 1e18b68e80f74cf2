"""`view` and `search`: reading the workspace. Nothing here changes anything."""

from __future__ import annotations

from functools import partial
from itertools import islice
from pathlib import PurePosixPath

from inhouse.agent.desk import Desk
from inhouse.agent.tools.base import Action, AgentTool, Arguments, Control, ToolResult, define
from inhouse.errors import WorkspaceError
from inhouse.workspace.paths import Target, resolve
from inhouse.workspace.search import Hit, Query, files_of, search

_PAGE = 400  # lines of a file at once
_LONGEST_LINE = 500
_ENTRIES = 200  # of a folder
_MOST_HITS = 100


def view_tool(desk: Desk) -> AgentTool:
    parameters = {
        "path": {"type": "string", "description": "a file or folder of the workspace; '.' is its root"},
        "start": {"type": "integer", "description": "first line, from 1"},
        "end": {"type": "integer", "description": "last line, inclusive"},
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

    def run(control: Control) -> ToolResult:
        if target.real.is_dir():
            return ToolResult(_folder(desk, target))
        if not target.real.exists():
            raise WorkspaceError(f"{target.path}: no such file{_similar(desk, target)}")
        return ToolResult(_numbered(target, desk.read(target), start, end))

    return Action("read", f"view {target.path}", run, (str(target.real),))


def _numbered(target: Target, text: str, start: int | None, end: int | None) -> str:
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if not lines:
        return f"{target.path} is empty"
    first = max(1, start or 1)
    if first > len(lines):
        raise WorkspaceError(f"{target.path} has {len(lines)} lines; view it from an earlier one")
    last = min(len(lines), end if end is not None and end >= first else len(lines), first + _PAGE - 1)
    shown = [f"{number:5}\t{_cut(lines[number - 1])}" for number in range(first, last + 1)]
    note = f"\n[lines {first}-{last} of {len(lines)}; go on with start = {last + 1}]" if last < len(lines) else ""
    return "\n".join(shown) + note


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} ... [{len(line)} characters]"


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


def _similar(desk: Desk, target: Target) -> str:
    """Files of the same name elsewhere, as a hint."""
    name = PurePosixPath(target.path).name.lower()
    found = [path for path in files_of(desk.root) if PurePosixPath(path).name.lower() == name][:5]
    return f"; did you mean {', '.join(found)}?" if found else "; look with view '.' or search"


def _search(desk: Desk, arguments: Arguments) -> Action:
    folder = resolve(desk.root, arguments.get("path", "."))
    if not folder.real.exists():
        raise WorkspaceError(f"{folder.path}: no such file or folder{_similar(desk, folder)}")
    query = Query(
        arguments["pattern"],
        folder.path,
        arguments.get("glob", ""),
        arguments.get("ignore_case", False),
        arguments.get("literal", False),
    )

    def run(control: Control) -> ToolResult:
        hits = list(islice(search(desk.root, query), 20 * _MOST_HITS))
        if not hits:
            return ToolResult("no match; try fewer words, ignore_case, or another path")
        return ToolResult(_files(hits) if arguments.get("files_only") else _lines(hits))

    return Action("read", f"search {query.pattern}", run, (str(folder.real),))


def _files(hits: list[Hit]) -> str:
    counts: dict[str, int] = {}
    for hit in hits:
        counts[hit.path] = counts.get(hit.path, 0) + 1
    return "\n".join(f"{path}  ({count} lines)" for path, count in counts.items())


def _lines(hits: list[Hit]) -> str:
    shown = [f"{hit.path}:{hit.line}:{hit.text}" for hit in hits[:_MOST_HITS]]
    if len(hits) > _MOST_HITS:
        paths = len({hit.path for hit in hits})
        shown.append(f"[{len(hits) - _MOST_HITS} or more further lines in {paths} files; narrow it with path or glob]")
    return "\n".join(shown)
