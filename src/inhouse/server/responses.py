"""`/v1/responses`: OpenAI's responses API. Translates items to a conversation; response_events.py is the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from inhouse.client.responses_types import InputItem, ResponsesRequest
from inhouse.engine.constraints import Constraint
from inhouse.server import openai, response_tools
from inhouse.server.answers import Chat
from inhouse.server.choices import choice
from inhouse.server.contents import text_of
from inhouse.server.conversation import Message, normalised
from inhouse.server.errors import ApiError, bad_request
from inhouse.server.response_events import ResponseEncoder
from inhouse.server.sampling import sampling_params
from inhouse.server.service import Service, Services, priority
from inhouse.server.stored import ResponseStore, Stored
from inhouse.server.structured_outputs import spelled
from inhouse.server.wire import JsonResponse

_PATH = "/v1/responses"


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["OpenAI"])
    store = ResponseStore(services.first.settings.limits)

    def find(id: str, request: Request) -> Stored:
        found = store.get(_owner(request), id)
        if found is None:
            raise ApiError(404, f"there is no response {id!r} here: responses last until the server ends", "not_found")
        return found

    @router.post(_PATH, response_model=None)
    async def responses(body: ResponsesRequest, request: Request) -> Response:
        """The answer to a conversation, or to one that goes on from an earlier response."""
        service = services.named(body.model)
        service.warn_unknown(_PATH, body)
        messages = _conversation(service, body, store, _owner(request))
        work = _work(service, body, messages, request)

        items = _items(body, store, _owner(request))

        def keep(response: dict[str, Any], answer: Message) -> None:
            if body.store is not False:
                store.put(_owner(request), response, [*messages, answer], items)

        return await service.respond(request, [work], ResponseEncoder(service, body, keep), stream=bool(body.stream))

    @router.post(_PATH + "/input_tokens", response_model=None)
    async def input_tokens(body: ResponsesRequest, request: Request) -> Response:
        """How many tokens a conversation is."""
        service = services.named(body.model)
        messages = _conversation(service, body, store, _owner(request))
        work = _work(service, body, messages, request)
        count = await asyncio.to_thread(service.model.count, work.messages, work.tools, "", work.flags)
        return JsonResponse({"object": "response.input_tokens", "input_tokens": count})

    @router.get(_PATH + "/{id}", response_model=None)
    async def response(id: str, request: Request) -> Response:
        """An earlier response."""
        return JsonResponse(find(id, request).response)

    @router.get(_PATH + "/{id}/input_items", response_model=None)
    async def input_items(
        id: str,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: str | None = None,
        order: Literal["asc", "desc"] = "desc",
    ) -> Response:
        """What an earlier response was an answer to, the last first."""
        items = find(id, request).items
        return JsonResponse(_page(items if order == "asc" else items[::-1], limit, after))

    @router.delete(_PATH + "/{id}", response_model=None)
    async def forget(id: str, request: Request) -> Response:
        """Forgets a response."""
        find(id, request)
        store.remove(_owner(request), id)
        return JsonResponse({"id": id, "object": "response", "deleted": True})

    return router


def _owner(request: Request) -> str:
    owner: str = request.scope.get("inhouse.key", "")
    return owner


def _work(service: Service, body: ResponsesRequest, messages: list[Message], request: Request) -> Chat:
    """The conversation to answer. Raises ApiError, ParameterError."""
    system: list[Message] = [{"role": "system", "content": body.instructions}] if body.instructions else []
    chosen = choice(body.tool_choice)
    tools = chosen.offered(_tools(service, body))
    thinking = openai.thinks(body.reasoning.effort if body.reasoning else None)
    flags = service.flags(thinking, None)
    given = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "max_tokens": body.max_output_tokens,
        "reasoning_budget": body.reasoning_budget,
    }
    return Chat(
        normalised([*system, *messages], stable_prefix=service.settings.stable_prefix),
        sampling_params(given, service.card(flags, tools=tools is not None)),
        tools,
        flags=flags,
        priority=priority(request),
        constraint=openai.constraint(
            tools, chosen, body.parallel_tool_calls, _shape(body), response_tools.strict(body.tools or ())
        ),
    )


def _conversation(service: Service, body: ResponsesRequest, store: ResponseStore, owner: str) -> list[Message]:
    """What was said before, and the new input. Raises ApiError."""
    messages: list[Message] = []
    if body.previous_response_id is not None:
        earlier = store.get(owner, body.previous_response_id)
        if earlier is None:
            raise ApiError(
                400,
                f"there is no response {body.previous_response_id!r} here: send the whole conversation as input",
                "previous_response_not_found",
                "previous_response_id",
            )
        messages += earlier.messages
    if isinstance(body.input, str):
        return [*messages, {"role": "user", "content": body.input}]
    answered = max((index for index, item in enumerate(body.input) if item.role == "assistant"), default=-1)
    for index, item in enumerate(body.input):
        _add(service, messages, item, f"input[{index}]", asked=index > answered)
    if not messages:
        raise bad_request("input: give at least one item", "input")
    return messages


def _items(body: ResponsesRequest, store: ResponseStore, owner: str) -> list[dict[str, Any]]:
    """All that a response is an answer to, each item with an id."""
    earlier = store.get(owner, body.previous_response_id) if body.previous_response_id is not None else None
    before = [*earlier.items, *earlier.response["output"]] if earlier is not None else []
    if isinstance(body.input, str):
        content = [{"type": "input_text", "text": body.input}]
        return [*before, {"id": openai.new_id("msg_"), "type": "message", "role": "user", "content": content}]
    given = ({"type": item.type, **item.wire()} for item in body.input)
    return [*before, *({**item, "id": item.get("id") or openai.new_id("item_")} for item in given)]


def _page(items: Sequence[dict[str, Any]], limit: int, after: str | None) -> dict[str, Any]:
    """A part of a list, as OpenAI's API gives lists. Raises ApiError."""
    start = 0
    if after is not None:
        start = next((index for index, item in enumerate(items, 1) if item["id"] == after), 0)
        if not start:
            raise bad_request(f"after: there is no item {after[:100]!r}", "after")
    shown = items[start : start + limit]
    ids = {"first_id": shown[0]["id"] if shown else None, "last_id": shown[-1]["id"] if shown else None}
    return {"object": "list", "data": list(shown), **ids, "has_more": start + limit < len(items)}


def _add(service: Service, messages: list[Message], item: InputItem, where: str, *, asked: bool) -> None:
    """Appends an item. What a model said in one turn (reasoning, text, calls) becomes one message."""
    match item.type:
        case "message":
            role = "system" if item.role == "developer" else item.role or "user"
            text = text_of(item.content, where, asked=asked and role != "assistant")
            if role == "assistant" and messages and _is_reasoning_only(messages[-1]):
                messages[-1] = {**messages[-1], "content": text}
            else:
                messages.append({"role": role, "content": text})
        case "reasoning":
            content = item.content if isinstance(item.content, list) else item.summary or []
            text = "".join(str(part.get("text") or "") for part in content)
            if text:
                messages.append({"role": "assistant", "content": "", "reasoning_content": text})
        case "function_call" | "custom_tool_call" | "local_shell_call":
            call = response_tools.call_of(item)
            if call is None:
                raise bad_request(f"{where}: a {item.type} has no name", where)
            if not messages or messages[-1]["role"] != "assistant":
                messages.append({"role": "assistant", "content": ""})
            messages[-1] = {**messages[-1], "tool_calls": [*messages[-1].get("tool_calls", ()), call]}
        case "function_call_output" | "custom_tool_call_output" | "local_shell_call_output":
            told = text_of(item.output, where, asked=False)
            messages.append({"role": "tool", "tool_call_id": item.call_id or item.id or "", "content": told})
        case _:
            service.warn_once(_PATH, f"items of type {item.type[:100]!r} are not known here and ignored")


def _is_reasoning_only(message: Message) -> bool:
    return bool(message.get("reasoning_content")) and not message["content"] and not message.get("tool_calls")


def _tools(service: Service, body: ResponsesRequest) -> list[dict[str, Any]] | None:
    """The tools that the client runs; others would run at OpenAI."""
    found, unknown = response_tools.offered(body.tools or ())
    for kind in unknown:
        service.warn_once(_PATH, f"tools of type {kind[:100]!r} are not known here and ignored")
    return found or None


def _shape(body: ResponsesRequest) -> Constraint:
    """What `text.format` demands of the text. Raises ApiError."""
    format = body.text.format if body.text else None
    if format is None or format.type == "text":
        return Constraint()
    if format.type == "json_object":
        return Constraint(json_schema={"type": "object"})
    if format.type in ("regex", "grammar"):
        return spelled(format.type, format.regex if format.type == "regex" else format.grammar, "text.format")
    if format.schema_ is None:
        raise bad_request("text.format: give a schema", "text.format.schema")
    return Constraint(json_schema=format.schema_)
