"""Ollama's API under `/api`, for tools that speak only that. Translates requests, and answers to lines of JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inhouse.client.ollama_types import (
    OllamaChatRequest,
    OllamaGenerateRequest,
    OllamaMessage,
    OllamaModelRequest,
    OllamaOptions,
    OllamaRequest,
)
from inhouse.engine import Chunk, Completion, ToolCall, Usage
from inhouse.engine.constraints import Constraint
from inhouse.engine.events import Waiting
from inhouse.server import openai
from inhouse.server.answers import Chat, Continuation, Work
from inhouse.server.chat import function_tools
from inhouse.server.choices import choice
from inhouse.server.conversation import Message, normalised
from inhouse.server.errors import ApiError, bad_request
from inhouse.server.infill import gap
from inhouse.server.sampling import sampling_params
from inhouse.server.service import Service, Services, priority
from inhouse.server.stopwatch import Stopwatch
from inhouse.server.wire import JsonResponse, to_json

_VERSION = "0.12.6"  # of the API that this follows: clients compare it with what they need
_LINES = "application/x-ndjson"
_MANAGED = "models are managed on the machine itself: `inhouse pull NAME`, `inhouse remove NAME`, `inhouse serve NAME`"


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["Ollama"], prefix="/api")

    @router.get("/version", response_model=None)
    async def version() -> Response:
        """The version of Ollama whose API this is."""
        return JsonResponse({"version": _VERSION})

    @router.get("/tags", response_model=None)
    async def tags() -> Response:
        """The models that are served."""
        return JsonResponse({"models": [_entry(service) for service in services.all]})

    @router.get("/ps", response_model=None)
    async def loaded() -> Response:
        """The models that are loaded: those that are served."""
        more = {"expires_at": "9999-12-31T23:59:59Z", "size_vram": 0}
        entries = [{**_entry(service), **more, "context_length": service.model.context} for service in services.all]
        return JsonResponse({"models": entries})

    @router.post("/show", response_model=None)
    async def show(body: OllamaModelRequest) -> Response:
        """What the model is and can."""
        return JsonResponse(_shown(services.named(body.model or body.name)))

    @router.post("/chat", response_model=None)
    async def chat(body: OllamaChatRequest, request: Request) -> Response:
        """The answer to a conversation."""
        service = services.named(body.model)
        work = _chat(service, body, request) if body.messages else None
        return await respond(service, body, request, "message", work)

    @router.post("/generate", response_model=None)
    async def generate(body: OllamaGenerateRequest, request: Request) -> Response:
        """The answer to a text, or its continuation."""
        service = services.named(body.model)
        work = _generation(service, body, request) if body.prompt else None
        return await respond(service, body, request, "response", work)

    async def respond(
        service: Service, body: OllamaRequest, request: Request, field: str, work: Work | None
    ) -> Response:
        service.warn_unknown(request.url.path, body)
        watch = Stopwatch()
        encoder = LineEncoder(service, field, watch)
        if work is None:  # asks for the model to be loaded, which it is
            return JsonResponse(encoder.loaded())
        return await service.respond(
            request, [work], encoder, stream=body.stream is not False, watch=watch.note, media_type=_LINES
        )

    @router.api_route("/{rest:path}", methods=["POST", "DELETE"], response_model=None, include_in_schema=False)
    async def managed(rest: str) -> Response:
        """Pulling, copying and removing models."""
        known = rest in ("pull", "push", "create", "copy", "delete") or rest.startswith("blobs/")
        raise ApiError(501 if known else 404, _MANAGED if known else f"there is no /api/{rest[:100]} here")

    return router


def _entry(service: Service) -> dict[str, Any]:
    model, started = service.model, service.metrics.started
    modified = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started))
    name = model.name if ":" in model.name else f"{model.name}:latest"
    return {"name": name, "model": name, "modified_at": modified, "size": 0, "digest": "", "details": _details(service)}


def _details(service: Service) -> dict[str, Any]:
    family = service.model.architecture
    return {"parent_model": "", "format": "gguf", "family": family, "families": [family], "parameter_size": "",
            "quantization_level": ""}  # fmt: skip


def _shown(service: Service) -> dict[str, Any]:
    model = service.model
    able = {
        "completion": model.writes,
        "embedding": model.embeds,
        "tools": model.calls_tools,
        "thinking": model.thinks,
        "insert": model.fills_gaps,
    }
    return {
        "modelfile": "",
        "parameters": "",
        "template": model.tokenizer.chat_template or "",
        "details": _details(service),
        "model_info": {
            "general.architecture": model.architecture,
            f"{model.architecture}.context_length": model.context,
        },
        "capabilities": [name for name, can in able.items() if can],
    }


def _chat(service: Service, body: OllamaChatRequest, request: Request) -> Work:
    """Raises ApiError, ParameterError."""
    messages = _messages(body.messages or [])
    prefill = ""
    if messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls"):
        prefill = messages.pop()["content"]
    return _conversation(service, body, request, messages, prefill)


def _conversation(
    service: Service, body: OllamaRequest, request: Request, messages: list[Message], prefill: str = ""
) -> Work:
    tools = function_tools(service, body.tools) if isinstance(body, OllamaChatRequest) else None
    flags = service.flags(False if prefill else _thinks(body.think), None)
    card = service.card(flags, tools=tools is not None)
    return Chat(
        normalised(messages, stable_prefix=service.settings.stable_prefix),
        sampling_params(_given(body.options), card),
        tools,
        prefill,
        flags,
        priority(request),
        openai.constraint(tools, choice(None), None, _shape(body)),
    )


def _generation(service: Service, body: OllamaGenerateRequest, request: Request) -> Work:
    """Raises ApiError, ParameterError."""
    text = body.prompt or ""
    if body.images:
        raise bad_request("images: this model reads text only", "images")
    if body.raw or body.suffix:
        prompt = gap(text, body.suffix, service.model.tokenizer) if body.suffix else text
        return Continuation(prompt, sampling_params(_given(body.options), {}), priority(request), _shape(body))
    system: list[Message] = [{"role": "system", "content": body.system}] if body.system else []
    return _conversation(service, body, request, [*system, {"role": "user", "content": text}])


def _messages(given: Sequence[OllamaMessage]) -> list[Message]:
    """The messages as the engine takes them; calls, and the results after them, get ids where they have none."""
    out: list[Message] = []
    waiting: list[str] = []  # ids of calls without a result
    for index, one in enumerate(given):
        if one.images and one.role == "user" and index == len(given) - 1:
            raise bad_request(f"messages[{index}].images: this model reads text only", f"messages[{index}].images")
        message: Message = {"role": one.role, "content": one.content or ""}
        if one.thinking:
            message["reasoning_content"] = one.thinking
        if one.tool_calls:
            ids = [call.id or f"call_{index}_{number}" for number, call in enumerate(one.tool_calls)]
            waiting = list(ids)
            calls = zip(ids, (call.function for call in one.tool_calls), strict=True)
            message["tool_calls"] = [openai.tool_call(id, function.name, function.arguments) for id, function in calls]
        if one.role == "tool":
            id = one.tool_call_id or (waiting[0] if waiting else "")
            waiting = [other for other in waiting if other != id]
            message |= {"tool_call_id": id, **({"name": one.tool_name} if one.tool_name else {})}
        out.append(message)
    return out


def _thinks(think: bool | str | None) -> bool | None:
    return openai.thinks(think) if isinstance(think, str) else think


def _given(options: OllamaOptions | None) -> dict[str, Any]:
    if options is None:
        return {}
    given = options.model_dump(include=set(openai.SAMPLING))
    limit = options.num_predict
    return given | {
        "stop": openai.stops(options.stop),
        "max_tokens": limit if limit is not None and limit > 0 else None,
        "repetition_penalty": options.repeat_penalty,
        "seed": None if options.seed == -1 else options.seed,
    }


def _shape(body: OllamaRequest) -> Constraint:
    """What `format` demands of the text. Raises ApiError."""
    if not body.format:
        return Constraint()
    if isinstance(body.format, dict):
        return Constraint(json_schema=body.format)
    if body.format != "json":
        raise bad_request(f"format: {body.format[:40]!r} is neither 'json' nor a JSON schema", "format")
    return Constraint(json_schema={"type": "object"})


class LineEncoder:
    """An answer as Ollama's objects: one, or a line for each piece. `field` holds the text: a message or a response."""

    def __init__(self, service: Service, field: str, watch: Stopwatch) -> None:
        self._model = service.model.name
        self._field = field
        self._watch = watch

    def whole(self, completions: Sequence[Completion]) -> dict[str, Any]:
        (one,) = completions
        said = self._said(one.text, one.reasoning, one.tool_calls)
        return {**self._object(said), **self._ending(one.finish_reason, one.usage)}

    def loaded(self) -> dict[str, Any]:
        """The answer to who asks nothing."""
        return {**self._object(self._said("")), "done": True, "done_reason": "load"}

    def begin(self) -> Iterator[bytes]:
        return iter(())

    def chunk(self, index: int, chunk: Chunk) -> Iterator[bytes]:
        if chunk.text or chunk.reasoning or chunk.tool_calls:
            said = self._said(chunk.text, chunk.reasoning, chunk.tool_calls)
            yield self._line({**self._object(said), "done": False})
        if chunk.finish_reason is not None:
            yield self._line({**self._object(self._said("")), **self._ending(chunk.finish_reason, chunk.usage)})

    def alive(self, waiting: Waiting | None) -> bytes:
        return b""  # clients read every line as an object

    def end(self) -> Iterator[bytes]:
        return iter(())

    def failed(self, error: ApiError) -> Iterator[bytes]:
        yield self._line(error.body("ollama"))

    def _said(self, text: str, reasoning: str = "", calls: Sequence[ToolCall] = ()) -> dict[str, Any]:
        thinking = {"thinking": reasoning} if reasoning else {}
        if self._field == "response":
            return {"response": text, **thinking}
        message: dict[str, Any] = {"role": "assistant", "content": text, **thinking}
        if calls:
            message["tool_calls"] = [openai.object_call(call) for call in calls]
        return {"message": message}

    def _object(self, said: dict[str, Any]) -> dict[str, Any]:
        now = time.time()
        created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1_000_000):06}Z"
        return {"model": self._model, "created_at": created, **said}

    def _ending(self, reason: str, usage: Usage | None) -> dict[str, Any]:
        spent = usage or Usage()
        prompt, answer = (int(1e9 * each) for each in (self._watch.prompt_seconds, self._watch.answer_seconds))
        return {
            "done": True,
            "done_reason": "length" if reason in ("length", "repetition") else "stop",
            "total_duration": prompt + answer,
            "load_duration": 0,
            "prompt_eval_count": spent.prompt_tokens,
            "prompt_eval_duration": prompt,
            "eval_count": spent.completion_tokens,
            "eval_duration": answer,
        }

    @staticmethod
    def _line(value: dict[str, Any]) -> bytes:
        return to_json(value) + b"\n"
