"""Messages and tools in OpenAI's shape, which chat templates, servers and logs expect, and back. Knows no transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inhouse.client.types import Message, Tool, ToolCall


def unicode_text(text: str) -> str:
    """`text` with whatever UTF-8 cannot hold escaped: bytes of a name that is no UTF-8 (`\\xff`), half surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        named = "".join(f"\\x{ord(one) - 0xDC00:02x}" if "\udc80" <= one <= "\udcff" else one for one in text)
        return named.encode("utf-8", errors="backslashreplace").decode()
    return text


def message_json(message: Message) -> dict[str, Any]:
    """A message as JSON's types; what is empty is left out."""
    out: dict[str, Any] = {"role": message.role, "content": unicode_text(message.content)}
    if message.reasoning:
        out["reasoning_content"] = unicode_text(message.reasoning)
    if message.tool_calls:
        out["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": unicode_text(call.name), "arguments": unicode_text(call.arguments)},
            }
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
