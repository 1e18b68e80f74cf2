"""`todo` and `finish`: what the model says of its own work. They change nothing but the conversation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inhouse.agent.tools.base import Action, AgentTool, Arguments, CallError, Control, ToolResult, define

Status = Literal["pending", "in_progress", "done"]
_MARKS = {"pending": "[ ]", "in_progress": "[>]", "done": "[x]"}
_SYNONYMS = {"completed": "done", "complete": "done", "todo": "pending", "open": "pending", "active": "in_progress"}


@dataclass(frozen=True)
class Item:
    """One step of the plan."""

    text: str
    status: Status = "pending"


def todo_tool(keep: Callable[[Sequence[Item]], None]) -> AgentTool:
    """`keep` is handed the whole new plan."""
    item = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "status": {"type": "string", "enum": list(_MARKS)}},
        "required": ["text"],
    }
    parameters = {"items": {"type": "array", "items": item, "description": "the whole list, in order"}}
    description = "Write down the steps of a longer task and how far they are. The new list replaces the old one."
    example = {"items": [{"text": "reproduce the failure", "status": "in_progress"}, {"text": "repair it"}]}

    def prepare(arguments: Arguments) -> Action:
        items = [_item(entry) for entry in arguments["items"]]

        def run(control: Control) -> ToolResult:
            keep(items)
            return ToolResult(worded(items) or "the list is empty")

        return Action("state", f"plan: {len(items)} steps", run)

    return define("todo", description, parameters, ("items",), prepare, example)


def finish_tool() -> AgentTool:
    description = (
        "Say that the task is done (or cannot be done) and end your turn. Verify first: run the tests that matter "
        "after your last change."
    )
    parameters = {"summary": {"type": "string", "description": "what you did and how it was verified, for the user"}}

    def prepare(arguments: Arguments) -> Action:
        return Action("state", "finish", lambda control: ToolResult(arguments["summary"]))

    return define(
        "finish", description, parameters, ("summary",), prepare, {"summary": "Repaired total(); all tests pass."}
    )


def worded(items: Sequence[Item]) -> str:
    """The plan as lines with a mark for each step's status."""
    return "\n".join(f"{_MARKS[item.status]} {item.text}" for item in items)


def _item(entry: Any) -> Item:
    if isinstance(entry, str):
        return Item(entry)
    if not isinstance(entry, dict):
        raise CallError(f"{entry!r} is no step; each is like {{'text': 'run the tests', 'status': 'pending'}}")
    text = entry.get("text") or entry.get("content") or entry.get("title") or entry.get("task")
    status = str(entry.get("status", "pending")).lower()
    status = _SYNONYMS.get(status, status)
    if not isinstance(text, str) or status not in _MARKS:
        raise CallError(f"{entry!r} is no step; its text is a string and its status one of {', '.join(_MARKS)}")
    return Item(text, status)  # type: ignore[arg-type]
