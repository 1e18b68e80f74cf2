"""The page at `/` and its files. They come with the package; nothing on the page is from anywhere else.

Knows no conversation: the page talks to the same API as every other program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

from fastapi import APIRouter, Request
from starlette.responses import Response

from inhouse.server.errors import ApiError

_TYPES = MappingProxyType(
    {
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".svg": "image/svg+xml",
    }
)

# A model's words reach the page: whatever they are, no script of theirs runs and no address of theirs is asked.
_HEADERS = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
)


@dataclass(frozen=True)
class _File:
    data: bytes
    kind: str
    tag: str


def routes() -> APIRouter:
    """`/` and `/assets/…`, as browsers want them."""
    assets = _load()
    router = APIRouter(include_in_schema=False)

    @router.get("/", response_model=None)
    async def page(request: Request) -> Response:
        return _respond(assets["index.html"], request)

    @router.get("/favicon.ico", response_model=None)
    async def icon(request: Request) -> Response:
        return _respond(assets["icon.svg"], request)

    @router.get("/assets/{name}", response_model=None)
    async def asset(name: str, request: Request) -> Response:
        if name not in assets:
            raise ApiError(404, f"the page has no file {name!r}")
        return _respond(assets[name], request)

    return router


def _load() -> Mapping[str, _File]:
    found = {}
    for entry in files("inhouse.server").joinpath("assets").iterdir():
        kind = _TYPES.get("." + entry.name.rpartition(".")[2])
        if kind is not None:
            data = entry.read_bytes()
            found[entry.name] = _File(data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"')
    return found


def _respond(file: _File, request: Request) -> Response:
    headers = {**_HEADERS, "ETag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.kind, headers=headers)
