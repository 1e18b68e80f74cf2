"""A session's records told again as the steps that they were, for whoever shows what happened. Writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from inhouse.agent.session import Record
from inhouse.agent.steps import Called, Calling, Planned, Said, Step, Thought
from inhouse.agent.tools.base import Kind
from inhouse.agent.tools.plan import Item
from inhouse.client.shape import message_from
from inhouse.client.types import Message, ToolCall

Told: TypeAlias = str | Step  # what the user wrote, or a step of the agent

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def told(records: Iterable[Record], root: Path) -> Iterator[Told]:
    """What was said and done, in order; also what a compaction took out of the conversation. `root`: the workspace."""
    records = list(records)
    for number, record in enumerate(records):
        if record["kind"] == "plan":
            yield Planned(tuple(Item(item["text"], item["status"]) for item in record["items"]))
        elif record["kind"] == "message":
            if "prompt" in record:
                yield record["prompt"]
            message = message_from(record["message"])
            if message.role == "assistant":
                yield from _answered(message, _calls(records[number + 1 :]), root)
            elif message.role == "tool":
                yield _called(message, record.get("call", _NOTHING))


def _calls(records: Iterable[Record]) -> dict[str, Mapping[str, Any]]:
    """How the calls of an answer ended, by their ids: what the records after it say, up to the next answer.

    A call that was interrupted has none, and neither do those of sessions from before this was recorded.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for record in records:
        if record["kind"] == "message":
            if record["message"]["role"] == "assistant":
                break
            found[record["message"].get("tool_call_id", "")] = record.get("call", _NOTHING)
    return found


def _answered(message: Message, calls: Mapping[str, Mapping[str, Any]], root: Path) -> Iterator[Step]:
    if message.reasoning:
        yield Thought(message.reasoning)
    if message.content:
        yield Said(message.content.rstrip("\n") + "\n")
    for call in message.tool_calls:
        yield _calling(call, calls.get(call.id, _NOTHING).get("kind", "other"), root)


def _called(message: Message, call: Mapping[str, Any]) -> Called:
    kind, ok, code = call.get("kind", "other"), call.get("ok", True), call.get("exit_code")
    return Called(message.tool_call_id or "", message.name or "", ok, message.content, 0.0, kind, code)


def _calling(call: ToolCall, kind: Kind, root: Path) -> Calling:
    arguments = _arguments(call)
    about = next((str(arguments[name]) for name in ("path", "command", "pattern", "name") if arguments.get(name)), "")
    path = arguments.get("path")
    old, new = arguments.get("old_str"), arguments.get("new_str", arguments.get("content"))
    edit = kind == "edit" and isinstance(new, str) and isinstance(path, str)
    return Calling(
        call.id,
        call.name,
        kind,
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
