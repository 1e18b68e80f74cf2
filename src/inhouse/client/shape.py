"""Messages and tools in OpenAI's shape, which chat templates, servers and logs expect, and back. Knows no transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inhouse.client.types import Message, Tool, ToolCall


def message_json(message: Message) -> dict[str, Any]:
    """A message as JSON's types; what is empty is left out."""
    out: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        out["reasoning_content"] = message.reasoning
    if message.tool_calls:
        out["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        out["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        out["name"] = message.name
    return out


def message_from(record: Mapping[str, Any]) -> Message:
    """The inverse of `message_json`."""
    calls = tuple(
        ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in record.get("tool_calls", ())
    )
    return Message(
        record["role"],
        record["content"],
        record.get("reasoning_content", ""),
        calls,
        record.get("tool_call_id"),
        record.get("name"),
    )


def tool_json(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)}
    return {"type": "function", "function": function}
