"""The application: every API's routes around the engines, behind the guard. Knows no socket."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from inhouse.errors import InhouseError
from inhouse.server import (
    chat,
    completions,
    docs,
    embeddings,
    llama_cpp,
    messages,
    ollama,
    responses,
    status,
    tokens,
    web,
)
from inhouse.server.compatibility import CompatibilityMiddleware
from inhouse.server.engine import Model, ServingEngine
from inhouse.server.errors import ApiError, flavour_of, from_engine, from_validation
from inhouse.server.guard import Guard
from inhouse.server.keys import KeyRing
from inhouse.server.metrics import Metrics
from inhouse.server.service import Service, Services
from inhouse.server.settings import Settings
from inhouse.server.wire import JsonResponse


def create_app(
    served: Sequence[tuple[ServingEngine, Model]], settings: Settings, keys: KeyRing | None = None
) -> ASGIApp:
    """The ASGI application that serves models, at least one."""
    metrics = Metrics({model.name: engine for engine, model in served})
    services = Services([Service(engine, model, settings, metrics) for engine, model in served])
    api = FastAPI(title="Inhouse", version=version("inhouse"), docs_url=None, redoc_url=None)
    for part in (chat, completions, responses, messages, embeddings, ollama, llama_cpp, tokens, status):
        api.include_router(part.routes(services))
    api.include_router(docs.routes(api))
    api.include_router(web.routes())
    _report_errors(api)
    app: ASGIApp = Guard(api, settings, keys)
    if settings.allowed_origins:
        app = CORSMiddleware(app, allow_origins=settings.allowed_origins, allow_methods=["*"], allow_headers=["*"])
    return CompatibilityMiddleware(metrics.counting(app, frozenset(api.openapi()["paths"])))


def _report_errors(api: FastAPI) -> None:
    """Every error in the shape of the API that it happened in."""

    @api.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> Response:
        return JsonResponse(error.body(flavour_of(request.url.path)), error.status, error.headers)

    @api.exception_handler(InhouseError)
    async def impossible(request: Request, error: InhouseError) -> Response:
        return await refused(request, from_engine(error))

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        return await refused(request, from_validation(error.errors(), error.body))

    @api.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        message = f"{request.method} {request.url.path}: {str(error.detail).lower()}"
        return await refused(request, ApiError(error.status_code, message))

    @api.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return await refused(request, from_engine(error))
