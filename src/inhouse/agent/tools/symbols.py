"""`symbols`: where a name is defined and where it is used, by the code's own grammar. Changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from itertools import islice

from inhouse.agent.desk import Desk
from inhouse.agent.tools.base import Action, AgentTool, Arguments, CallError, Control, ToolResult, define, expected_form
from inhouse.errors import WorkspaceError
from inhouse.workspace.paths import resolve
from inhouse.workspace.repo_map import Place, RepoMap

_DEFINITIONS, _REFERENCES = 40, 80  # shown of a name
_COUNTED = 1_000  # references; of more it is only said that there are more


def symbols_tool(desk: Desk) -> AgentTool:
    parameters = {
        "name": {"type": "string", "description": "of a function, method, class, type or constant, alone: 'total'"},
        "path": {"type": "string", "description": "only in this file or folder"},
        "definitions_only": {"type": "boolean"},
    }
    description = "Where a name is defined and where it is used in the code; comments and strings are left out."
    return define("symbols", description, parameters, ("name",), partial(_prepare, desk), {"name": "total"})


def _prepare(desk: Desk, arguments: Arguments) -> Action:
    name = str(arguments["name"]).strip().strip("`").removesuffix("()")
    short = name.replace("::", ".").rpartition(".")[2]
    if not short.replace("$", "_").isidentifier():
        tool = symbols_tool(desk)
        raise CallError(f"{name!r} is no name of a definition (search finds text); {expected_form(tool)}")
    target = resolve(desk.root, arguments.get("path", "."))
    if not target.real.exists():
        raise WorkspaceError(f"{target.path}: no such file or folder; look with view '.' or leave out path")
    under = "" if target.path == "." else target.path

    def run(control: Control) -> ToolResult:
        try:
            with RepoMap(desk.root, desk.maps, still=True) as index:
                defined = index.definitions(short, under)
                used = [] if arguments.get("definitions_only") else index.references(short, under, _COUNTED + 1)
        except (OSError, sqlite3.Error, RuntimeError) as error:
            raise WorkspaceError(f"the code could not be indexed ({error}); use search instead") from None
        return ToolResult(_worded(short, under, defined, used))

    return Action("read", f"symbols {name}", run, (str(target.real),))


def _worded(name: str, under: str, defined: Sequence[Place], used: Sequence[Place]) -> str:
    where = f" in {under}" if under else ""
    if not defined and not used:
        return f"{name} is neither defined nor used{where} in code that is understood here; search finds any text"
    lines = _listed(f"defined{where}", defined, _DEFINITIONS) if defined else [f"not defined{where}"]
    return "\n".join(lines + (_listed(f"used{where}", used, _REFERENCES) if used else []))


def _listed(title: str, places: Sequence[Place], most: int) -> list[str]:
    count = str(len(places)) if len(places) <= _COUNTED else f"more than {_COUNTED}"
    lines = [f"{title} ({count}):"]
    lines += [f"{place.path}:{place.line}: {place.text.strip()}" for place in islice(places, most)]
    if len(places) > most:
        files = len({place.path for place in places[most:]})
        lines.append(f"[{len(places) - most} further places in {files} files; narrow it with path]")
    return lines
