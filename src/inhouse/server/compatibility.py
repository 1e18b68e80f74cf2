"""Requests as clients address them besides the APIs' own way: without /v1, with HEAD. Every answer has an id.

Plain ASGI, before all else. Knows no endpoint but by its path.
"""

from __future__ import annotations

import re
import secrets

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_VERSIONED = re.compile(r"/(?:chat/completions|completions|responses|messages|models|embeddings|rerank)(?:/.*)?\Z")
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_ID_HEADERS = (b"x-request-id", b"request-id")  # OpenAI's and Anthropic's


class CompatibilityMiddleware:
    """Hands requests to `app` in the form that its routes have."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        head = scope["method"] == "HEAD"
        if head:
            scope = {**scope, "method": "GET"}
        if _VERSIONED.match(scope["path"]):
            scope = {**scope, "path": f"/v1{scope['path']}", "raw_path": b"/v1" + scope.get("raw_path", b"")}
        id = _request_id(scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name, id) for name in _ID_HEADERS]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            elif head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app(scope, receive, answer)


def _request_id(scope: Scope) -> bytes:
    """The client's own id of a request, where it gave a sound one."""
    given = next((value for name, value in scope["headers"] if name.lower() == _ID_HEADERS[0]), b"")
    return bytes(given) if _ID.fullmatch(given.decode("latin-1")) else f"req_{secrets.token_hex(12)}".encode()
