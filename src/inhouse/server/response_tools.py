"""Tools of OpenAI's responses API that are no functions, offered to a model as functions, and their calls back.

A custom tool takes free text: a function of one string. A local shell is a function with the API's own schema. The
functions of a namespace are offered as they are. What would run at OpenAI is not here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from inhouse.client.responses_types import InputItem, ResponseTool
from inhouse.engine import ToolCall
from inhouse.server import openai

_SHELL = "local_shell"
_SHELL_SCHEMA = {
    "type": "object",
    "properties": {
        "command": {"type": "array", "items": {"type": "string"}, "description": "The program and its arguments."},
        "working_directory": {"type": "string"},
        "timeout_ms": {"type": "integer"},
    },
    "required": ["command"],
}
_INPUT = "input"


def offered(tools: Iterable[ResponseTool]) -> tuple[list[dict[str, Any]], list[str]]:
    """The tools as functions, and the kinds of those that cannot be."""
    found: list[dict[str, Any]] = []
    unknown = []
    for tool in tools:
        if tool.type == "function" and tool.name:
            found.append(openai.function_tool(tool.name, tool.description, tool.parameters))
        elif tool.type == "custom" and tool.name:
            found.append(openai.function_tool(tool.name, _described(tool), _text_schema()))
        elif tool.type == _SHELL:
            found.append(openai.function_tool(_SHELL, "Runs a command on the user's machine.", _SHELL_SCHEMA))
        elif tool.type == "namespace" and tool.tools:
            inner, others = offered(tool.tools)
            found += inner
            unknown += others
        else:
            unknown.append(tool.type)
    return found, unknown


def strict(tools: Iterable[ResponseTool]) -> list[str]:
    """The names of functions whose calls must fit their schema."""
    found = []
    for tool in tools:
        found += strict(tool.tools or ())
        if tool.type == "function" and tool.name and tool.strict:
            found.append(tool.name)
    return found


def kinds(tools: Iterable[ResponseTool], namespace: str = "") -> dict[str, tuple[str, str]]:
    """By a tool's name: its kind (function, custom, local_shell) and the namespace that it is of ("" of none)."""
    found: dict[str, tuple[str, str]] = {}
    for tool in tools:
        if tool.type == "namespace":
            found |= kinds(tool.tools or (), tool.name or "")
        elif tool.type == _SHELL:
            found[_SHELL] = (_SHELL, namespace)
        elif tool.name:
            found[tool.name] = (tool.type, namespace)
    return found


def item_of(call: ToolCall, kind: str, namespace: str) -> dict[str, Any]:
    """A call as an item of a response, without its status."""
    if kind == "custom":
        text = _free_text(call.arguments)
        return {"id": openai.new_id("ctc_"), "type": "custom_tool_call", "call_id": call.id, "name": call.name,
                "input": text}  # fmt: skip
    if kind == _SHELL:
        given = _object(call.arguments)
        words = given.get("command")
        action = {"type": "exec", "command": list(map(str, words)) if isinstance(words, list) else [], "env": {}}
        action |= {name: given[name] for name in ("working_directory", "timeout_ms") if name in given}
        return {"id": openai.new_id("lsh_"), "type": "local_shell_call", "call_id": call.id, "action": action}
    item = {"id": openai.new_id("fc_"), "type": "function_call", "call_id": call.id, "name": call.name}
    return {**item, **({"namespace": namespace} if namespace else {}), "arguments": call.arguments}


def call_of(item: InputItem) -> dict[str, Any] | None:
    """A call of an earlier turn as the engine takes it; None of an item that is none, or has no name."""
    id = item.call_id or item.id or ""
    if item.type == "local_shell_call":
        action = dict(item.action or {})
        return openai.tool_call(
            id, _SHELL, {name: value for name, value in action.items() if name not in ("type", "env")}
        )
    if not item.name:
        return None
    if item.type == "custom_tool_call":
        return openai.tool_call(id, item.name, {_INPUT: item.input or ""})
    return openai.tool_call(id, item.name, item.arguments or "{}") if item.type == "function_call" else None


def _described(tool: ResponseTool) -> str:
    """A custom tool's description, and the form that its input must have: the model alone can keep to that."""
    form = tool.format or {}
    grammar = form.get("definition") if form.get("type") == "grammar" else None
    said = [tool.description or "", f"The input must fit this grammar:\n{grammar}" if grammar else ""]
    return "\n".join(part for part in said if part)


def _text_schema() -> dict[str, Any]:
    return {"type": "object", "properties": {_INPUT: {"type": "string"}}, "required": [_INPUT]}


def _free_text(arguments: str) -> str:
    given = _object(arguments).get(_INPUT)
    return given if isinstance(given, str) else arguments


def _object(arguments: str) -> Mapping[str, Any]:
    try:
        value = json.loads(arguments)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
