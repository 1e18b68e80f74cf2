"""Requests of Anthropic's messages API, as clients send them. Knows no server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from inhouse.client.wire import WHOLE, Name, Wire


class Block(Wire):
    """A block of a message: text, thinking, tool_use, tool_result or something that a text model cannot read."""

    type: str
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[dict[str, Any]] | dict[str, Any] | None = None
    is_error: bool | None = None
    source: dict[str, Any] | str | None = None
    title: str | None = None
    tool_name: str | None = None
    cache_control: dict[str, Any] | None = None


class MessageParam(Wire):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class SystemBlock(Wire):
    type: Literal["text"] = "text"
    text: str
    cache_control: dict[str, Any] | None = None


class AnthropicTool(Wire):
    """A tool of the client's own (`input_schema`), or one that Anthropic's servers would run (a `type` of theirs)."""

    name: Annotated[str, Field(min_length=1, max_length=256)]
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class AnthropicToolChoice(Wire):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Wire):
    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1), WHOLE] | None = None
    display: str | None = None


class CountTokensRequest(Wire):
    """What a prompt consists of."""

    model: Name = ""
    messages: Annotated[list[MessageParam], Field(min_length=1)]
    system: str | list[SystemBlock] | None = None
    tools: list[AnthropicTool] | None = None
    tool_choice: AnthropicToolChoice | None = None
    thinking: Thinking | None = None


class MessagesRequest(CountTokensRequest):
    max_tokens: Annotated[int, Field(ge=1), WHOLE]
    stream: bool | None = None
    stop_sequences: Annotated[list[str], Field(max_length=256)] | None = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=1_000_000), WHOLE] | None = None
    metadata: dict[str, Any] | None = None
    service_tier: str | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None  # what `output_config.format` was called first
