"""`/v1/chat/completions`: OpenAI's chat. Translates a request for the engine, and its answers back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inhouse.client.openai_types import ChatCompletionRequest, ToolDefinition
from inhouse.engine import CallDelta, Chunk, Completion, ToolCall, Usage
from inhouse.engine.events import Waiting
from inhouse.server import openai
from inhouse.server.answers import Chat
from inhouse.server.choices import choice
from inhouse.server.conversation import normalised
from inhouse.server.errors import ApiError, bad_request
from inhouse.server.sampling import sampling_params
from inhouse.server.service import Service, Services, priority
from inhouse.server.stopwatch import Stopwatch
from inhouse.server.structured_outputs import constraint_of
from inhouse.server.wire import sse


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["OpenAI"])

    @router.post("/v1/chat/completions", response_model=None)
    async def chat_completions(body: ChatCompletionRequest, request: Request) -> Response:
        """The answer to a conversation."""
        service = services.named(body.model)
        service.warn_unknown(request.url.path, body)
        work, watch = _work(service, body, request), Stopwatch()
        encoder = ChatEncoder(service, body, watch)
        return await service.respond(request, work, encoder, stream=bool(body.stream), watch=watch.note)

    return router


def _work(service: Service, body: ChatCompletionRequest, request: Request) -> list[Chat]:
    """One conversation to answer for each of the `n` answers. Raises ApiError, ParameterError."""
    for field in ("functions", "function_call"):
        if getattr(body, field):
            raise bad_request(f"{field}: tools and tool_choice have taken its place; send those", field)
    messages = openai.messages(body.messages)
    prefill, last = "", body.messages[-1]
    if last.role == "assistant" and (last.prefix or body.continue_final_message):
        prefill = messages.pop()["content"]
    chosen = choice(body.tool_choice)
    tools = chosen.offered(function_tools(service, body.tools))
    thinking = openai.thinks(body.reasoning_effort)
    flags = service.flags(False if prefill else thinking, body.chat_template_kwargs)
    given = body.model_dump(include=set(openai.SAMPLING)) | {
        "stop": openai.stops(body.stop),
        "max_tokens": body.max_completion_tokens or body.max_tokens,
        "logprobs": (body.top_logprobs or 0) if body.logprobs else None,
    }
    chat = Chat(
        normalised(messages, stable_prefix=service.settings.stable_prefix),
        sampling_params(given, service.card(flags, tools=tools is not None)),
        tools,
        prefill,
        flags,
        priority(request),
        openai.constraint(tools, chosen, body.parallel_tool_calls, constraint_of(body), _strict(body)),
    )
    seed = chat.params.seed
    return [
        chat if seed is None else replace(chat, params=replace(chat.params, seed=(seed + index) % (1 << 64)))
        for index in range(body.n or 1)
    ]


def _strict(body: ChatCompletionRequest) -> list[str]:
    return [tool.function.name for tool in body.tools or () if tool.function is not None and tool.function.strict]


def function_tools(service: Service, tools: Sequence[ToolDefinition] | None) -> list[dict[str, Any]] | None:
    """The tools that are functions; others are only OpenAI's."""
    out = []
    for tool in tools or ():
        if tool.type == "function" and tool.function is not None:
            out.append(openai.function_tool(tool.function.name, tool.function.description, tool.function.parameters))
        else:
            service.warn_once("/v1/chat/completions", f"tools of type {tool.type[:100]!r} are not known and ignored")
    return out or None


class ChatEncoder:
    """Answers as chat completions."""

    def __init__(self, service: Service, body: ChatCompletionRequest, watch: Stopwatch) -> None:
        self._watch = watch
        self._tokenizer = service.model.tokenizer
        self._head = {
            "id": openai.new_id("chatcmpl-"),
            "created": int(time.time()),
            "model": service.model.name,
            "system_fingerprint": openai.FINGERPRINT,
        }
        self._answers = body.n or 1
        self._logprobs = bool(body.logprobs)
        self._usage = bool(body.stream_options and body.stream_options.include_usage)
        self._spent: dict[int, Usage] = {}
        self._reasoning = openai.ReasoningCount()
        self._calls: list[list[str]] = [[] for _ in range(self._answers)]  # ids, as they have begun

    def whole(self, completions: Sequence[Completion]) -> dict[str, Any]:
        choices = [self._choice(index, completion) for index, completion in enumerate(completions)]
        spent = [one.usage for one in completions]
        usage = openai.usage(spent, openai.reasoning_tokens(completions, self._tokenizer))
        timings = self._watch.timings(openai.total(spent))
        return {**self._head, "object": "chat.completion", "choices": choices, "usage": usage, "timings": timings}

    def _choice(self, index: int, completion: Completion) -> dict[str, Any]:
        calls = [openai.call_entry(call) for call in completion.tool_calls]
        message: dict[str, Any] = {"role": "assistant", "content": completion.text or (None if calls else "")}
        if completion.reasoning:
            message["reasoning_content"] = completion.reasoning
        if calls:
            message["tool_calls"] = calls
        logprobs = {"content": openai.logprobs(completion.logprobs, self._tokenizer)} if self._logprobs else None
        return {"index": index, "message": message, "logprobs": logprobs, **openai.ending(completion.finish_reason)}

    def begin(self) -> Iterator[bytes]:
        for index in range(self._answers):
            yield self._event(index, {"role": "assistant", "content": ""})

    def chunk(self, index: int, chunk: Chunk) -> Iterator[bytes]:
        self._reasoning.note(chunk)
        delta: dict[str, Any] = {}
        if chunk.reasoning:
            delta["reasoning_content"] = chunk.reasoning
        if chunk.text:
            delta["content"] = chunk.text
        if calls := [entry for piece in chunk.deltas if (entry := self._call(index, piece))]:
            delta["tool_calls"] = calls
        scored = self._logprobs and chunk.logprobs
        if delta or scored:
            yield self._event(index, delta, chunk)
        if chunk.finish_reason is not None:
            spent = chunk.usage or Usage()
            self._spent[index] = spent
            yield self._event(index, {}, finish=chunk.finish_reason, inhouse=openai.inhouse(spent))

    def _call(self, index: int, piece: CallDelta) -> dict[str, Any] | None:
        """A piece of a call as a stream shows it: the first names it, the others go on."""
        known = self._calls[index]
        if piece.id not in known:
            known.append(piece.id)
            return {"index": len(known) - 1, **openai.call_entry(ToolCall(piece.id, piece.name, piece.arguments))}
        if not piece.arguments:
            return None
        return {"index": known.index(piece.id), "function": {"arguments": piece.arguments}}

    def alive(self, waiting: Waiting | None) -> bytes:
        return openai.alive(waiting)

    def end(self) -> Iterator[bytes]:
        if self._usage:
            spent = [self._spent[index] for index in sorted(self._spent)]
            told = {
                "usage": openai.usage(spent, self._reasoning.tokens),
                "timings": self._watch.timings(openai.total(spent)),
            }
            yield sse({**self._head, "object": "chat.completion.chunk", "choices": [], **told})
        yield openai.DONE

    def failed(self, error: ApiError) -> Iterator[bytes]:
        yield openai.error_event(error)

    def _event(
        self, index: int, delta: dict[str, Any], chunk: Chunk | None = None, finish: str | None = None, **more: Any
    ) -> bytes:
        logprobs = None
        if self._logprobs and chunk is not None and chunk.logprobs:
            logprobs = {"content": openai.logprobs(chunk.logprobs, self._tokenizer)}
        choice = {"index": index, "delta": delta, "logprobs": logprobs, **openai.ending(finish)}
        usage = {"usage": None} if self._usage else {}
        return sse({**self._head, "object": "chat.completion.chunk", "choices": [choice], **usage, **more})
