"""What a request must pass before any endpoint sees it: host, origin, key, size, shape. Knows no API.

Plain ASGI, so that nothing is read or parsed of a request that has no business here. Against DNS rebinding the Host
header must be an address or a name that we know; against other web pages the Origin must be our own.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inhouse.errors import InhouseError
from inhouse.server.errors import ApiError, flavour_of, from_engine
from inhouse.server.keys import Key, KeyRing
from inhouse.server.settings import Settings
from inhouse.server.wire import JsonResponse, too_deep

PUBLIC = frozenset({"/", "/health", "/docs", "/openapi.json", "/favicon.ico"})  # without a key: nothing of a user's
_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's numbers for the kinds of heads
_PUBLIC_PREFIX = "/assets/"


class Guard:
    """Lets through to `app` what may pass and answers the rest itself."""

    def __init__(self, app: ASGIApp, settings: Settings, keys: KeyRing | None) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys
        own = {"localhost", settings.host.lower().strip("[]"), socket.gethostname().lower()}
        self._hosts = own | {host.lower() for host in settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        admission = ExitStack()
        try:
            headers = _headers(scope)
            self._check_host(headers)
            self._check_origin(scope, headers)
            key = self._check_key(scope, headers)
            if key is not None and self._keys is not None:
                admission.enter_context(self._keys.use(key))
            body = await self._body(scope, headers, receive)
        except (ApiError, InhouseError) as error:
            admission.close()
            await _refusal(from_engine(error), scope["path"])(scope, receive, send)
            return
        scope["inhouse.key"] = key.name if key is not None else ""
        with admission:
            await self._app(scope, body, send)

    def _check_host(self, headers: Mapping[str, str]) -> None:
        name = _hostname(headers.get("host", ""))
        if name not in self._hosts and not _is_address(name):
            raise ApiError(403, f"host {name!r} is not served here: use localhost, an address, or --allowed-host NAME")

    def _check_origin(self, scope: Scope, headers: Mapping[str, str]) -> None:
        origin = headers.get("origin")
        if origin is None or origin in self._settings.allowed_origins:
            return
        if origin != f"{scope['scheme']}://{headers.get('host', '')}":
            raise ApiError(403, f"origin {origin!r} may not call this server: allow it with --allowed-origin")

    def _check_key(self, scope: Scope, headers: Mapping[str, str]) -> Key | None:
        if not self._settings.require_key:
            return None
        path: str = scope["path"]
        if path in PUBLIC or path.startswith(_PUBLIC_PREFIX) or scope["method"] == "OPTIONS":
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        secret = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        key = self._keys.find(secret) if self._keys is not None and secret else None
        if key is None:
            what = "this API key is not valid" if secret else "an API key is needed"
            raise ApiError(401, f"{what}: make one with `inhouse key add NAME`", "invalid_api_key")
        return key

    async def _body(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> Receive:
        """A `receive` that gives the whole body at once, after its checks."""
        limits = self._settings.limits
        if scope["method"] not in ("POST", "PUT", "PATCH"):
            return receive
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length[:20]) > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        try:
            async with asyncio.timeout(limits.body_seconds):
                body = await _read(receive, limits.body_bytes)
        except TimeoutError as error:
            raise ApiError(408, f"the body did not arrive within {limits.body_seconds:g} seconds") from error
        body = _unpacked(body, headers.get("content-encoding", ""), limits.body_bytes)
        if too_deep(body, limits.json_depth):
            raise ApiError(400, f"the JSON nests deeper than {limits.json_depth} levels", "invalid_json")
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        return replay


def _refusal(error: ApiError, path: str) -> JsonResponse:
    headers = dict(error.headers)
    if error.status in (408, 413):
        headers["Connection"] = "close"  # what is left of the body is not worth reading
    return JsonResponse(error.body(flavour_of(path)), error.status, headers)


async def _read(receive: Receive, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "the connection closed before the body was complete")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return b"".join(chunks)


def _unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    """A body as it was before it was compressed. Raises ApiError where it is damaged, or too large then."""
    if encoding in ("", "identity"):
        return body
    if encoding not in _WINDOWS:
        raise ApiError(415, f"content-encoding {encoding[:40]!r} is not known: use gzip, deflate or none")
    stream = zlib.decompressobj(_WINDOWS[encoding])
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise ApiError(400, f"the body is not valid {encoding}: {error}") from error
    if len(plain) > limit:
        raise _too_large(limit)
    if not stream.eof:
        raise ApiError(400, f"the body is not valid {encoding}: it ends too early")
    return plain


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is larger than {limit} bytes", "request_too_large")


def _headers(scope: Scope) -> dict[str, str]:
    """Header values by lower-case name. Raises ApiError where a header that decides something comes twice."""
    out: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name = raw_name.decode("latin-1").lower()
        if name in out and name in ("host", "origin", "authorization", "x-api-key"):
            raise ApiError(400, f"header {name} is given twice")
        out[name] = raw_value.decode("latin-1")
    return out


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
