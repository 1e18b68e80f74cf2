"""`str_replace`, `insert` and `create`: changing files of the workspace, with a check of what came out."""

from __future__ import annotations

from functools import partial

from inhouse.agent.desk import Desk
from inhouse.agent.tools.base import Action, AgentTool, Arguments, Control, ToolResult, define
from inhouse.agent.tools.view import LONGEST_LINE, similar
from inhouse.errors import WorkspaceError
from inhouse.workspace import notebook
from inhouse.workspace.edits import EditError
from inhouse.workspace.indentation import with_tabs
from inhouse.workspace.lines import Span, applied, excerpt, lines_of
from inhouse.workspace.paths import Target, writable
from inhouse.workspace.replace import replacements
from inhouse.workspace.text import TextFile, new_file, unified_diff

_SHOWN = 4  # lines around a change
_TABS = "[the lines that came with blanks in front have tabs now, as the file's others]"
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
    one, other, every = arguments["old_str"], arguments["new_str"], arguments.get("replace_all", False)
    try:
        spans = replacements(old.text, one, other, every=every)
    except EditError:
        found = _in_cells(old.text, one, other, every=every) if notebook.is_notebook(target.path) else []
        if not found:
            raise
        return _edit(desk, target, old, old.spliced(found))
    return _spliced(desk, target, old, spans)


def _in_cells(text: str, old: str, new: str, *, every: bool) -> list[Span]:
    """The edits of a notebook's cells whose source has `old`; none if that is in no cell, or in more than one."""
    spans = []
    for cell in notebook.cells(text):
        try:
            found = replacements(cell.source, old, new, every=every)
        except EditError:
            continue
        spans.append(notebook.with_source(text, cell, applied(cell.source, found)))
    return spans if len(spans) == 1 or every else []


def _insert(desk: Desk, arguments: Arguments) -> Action:
    target = _existing(desk, arguments["path"])
    old = desk.read(target)
    at, text = arguments["line"], arguments["text"].replace("\r\n", "\n")
    count = len(lines_of(old.text))
    if not 0 <= at <= count:
        raise EditError(f"{target.path} has {count} lines; insert after line 0 to {count}")
    end = "\r" if "\r" in old.text and "\n" not in old.text else "\n"  # an old Macintosh's file is one line of many
    text = text.replace("\n", end)
    offset = sum(len(line) + 1 for line in old.text.split("\n")[:at]) if at < count else len(old.text)
    if at and at == count and not old.text.endswith(end):
        text = end + text
    elif text and not text.endswith(end):
        text += end
    return _spliced(desk, target, old, [Span(offset, offset, text)])


def _create(desk: Desk, arguments: Arguments) -> Action:
    target = writable(desk.root, arguments["path"])
    old = desk.read(target) if target.real.exists() else None
    if old is not None and not arguments.get("overwrite", False):
        raise EditError(f"{target.path} is there already; change it with str_replace, or set overwrite")
    given: str = arguments["content"]
    content = applied("", [with_tabs(target.path, "", Span(0, 0, given))])
    new = new_file(target.path, content) if old is None else old.edited(content.replace("\r\n", "\n"))
    return _edit(desk, target, old, new, _TABS if content != given else "")


def _existing(desk: Desk, path: str) -> Target:
    target = writable(desk.root, path)
    if not target.real.exists():
        raise WorkspaceError(
            f"{target.path}: no such file{similar(desk, target) or '; find the right path with search'}, or make it "
            "with create"
        )
    return target


def _spliced(desk: Desk, target: Target, old: TextFile, spans: list[Span]) -> Action:
    tabbed = [with_tabs(target.path, old.text, span) for span in spans]
    return _edit(desk, target, old, old.spliced(tabbed), _TABS if tabbed != spans else "")


def _edit(desk: Desk, target: Target, old: TextFile | None, new: TextFile, note: str = "") -> Action:
    before = old.text if old is not None else None
    if old is not None and new.data == old.data:
        raise EditError(f"{target.path} would stay as it is; nothing was changed")
    _check_notebook(target.path, before, new.text)

    def run(control: Control) -> ToolResult:
        now = desk.read(target) if target.real.exists() else None
        if now != old or writable(desk.root, target.path) != target:
            raise WorkspaceError(f"{target.path} changed meanwhile; view it again")
        desk.write(target, new)
        said = [f"{'created' if old is None else 'edited'} {target.path}"]
        if before is not None:
            said.append(_around(before, new.text))
        if note:
            said.append(note)
        if problems := desk.problems(target.path, before, new.text):
            said.append(problems)
        return ToolResult("\n".join(said))

    title = f"{'create' if old is None else 'edit'} {target.path}"
    return Action("edit", title, run, (str(target.real),), unified_diff(old, new), before, new.text)


def _check_notebook(path: str, old: str | None, new: str) -> None:
    """Refuse an edit that breaks a notebook: Jupyter would not open it again."""
    if not notebook.is_notebook(path) or (old is not None and notebook.problem(old)):
        return
    if said := notebook.problem(new):
        raise EditError(
            f"{path} would be no valid notebook any more ({said}); nothing was written. Its text is JSON: give old_str "
            "and new_str as the cell's plain source, or as the JSON that view shows with start"
        )


def _around(old: str, new: str) -> str:
    """The changed lines as they are now, numbered, with some around."""
    before, after = old.split("\n"), new.split("\n")
    first = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(map(len, (before, after)))
    )
    same = next((i for i, (a, b) in enumerate(zip(before[::-1], after[::-1], strict=False)) if a != b), 0)
    last = max(first, len(after) - same)
    start, end = max(0, first - _SHOWN), min(len(after), last + _SHOWN, first + 60)
    column = 0
    if first < min(len(before), len(after)):
        pairs = zip(before[first], after[first], strict=False)
        column = next((i for i, (a, b) in enumerate(pairs) if a != b), len(before[first]))
    return "\n".join(
        f"{number + 1:5}\t{excerpt(after[number], column - LONGEST_LINE // 2 if number == first else 0, LONGEST_LINE)}"
        for number in range(start, end)
    )
