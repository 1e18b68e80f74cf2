"""`/v1/messages` and `/v1/messages/count_tokens`: Anthropic's API. Translates requests, and answers to blocks."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inhouse.client.anthropic_types import Block, CountTokensRequest, MessageParam, MessagesRequest
from inhouse.engine.constraints import Constraint
from inhouse.server import anthropic_tools, openai
from inhouse.server.answers import Chat
from inhouse.server.blocks import BlockEncoder
from inhouse.server.choices import choice
from inhouse.server.contents import left_out, part_text, text_of
from inhouse.server.conversation import Message, normalised
from inhouse.server.errors import bad_request
from inhouse.server.sampling import sampling_params
from inhouse.server.service import Service, Services, priority
from inhouse.server.structured_outputs import spelled
from inhouse.server.wire import JsonResponse


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["Anthropic"])

    @router.post("/v1/messages", response_model=None)
    async def messages(body: MessagesRequest, request: Request) -> Response:
        """The answer to a conversation."""
        service = services.named(body.model)
        service.warn_unknown(request.url.path, body)
        work = _work(service, body, request)
        return await service.respond(request, [work], BlockEncoder(service, body.model), stream=bool(body.stream))

    @router.post("/v1/messages/count_tokens", response_model=None)
    async def count_tokens(body: CountTokensRequest, request: Request) -> Response:
        """How many tokens a conversation is."""
        service = services.named(body.model)
        service.warn_unknown(request.url.path, body)
        conversation, prefill = _conversation(service, body)
        flags = service.flags(_thinks(service, body, prefill), None)
        count = await asyncio.to_thread(service.model.count, conversation, _tools(service, body), prefill, flags)
        return JsonResponse({"input_tokens": count})

    return router


def _work(service: Service, body: MessagesRequest, request: Request) -> Chat:
    """The conversation to answer. Raises ApiError, ParameterError."""
    messages, prefill = _conversation(service, body)
    tools = _tools(service, body)
    given_choice = body.tool_choice
    chosen = choice(given_choice.wire() if given_choice is not None else None)
    parallel = None if given_choice is None or given_choice.disable_parallel_tool_use is None else False
    flags = service.flags(_thinks(service, body, prefill), None)
    given = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "stop": openai.stops(body.stop_sequences),
        "max_tokens": body.max_tokens,
        "reasoning_budget": body.thinking.budget_tokens if body.thinking is not None else None,
    }
    return Chat(
        messages,
        sampling_params(given, service.card(flags, tools=tools is not None)),
        tools,
        prefill,
        flags,
        priority(request),
        openai.constraint(
            tools, chosen, parallel, _shape(body), [tool.name for tool in body.tools or () if tool.strict]
        ),
    )


def _conversation(service: Service, body: CountTokensRequest) -> tuple[list[Message], str]:
    """The messages in OpenAI's shape, and the beginning of the answer where the last message is one."""
    out: list[Message] = []
    if body.system:
        texts = [body.system] if isinstance(body.system, str) else [block.text for block in body.system]
        out.append({"role": "system", "content": "\n\n".join(texts)})
    answered = max((index for index, one in enumerate(body.messages) if one.role == "assistant"), default=-1)
    for index, message in enumerate(body.messages):
        out += _messages(message, f"messages[{index}]", asked=index > answered)
    prefill = ""
    if out[-1]["role"] == "assistant" and not out[-1].get("tool_calls"):
        prefill = out.pop()["content"]
    return normalised(out, stable_prefix=service.settings.stable_prefix), prefill


def _messages(message: MessageParam, where: str, *, asked: bool) -> list[Message]:
    """One message of blocks as several: results of tools have messages of their own. Raises ApiError."""
    if isinstance(message.content, str):
        return [{"role": message.role, "content": message.content}]
    texts: list[str] = []
    results: list[Message] = []
    calls: list[dict[str, Any]] = []
    reasoning: list[str] = []
    for index, block in enumerate(message.content):
        at = f"{where}.content[{index}]"
        match block.type:
            case "text":
                texts.append(block.text or "")
            case "thinking":
                reasoning.append(block.thinking or "")
            case "redacted_thinking":
                continue
            case "tool_use":
                if not block.name:
                    raise bad_request(f"{at}: a tool_use has no name", at)
                calls.append(openai.tool_call(block.id or "", block.name, block.input or {}))
            case "tool_result":
                results.append(_result(block, at))
            case _:
                text = part_text(block.wire())
                if text is None and asked:
                    raise bad_request(f"{at}: this model reads text only, not {block.type!r}", at)
                texts.append(left_out(block.type) if text is None else text)
    out = list(results)
    if texts or calls or reasoning or not results:
        own: Message = {"role": message.role, "content": "".join(texts)}
        if reasoning:
            own["reasoning_content"] = "".join(reasoning)
        if calls:
            own["tool_calls"] = calls
        out.append(own)
    return out


def _result(block: Block, where: str) -> Message:
    content = text_of(block.content, where, asked=False)
    told = f"Error: {content}" if block.is_error else content
    return {"role": "tool", "tool_call_id": block.tool_use_id or "", "content": told}


def _tools(service: Service, body: CountTokensRequest) -> list[dict[str, Any]] | None:
    """The tools that the client runs; others would run on Anthropic's servers."""
    out = []
    for tool in body.tools or ():
        if tool.input_schema is not None:
            out.append(openai.function_tool(tool.name, tool.description, tool.input_schema))
        elif (own := anthropic_tools.known(tool)) is not None:
            out.append(openai.function_tool(tool.name, *own))
        else:
            what = f"tools of type {(tool.type or '')[:100]!r} run on Anthropic's servers, not here: not offered"
            service.warn_once("/v1/messages", what)
    return out or None


def _thinks(service: Service, body: CountTokensRequest, prefill: str) -> bool:
    """Thinking is shown in blocks of its own, which a client that did not ask for them may not know."""
    if prefill:
        return False
    if body.thinking is None:
        return service.settings.mode == "thinking"
    return body.thinking.type != "disabled"


def _shape(body: MessagesRequest) -> Constraint:
    """What `output_config.format`, or `output_format`, demands of the text. Raises ApiError."""
    format, field = (body.output_config or {}).get("format"), "output_config.format"
    if format is None:
        format, field = body.output_format, "output_format"
    if format is None:
        return Constraint()
    kind = format.get("type") if isinstance(format, dict) else None
    if kind in ("regex", "grammar"):
        return spelled(kind, format.get(kind), field)
    schema = format.get("schema") if kind == "json_schema" else None
    if not isinstance(schema, dict):
        raise bad_request(f"{field}: give a json_schema with its schema", field)
    return Constraint(json_schema=schema)
