"""What a server says about itself: health, models, figures. Knows no conversation."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import psutil
from fastapi import APIRouter
from starlette.responses import Response

from inhouse.server.errors import ApiError
from inhouse.server.metrics import figures
from inhouse.server.service import Service
from inhouse.server.wire import JsonResponse


def routes(service: Service) -> APIRouter:
    router = APIRouter(tags=["Server"])

    @router.get("/health", response_model=None)
    async def health() -> Response:
        """Whether the server is up."""
        return JsonResponse({"status": "ok"})

    @router.get("/v1/models", response_model=None, tags=["OpenAI", "Anthropic"])
    async def models() -> Response:
        """The model that is served, in OpenAI's and Anthropic's shapes at once."""
        name = service.model.name
        return JsonResponse(
            {"object": "list", "data": [_model(service)], "has_more": False, "first_id": name, "last_id": name}
        )

    @router.get("/v1/models/{name:path}", response_model=None, tags=["OpenAI", "Anthropic"])
    async def model(name: str) -> Response:
        """One model by name."""
        if name != service.model.name:
            raise ApiError(404, f"there is no model {name!r} here, only {service.model.name!r}", "model_not_found")
        return JsonResponse(_model(service))

    @router.get("/metrics", response_model=None)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        text = await asyncio.to_thread(service.metrics.text)  # the engine answers between two quanta
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/stats", response_model=None)
    async def stats() -> Response:
        """What the engine is doing, as JSON."""
        engine = await asyncio.to_thread(figures, service.engine)
        memory = psutil.virtual_memory()
        return JsonResponse(
            {
                "model": _model(service),
                "uptime_seconds": round(time.time() - service.metrics.started, 1),
                "memory": {
                    "process_bytes": psutil.Process(os.getpid()).memory_info().rss,
                    "available_bytes": memory.available,
                    "total_bytes": memory.total,
                },
                "engine": engine,
            }
        )

    return router


def _model(service: Service) -> dict[str, Any]:
    model, started = service.model, service.metrics.started
    return {
        "id": model.name,
        "object": "model",
        "created": int(started),
        "owned_by": "inhouse",
        "type": "model",
        "display_name": model.name,
        "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "architecture": model.architecture,
        "context_length": model.context,
        "max_model_len": model.context,
        "thinks": model.thinks,
    }
