"""One question through any of the four APIs, with their own SDKs, whole or as a stream."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import anthropic
import openai

Tool = dict[str, Any]  # name, description, parameters


@dataclass(frozen=True)
class Answer:
    """What is common to the answers of all APIs. `finish`: stop, length or tools."""

    text: str
    finish: str
    calls: tuple[tuple[str, Any], ...]
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    reasoning: str = ""
    answer: Any = field(default=None, compare=False)  # as the SDK gives it; of a stream what it put together


Done = tuple[str, dict[str, Any], str]  # a call of an earlier turn: name, arguments, result


@dataclass(frozen=True)
class Question:
    """`talk` is (role, text) pairs, or (role, calls) for what the assistant has called, with results.

    `tools`: offered; `choice`: auto, required, or a tool's name; `parallel`: whether several calls are allowed. At most
    one of `schema`, `regex` and `grammar`. `budget`: tokens of reasoning.
    """

    talk: Sequence[tuple[str, str | Sequence[Done]]]
    system: str | None = None
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: str = "auto"
    parallel: bool | None = None
    schema: dict[str, Any] | None = None
    regex: str | None = None
    grammar: str | None = None
    budget: int | None = None
    temperature: float = 0.0

    @property
    def spelled(self) -> dict[str, str] | None:
        """The shape that is no schema, in the server's own words."""
        given = {"regex": self.regex, "grammar": self.grammar}
        return next(({"type": kind, kind: text} for kind, text in given.items() if text), None)


Asker = Callable[[str, Question], Answer]
_FINISH = {"tool_calls": "tools", "tool_use": "tools", "end_turn": "stop", "max_tokens": "length"}


def _chat_turns(role: str, said: str | Sequence[Done]) -> list[dict[str, Any]]:
    if isinstance(said, str):
        return [{"role": role, "content": said}]
    calls = [
        {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for at, (name, arguments, _) in enumerate(said)
    ]
    results = [{"role": "tool", "tool_call_id": f"c{at}", "content": done[2]} for at, done in enumerate(said)]
    return [{"role": role, "content": None, "tool_calls": calls}, *results]


def chat(url: str, question: Question, *, stream: bool = False) -> Answer:
    system = [("system", question.system)] if question.system else []
    options: dict[str, Any] = {
        "model": "x",
        "messages": [turn for said in [*system, *question.talk] for turn in _chat_turns(*said)],
        "max_tokens": question.max_tokens,
        "temperature": question.temperature,
        "extra_body": {"reasoning_budget": question.budget},
    }
    if question.parallel is not None:
        options["parallel_tool_calls"] = question.parallel
    if question.stop:
        options["stop"] = list(question.stop)
    if question.tools:
        options["tools"] = [{"type": "function", "function": tool} for tool in question.tools]
        named = {"type": "function", "function": {"name": question.choice}}
        options["tool_choice"] = question.choice if question.choice in ("auto", "required", "none") else named
    if question.schema:
        told = {"name": "answer", "schema": question.schema, "strict": True}
        options["response_format"] = {"type": "json_schema", "json_schema": told}
    if question.spelled:
        options["response_format"] = question.spelled
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, timeout=300) as client:
        if stream:
            chunks = list(
                client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
            )
            deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
            text = "".join(delta.content or "" for delta in deltas)
            thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
            calls = _assembled(deltas)
            finish = [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1]
            usage: Any = chunks[-1].usage
            answer: Any = next(chunk for chunk in reversed(chunks) if chunk.choices)
        else:
            answer = client.chat.completions.create(**options)
            message = answer.choices[0].message
            text, finish, usage = message.content or "", answer.choices[0].finish_reason, answer.usage
            thought = getattr(message, "reasoning_content", "")
            calls = [call.function for call in message.tool_calls or ()]
    return Answer(
        text,
        _FINISH.get(str(finish), str(finish)),
        tuple((call.name, json.loads(call.arguments)) for call in calls),
        usage.prompt_tokens,
        usage.prompt_tokens_details.cached_tokens,
        usage.completion_tokens,
        thought,
        answer,
    )


def _assembled(deltas: Sequence[Any]) -> list[Any]:
    """The calls that a stream's pieces are of."""
    calls: dict[int, Any] = {}
    for piece in (piece for delta in deltas for piece in delta.tool_calls or ()):
        if piece.index not in calls:
            calls[piece.index] = piece.function
        else:
            calls[piece.index].arguments += piece.function.arguments
    return [calls[index] for index in sorted(calls)]


def _items(role: str, said: str | Sequence[Done]) -> list[dict[str, Any]]:
    if isinstance(said, str):
        return [{"role": role, "content": said}]
    calls = [
        {"type": "function_call", "call_id": f"c{at}", "name": name, "arguments": json.dumps(arguments)}
        for at, (name, arguments, _) in enumerate(said)
    ]
    results = [{"type": "function_call_output", "call_id": f"c{at}", "output": done[2]} for at, done in enumerate(said)]
    return [*calls, *results]


def responses(url: str, question: Question, *, stream: bool = False) -> Answer:
    options: dict[str, Any] = {
        "model": "x",
        "input": [item for said in question.talk for item in _items(*said)],
        "instructions": question.system,
        "max_output_tokens": question.max_tokens,
        "temperature": question.temperature,
        "extra_body": {"reasoning_budget": question.budget},
    }
    if question.parallel is not None:
        options["parallel_tool_calls"] = question.parallel
    if question.tools:
        options["tools"] = [{"type": "function", "strict": True, **tool} for tool in question.tools]
        named = {"type": "function", "name": question.choice}
        options["tool_choice"] = question.choice if question.choice in ("auto", "required", "none") else named
    if question.schema:
        options["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": question.schema}}
    if question.spelled:
        options["text"] = {"format": question.spelled}
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, timeout=300) as client:
        if stream:
            *_, last = client.responses.create(**options, stream=True)
            answer: Any = last.response
        else:
            answer = client.responses.create(**options)
    calls = tuple((item.name, json.loads(item.arguments)) for item in answer.output if item.type == "function_call")
    finish = "length" if answer.status == "incomplete" else "tools" if calls else "stop"
    usage = answer.usage
    return Answer(
        answer.output_text,
        finish,
        calls,
        usage.input_tokens,
        usage.input_tokens_details.cached_tokens,
        usage.output_tokens,
        "".join(part.text for item in answer.output if item.type == "reasoning" for part in item.content),
        answer,
    )


def _blocks(role: str, said: str | Sequence[Done]) -> list[dict[str, Any]]:
    if isinstance(said, str):
        return [{"role": role, "content": said}]
    calls = [
        {"type": "tool_use", "id": f"c{at}", "name": name, "input": arguments}
        for at, (name, arguments, _) in enumerate(said)
    ]
    results = [{"type": "tool_result", "tool_use_id": f"c{at}", "content": done[2]} for at, done in enumerate(said)]
    return [{"role": role, "content": calls}, {"role": "user", "content": results}]


def messages(url: str, question: Question, *, stream: bool = False) -> Answer:
    options: dict[str, Any] = {
        "model": "x",
        "messages": [turn for said in question.talk for turn in _blocks(*said)],
        "max_tokens": question.max_tokens,
        "extra_body": {"temperature": question.temperature},
    }
    if question.system:
        options["system"] = question.system
    if question.stop:
        options["stop_sequences"] = list(question.stop)
    if question.tools:
        options["tools"] = [
            {"name": tool["name"], "description": tool["description"], "input_schema": tool["parameters"]}
            for tool in question.tools
        ]
        kinds = {"auto": {"type": "auto"}, "required": {"type": "any"}, "none": {"type": "none"}}
        options["tool_choice"] = kinds.get(question.choice, {"type": "tool", "name": question.choice})
        if question.parallel is not None:
            options["tool_choice"]["disable_parallel_tool_use"] = not question.parallel
    if question.budget is not None:
        options["thinking"] = {"type": "enabled", "budget_tokens": question.budget}
    if question.schema:
        options["extra_body"]["output_config"] = {"format": {"type": "json_schema", "schema": question.schema}}
    if question.spelled:
        options["extra_body"]["output_config"] = {"format": question.spelled}
    with anthropic.Anthropic(base_url=url, api_key="x", max_retries=0, timeout=300) as client:
        if stream:
            with client.messages.stream(**options) as events:
                answer: Any = events.get_final_message()
        else:
            answer = client.messages.create(**options)
    usage = answer.usage
    finish = "stop" if answer.stop_reason == "stop_sequence" else _FINISH[answer.stop_reason]
    return Answer(
        "".join(block.text for block in answer.content if block.type == "text"),
        finish,
        tuple((block.name, block.input) for block in answer.content if block.type == "tool_use"),
        usage.input_tokens + usage.cache_read_input_tokens,
        usage.cache_read_input_tokens,
        usage.output_tokens,
        "".join(block.thinking for block in answer.content if block.type == "thinking"),
        answer,
    )


def streamed(ask: Callable[..., Answer]) -> Asker:
    return lambda url, question: ask(url, question, stream=True)


ASKERS: dict[str, Asker] = {
    "chat": chat,
    "chat-stream": streamed(chat),
    "responses": responses,
    "responses-stream": streamed(responses),
    "messages": messages,
    "messages-stream": streamed(messages),
}
