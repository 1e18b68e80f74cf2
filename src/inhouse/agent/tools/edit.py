"""`str_replace`, `insert` and `create`: changing files of the workspace, with a check of what came out."""

from __future__ import annotations

import difflib
from functools import partial

from inhouse.agent.desk import Desk
from inhouse.agent.tools.base import Action, AgentTool, Arguments, Control, ToolResult, define
from inhouse.errors import WorkspaceError
from inhouse.workspace.edits import EditError
from inhouse.workspace.paths import Target, writable
from inhouse.workspace.replace import replaced

_SHOWN = 4  # lines around a change
_PATH = {"type": "string", "description": "a file of the workspace"}


def edit_tools(desk: Desk) -> list[AgentTool]:
    return [
        define(
            "str_replace",
            "Replace a piece of a file. old_str must be in the file exactly once: copy whole lines from view, with "
            "enough of them to be unique.",
            {
                "path": _PATH,
                "old_str": {"type": "string", "description": "the lines as they are, without line numbers"},
                "new_str": {"type": "string", "description": "the lines as they shall be; empty to delete"},
                "replace_all": {"type": "boolean", "description": "replace old_str everywhere in the file"},
            },
            ("path", "old_str", "new_str"),
            partial(_str_replace, desk),
            {"path": "src/app.py", "old_str": "    return a - b\n", "new_str": "    return a + b\n"},
        ),
        define(
            "insert",
            "Put lines into a file after a line.",
            {
                "path": _PATH,
                "line": {"type": "integer", "description": "the line to insert after; 0 is the top"},
                "text": {"type": "string", "description": "the new lines"},
            },
            ("path", "line", "text"),
            partial(_insert, desk),
            {"path": "src/app.py", "line": 3, "text": "import math\n"},
        ),
        define(
            "create",
            "Write a new file.",
            {
                "path": _PATH,
                "content": {"type": "string"},
                "overwrite": {"type": "boolean", "description": "replace a file that is there"},
            },
            ("path", "content"),
            partial(_create, desk),
            {"path": "tests/test_app.py", "content": "def test_it():\n    assert True\n"},
        ),
    ]


def _str_replace(desk: Desk, arguments: Arguments) -> Action:
    target = _existing(desk, arguments["path"])
    old = desk.read(target)
    new = replaced(old, arguments["old_str"], arguments["new_str"], every=arguments.get("replace_all", False))
    return _edit(desk, target, old, new)


def _insert(desk: Desk, arguments: Arguments) -> Action:
    target = _existing(desk, arguments["path"])
    old = desk.read(target)
    lines = old.splitlines(keepends=True)
    at, text = arguments["line"], arguments["text"]
    if not 0 <= at <= len(lines):
        raise EditError(f"{target.path} has {len(lines)} lines; insert after line 0 to {len(lines)}")
    if at and not lines[at - 1].endswith("\n"):
        lines[at - 1] += "\n"
    if text and not text.endswith("\n"):
        text += "\n"
    return _edit(desk, target, old, "".join([*lines[:at], text, *lines[at:]]))


def _create(desk: Desk, arguments: Arguments) -> Action:
    target = writable(desk.root, arguments["path"])
    old = desk.read(target) if target.real.exists() else None
    if old is not None and not arguments.get("overwrite", False):
        raise EditError(f"{target.path} is there already; change it with str_replace, or set overwrite")
    return _edit(desk, target, old, arguments["content"])


def _existing(desk: Desk, path: str) -> Target:
    target = writable(desk.root, path)
    if not target.real.exists():
        raise WorkspaceError(f"{target.path}: no such file; make it with create, or find the right path with search")
    return target


def _edit(desk: Desk, target: Target, old: str | None, new: str) -> Action:
    if new == old:
        raise EditError(f"{target.path} would stay as it is; nothing was changed")

    def run(control: Control) -> ToolResult:
        now = desk.read(target) if target.real.exists() else None
        if now != old or writable(desk.root, target.path) != target:
            raise WorkspaceError(f"{target.path} changed meanwhile; view it again")
        desk.write(target, old, new)
        said = [f"{'created' if old is None else 'edited'} {target.path}"]
        if old is not None:
            said.append(_around(old, new))
        if problems := desk.problems(target.path, old, new):
            said.append(problems)
        return ToolResult("\n".join(said))

    title = f"{'create' if old is None else 'edit'} {target.path}"
    return Action("edit", title, run, (str(target.real),), _diff(target.path, old, new), old, new)


def _diff(path: str, old: str | None, new: str) -> str:
    before = [] if old is None else old.splitlines(keepends=True)
    name = "/dev/null" if old is None else f"a/{path}"
    lines = difflib.unified_diff(before, new.splitlines(keepends=True), name, f"b/{path}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _around(old: str, new: str) -> str:
    """The changed lines as they are now, numbered, with some around."""
    before, after = old.split("\n"), new.split("\n")
    first = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(map(len, (before, after)))
    )
    same = next((i for i, (a, b) in enumerate(zip(before[::-1], after[::-1], strict=False)) if a != b), 0)
    last = max(first, len(after) - same)
    start, end = max(0, first - _SHOWN), min(len(after), last + _SHOWN, first + 60)
    return "\n".join(f"{number + 1:5}\t{after[number]}" for number in range(start, end))


def _common(one: list[str], other: list[str]) -> int:
    """How many lines two texts begin with in common."""
    shorter = min(len(one), len(other))
    return next((i for i in range(shorter) if one[i] != other[i]), shorter)
