"""Requests of OpenAI's responses API, as clients send them. Knows no server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from inhouse.client.wire import UNLIMITED, WHOLE, Name, Wire


class InputItem(Wire):
    """A message, a call of a tool, its output, or a reasoning item, told apart by `type` (absent: a message)."""

    type: str = "message"
    id: str | None = None
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: str | list[dict[str, Any]] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None  # of a custom tool's call
    action: dict[str, Any] | None = None  # of a local shell's call
    output: str | list[dict[str, Any]] | None = None
    summary: list[dict[str, Any]] | None = None


class ResponseTool(Wire):
    type: str
    name: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: dict[str, Any] | None = None  # of a custom tool's input
    tools: list[ResponseTool] | None = None  # of a namespace


class TextFormat(Wire):
    """OpenAI's text, json_object and json_schema; `regex` and `grammar` (Lark) are our own."""

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"]
    name: str | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None
    regex: str | None = None
    grammar: str | None = None


class TextOptions(Wire):
    format: TextFormat | None = None
    verbosity: str | None = None


class ReasoningOptions(Wire):
    effort: str | None = None
    summary: str | None = None


class ResponsesRequest(Wire):
    model: Name = ""
    input: str | list[InputItem]
    instructions: str | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    stream: bool | None = None
    max_output_tokens: Annotated[Annotated[int, Field(ge=1), WHOLE] | None, UNLIMITED] = None
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    tools: list[ResponseTool] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    reasoning: ReasoningOptions | None = None
    reasoning_budget: Annotated[int, Field(ge=1), WHOLE] | None = None  # our own, as for chat completions
    include: list[str] | None = None
    metadata: dict[str, Any] | None = None
    truncation: str | None = None
    user: str | None = None
    prompt_cache_key: str | None = None
