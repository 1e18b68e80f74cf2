"""Requests of OpenAI's chat completions and completions API, as clients send them. Knows no server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from inhouse.client.wire import UNLIMITED, WHOLE, Name, Whole, Wire

Stop = str | Annotated[list[str], Field(max_length=256)] | None


class ContentPart(Wire):
    """A part of a message: text, or something that a text model cannot read."""

    type: str
    text: str | None = None


Content = str | list[ContentPart | str] | dict[str, Any] | None  # an object: some tools' results


class FunctionCall(Wire):
    name: str
    arguments: str | dict[str, Any] | None = "{}"  # JSON text; some clients send the object itself


class MessageToolCall(Wire):
    id: Name = ""
    type: str | None = "function"
    function: FunctionCall


class ChatMessage(Wire):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content = None
    name: str | None = None
    tool_calls: list[MessageToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    reasoning: Any = None  # text of a thinking model in some clients, an object in others
    prefix: bool = False  # of a last assistant message: the answer goes on from it


class FunctionDefinition(Wire):
    name: Annotated[str, Field(min_length=1, max_length=256)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolDefinition(Wire):
    type: str
    function: FunctionDefinition | None = None


ToolChoice = str | dict[str, Any] | None  # "none", "auto", "required", or an object that names tools


class JsonSchema(Wire):
    name: str = "answer"
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    strict: bool | None = None


class ResponseFormat(Wire):
    """OpenAI's text, json_object and json_schema; `regex` and `grammar` (Lark) are our own."""

    type: Literal["text", "json_object", "json_schema", "regex", "grammar"]
    json_schema: JsonSchema | None = None
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None  # some servers' place for it
    regex: str | None = None
    grammar: str | None = None


class StructuredOutputs(Wire):
    """What vLLM calls so: one of these binds the answer."""

    json_: Annotated[dict[str, Any] | str | None, Field(alias="json")] = None
    json_object: bool | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    structural_tag: Any = None


class StructuredOutputFields(Wire):
    """The ways to say what the text of an answer must look like: OpenAI's, llama.cpp's (`grammar` is GBNF), vLLM's."""

    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None


class StreamOptions(Wire):
    include_usage: bool | None = None


class SamplingFields(Wire):
    """How to draw tokens, where the client says so; what is None is the model's own."""

    temperature: Annotated[float, Field(ge=0, le=100)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=1_000_000), WHOLE] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    seed: Whole | None = None
    stop: Stop = None
    logit_bias: dict[str, float | bool] | list[list[Whole | float | bool]] | None = None  # llama.cpp's lists, too
    reasoning_budget: Annotated[int, Field(ge=1), WHOLE] | None = None  # tokens of thinking, then the answer begins
    ignore_eos: bool | None = None  # go on to the last token asked for: to measure with


class ChatCompletionRequest(SamplingFields, StructuredOutputFields):
    model: Name = ""
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[Annotated[int, Field(ge=1), WHOLE] | None, UNLIMITED] = None
    max_completion_tokens: Annotated[Annotated[int, Field(ge=1), WHOLE] | None, UNLIMITED] = None
    n: Annotated[int, Field(ge=1, le=16), WHOLE] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20), WHOLE] | None = None
    tools: list[ToolDefinition] | None = None
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None
    functions: list[Any] | None = None  # what tools were called first
    function_call: Any = None
    user: str | None = None
    metadata: dict[str, Any] | None = None
    store: bool | None = None


class CompletionRequest(SamplingFields, StructuredOutputFields):
    model: Name = ""
    prompt: str | list[str] | list[Whole] | list[list[Whole]]
    suffix: str | None = None
    max_tokens: Annotated[Annotated[int, Field(ge=0), WHOLE] | None, UNLIMITED] = None
    n: Annotated[int, Field(ge=1, le=16), WHOLE] | None = None
    best_of: Annotated[int, Field(ge=1, le=16), WHOLE] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=20), WHOLE] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: str | None = None
