"""What clients of llama.cpp and vLLM ask a server about its model: tokens of texts, its template, its settings."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from inhouse.client.openai_types import ChatMessage, ToolDefinition
from inhouse.client.wire import Name, Whole, Wire
from inhouse.server import openai
from inhouse.server.chat import function_tools
from inhouse.server.conversation import normalised
from inhouse.server.errors import bad_request
from inhouse.server.service import Services
from inhouse.server.wire import JsonResponse


class TokenizeRequest(Wire):
    """llama.cpp's fields; `prompt` is what vLLM calls `content`."""

    model: Name = ""
    content: str | None = None
    prompt: str | None = None
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeRequest(Wire):
    model: Name = ""
    tokens: Annotated[list[Whole], Field(max_length=1 << 20)]


class TemplateRequest(Wire):
    model: Name = ""
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: list[ToolDefinition] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["Server"])

    @router.post("/tokenize", response_model=None)
    async def tokenize(body: TokenizeRequest) -> Response:
        """The tokens of a text."""
        model = services.named(body.model).model
        text = body.content if body.content is not None else body.prompt
        if text is None:
            raise bad_request("missing field 'content'", "content")
        ids = await asyncio.to_thread(model.tokenizer.encode, text, special=body.parse_special)
        pieces = [{"id": id, "piece": model.tokenizer.decode([id])} for id in ids] if body.with_pieces else ids
        return JsonResponse({"tokens": pieces, "count": len(ids), "max_model_len": model.context})

    @router.post("/detokenize", response_model=None)
    async def detokenize(body: DetokenizeRequest) -> Response:
        """The text of tokens."""
        model = services.named(body.model).model
        wrong = next((id for id in body.tokens if not 0 <= id < model.tokenizer.vocab_size), None)
        if wrong is not None:
            raise bad_request(f"tokens: {wrong} is none of the {model.tokenizer.vocab_size} tokens", "tokens")
        text = await asyncio.to_thread(model.tokenizer.decode, body.tokens)
        return JsonResponse({"content": text, "prompt": text})

    @router.post("/apply-template", response_model=None)
    async def apply_template(body: TemplateRequest) -> Response:
        """The prompt that a conversation becomes, as text."""
        service = services.named(body.model)
        messages = normalised(openai.messages(body.messages), stable_prefix=service.settings.stable_prefix)
        tools, flags = function_tools(service, body.tools), service.flags(None, body.chat_template_kwargs)
        return JsonResponse({"prompt": await asyncio.to_thread(service.model.prompt, messages, tools, flags)})

    @router.get("/props", response_model=None)
    async def props(model: str = "") -> Response:
        """What the server is and can, as llama.cpp's clients ask for it. Nothing can be changed so."""
        service = services.named(model)
        served = service.model
        return JsonResponse(
            {
                "default_generation_settings": {"n_ctx": served.context},
                "total_slots": service.engine.slots,
                "model_path": served.name,
                "model_alias": served.name,
                "chat_template": served.tokenizer.chat_template or "",
                "modalities": {"vision": False, "audio": False},
                "build_info": f"inhouse {version('inhouse')}",
                "is_sleeping": False,
            }
        )

    @router.get("/slots", response_model=None)
    async def slots() -> Response:
        """How many requests are being answered, in llama.cpp's shape: of conversations it tells nothing."""
        service = services.first
        stats = await asyncio.to_thread(service.engine.stats)
        busy = stats.active_interactive + stats.active_background
        ids = range(max(service.engine.slots, busy))
        return JsonResponse([{"id": id, "n_ctx": service.model.context, "is_processing": id < busy} for id in ids])

    return router
