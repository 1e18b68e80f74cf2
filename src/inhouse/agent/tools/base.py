"""What a tool is: a description for the model, and a way from checked arguments to an action. Knows no tool by itself.

An action is prepared before it is allowed and run after: preparing finds out what is really meant (the file that a path
leads to, the new text, the difference), shows it to whoever has to agree, and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from inhouse.client.types import Tool
from inhouse.errors import InhouseError

Kind = Literal["read", "edit", "execute", "other", "state"]  # state: of the conversation alone

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict,
}  # fmt: skip
# Names that models trained with other tools use for ours.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "path": ("file_path", "file", "filename", "filepath", "target_file", "directory"),
    "command": ("cmd", "script", "code"),
    "old_str": ("old_string", "old_text", "old", "search"),
    "new_str": ("new_string", "new_text", "new", "replace", "replacement"),
    "content": ("file_text", "text", "contents", "file_content"),
    "text": ("new_str", "insert_text", "content"),
    "line": ("insert_line", "line_number"),
    "pattern": ("query", "regex", "search", "text"),
    "summary": ("message", "result", "answer"),
    "start": ("start_line", "offset"),
    "end": ("end_line",),
    "items": ("todos", "todo", "list"),
    "tests": ("test", "ids"),
}


class CallError(InhouseError):
    """A call that cannot be carried out as it is; the message tells the model the exact form."""


@dataclass(frozen=True)
class Control:
    """How a running action hears that it shall stop, and tells what it prints."""

    cancelled: Callable[[], bool] = lambda: False
    on_output: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class ToolResult:
    """What a tool says to the model. `verdict`: of tests, whether they passed; None where none ran.

    `exit_code` is a command's; None of anything else.
    """

    text: str
    ok: bool = True
    verdict: bool | None = None
    failing: tuple[str, ...] = ()
    cancelled: bool = False
    exit_code: int | None = None


@dataclass(frozen=True)
class Action:
    """One prepared call. `title` is a line for the user; `targets` are the real paths it is about."""

    kind: Kind
    title: str
    run: Callable[[Control], ToolResult]
    targets: tuple[str, ...] = ()
    diff: str = ""
    old_text: str | None = None  # of an edit: the whole file before and after
    new_text: str | None = None


Arguments: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class AgentTool:
    """`example` is a call as it should be; `prepare` raises InhouseError, worded for the model."""

    tool: Tool
    prepare: Callable[[Arguments], Action]
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.tool.name


def define(
    name: str,
    description: str,
    parameters: Mapping[str, Any],
    required: tuple[str, ...],
    prepare: Callable[[Arguments], Action],
    example: Mapping[str, Any],
) -> AgentTool:
    """A tool whose parameters are given as JSON schemas by name."""
    schema = {"type": "object", "properties": dict(parameters), "required": list(required)}
    return AgentTool(Tool(name, description, schema), prepare, example)


def read_arguments(tool: AgentTool, text: str) -> dict[str, Any]:
    """The arguments of a call, checked against the tool's schema. Raises CallError with the form that is expected.

    What can only mean one thing is put right: a number in quotes, a parameter under another tool's name for it.
    """
    try:
        given = json.loads(text or "{}", strict=False)
    except (ValueError, RecursionError) as error:
        raise CallError(f"the arguments are not valid JSON ({error}); {expected_form(tool)}") from None
    if not isinstance(given, dict):
        raise CallError(f"the arguments are no JSON object; {expected_form(tool)}")
    schema = tool.tool.parameters
    properties: Mapping[str, Any] = schema.get("properties") or {}
    _rename(given, properties)
    missing = [name for name in schema.get("required", ()) if given.get(name) is None]
    if missing:
        raise CallError(f"{', '.join(map(repr, missing))} missing; {expected_form(tool)}")
    closed = tool.example or schema.get("additionalProperties") is False
    unknown = [name for name in given if name not in properties]
    if unknown and closed:
        raise CallError(f"there is no parameter {', '.join(map(repr, unknown))}; {expected_form(tool)}")
    out = {}
    for name, value in given.items():
        if value is not None:
            out[name] = _typed(tool, name, value, properties.get(name) or {})
    return out


def expected_form(tool: AgentTool) -> str:
    """How a tool is to be called, with an example."""
    schema = tool.tool.parameters
    properties: Mapping[str, Any] = schema.get("properties") or {}
    required = schema.get("required", ())
    fields = [
        f"{name} ({what.get('type', 'any')}{', required' if name in required else ''})"
        for name, what in properties.items()
    ]
    form = f"{tool.name} takes: {', '.join(fields) or 'nothing'}."
    if tool.example:
        form += f" Call it exactly like this: {tool.name} {json.dumps(tool.example, ensure_ascii=False)}"
    return form


def _rename(given: dict[str, Any], properties: Mapping[str, Any]) -> None:
    for name in properties:
        if name not in given:
            other = next((a for a in _ALIASES.get(name, ()) if a in given and a not in properties), None)
            if other is not None:
                given[name] = given.pop(other)


def _typed(tool: AgentTool, name: str, value: Any, schema: Mapping[str, Any]) -> Any:
    wanted = schema.get("type")
    expected = _TYPES.get(wanted) if isinstance(wanted, str) else None
    if wanted in ("array", "object") and isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = [value] if wanted == "array" else value
    if wanted == "integer" and isinstance(value, str | float) and _is_whole(value):
        value = int(float(value))
    if wanted == "boolean" and isinstance(value, str) and value.strip().lower() in ("true", "false"):
        value = value.strip().lower() == "true"
    if wanted == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    wrong = expected is not None and (not isinstance(value, expected) or (wanted != "boolean" and value in (True, False)
                                      and isinstance(value, bool)))  # fmt: skip
    if wrong:
        raise CallError(f"{name!r} must be of type {wanted}, not {value!r}; {expected_form(tool)}")
    if (choices := schema.get("enum")) and value not in choices:
        raise CallError(f"{name!r} must be one of {', '.join(map(str, choices))}; {expected_form(tool)}")
    return value


def _is_whole(value: str | float) -> bool:
    try:
        return float(value).is_integer()
    except ValueError:
        return False
