"""A session's records told again as the steps that they were, for whoever shows what happened. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from inhouse.agent.session import Record
from inhouse.agent.steps import Called, Calling, Planned, Said, Step, Thought
from inhouse.agent.tools.base import Kind
from inhouse.agent.tools.plan import Item
from inhouse.client.shape import message_from
from inhouse.client.types import Message, ToolCall

Told: TypeAlias = str | Step  # what the user wrote, or a step of the agent

_KINDS: Mapping[str, Kind] = {
    "view": "read", "search": "read", "symbols": "read", "str_replace": "edit", "insert": "edit", "create": "edit",
    "bash": "execute", "run_tests": "execute", "todo": "state", "finish": "state",
}  # fmt: skip


def told(records: Iterable[Record], root: Path) -> Iterator[Told]:
    """What was said and done, in order; also what a compaction took out of the conversation. `root`: the workspace."""
    for record in records:
        if record["kind"] == "plan":
            yield Planned(tuple(Item(item["text"], item["status"]) for item in record["items"]))
        elif record["kind"] == "message":
            if "prompt" in record:
                yield record["prompt"]
            yield from _steps(message_from(record["message"]), root)


def _steps(message: Message, root: Path) -> Iterator[Step]:
    if message.role == "assistant":
        if message.reasoning:
            yield Thought(message.reasoning)
        if message.content:
            yield Said(message.content.rstrip("\n") + "\n")
        for call in message.tool_calls:
            yield _calling(call, root)
    elif message.role == "tool":
        failed = message.content.startswith("error: ")
        yield Called(message.tool_call_id or "", message.name or "", not failed, message.content, 0.0)


def _calling(call: ToolCall, root: Path) -> Calling:
    arguments = _arguments(call)
    about = next((str(arguments[name]) for name in ("path", "command", "pattern", "name") if arguments.get(name)), "")
    path = arguments.get("path")
    old, new = arguments.get("old_str"), arguments.get("new_str", arguments.get("content"))
    edit = _KINDS.get(call.name) == "edit" and isinstance(new, str) and isinstance(path, str)
    return Calling(
        call.id,
        call.name,
        _KINDS.get(call.name, "other"),
        f"{call.name} {about or call.arguments}",
        (str(root / path),) if isinstance(path, str) else (),
        arguments,
        old_text=old if edit and isinstance(old, str) else None,
        new_text=new if edit else None,
    )


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        given = json.loads(call.arguments or "{}", strict=False)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}
