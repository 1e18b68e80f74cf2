"""Requests of Ollama's API, as its clients send them. Knows no server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from inhouse.client.openai_types import Stop, ToolDefinition
from inhouse.client.wire import WHOLE, Name, Whole, Wire


class OllamaFunction(Wire):
    name: str
    arguments: dict[str, Any] | str | None = None


class OllamaToolCall(Wire):
    id: Name = ""
    function: OllamaFunction


class OllamaMessage(Wire):
    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = ""
    thinking: str | None = None
    images: list[str] | None = None
    tool_calls: list[OllamaToolCall] | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None


class OllamaOptions(Wire):
    """How to draw an answer. What a server has loaded (num_ctx and the like) is decided when it starts."""

    num_predict: Whole | None = None  # negative: no limit
    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=1_000_000), WHOLE] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repeat_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    seed: Whole | None = None
    stop: Stop = None
    num_ctx: Whole | None = None


class OllamaRequest(Wire):
    model: Name = ""
    stream: bool | None = None
    format: str | dict[str, Any] | None = None
    think: bool | str | None = None
    options: OllamaOptions | None = None
    keep_alive: str | float | None = None


class OllamaChatRequest(OllamaRequest):
    messages: list[OllamaMessage] | None = None
    tools: list[ToolDefinition] | None = None


class OllamaGenerateRequest(OllamaRequest):
    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    images: list[str] | None = None
    raw: bool | None = None
    template: str | None = None
    context: list[Whole] | None = None


class OllamaModelRequest(Wire):
    model: Name = ""
    name: Name = ""
    verbose: bool | None = None
