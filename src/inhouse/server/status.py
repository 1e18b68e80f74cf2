"""What a server says about itself: health, models, figures. Knows no conversation."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import psutil
from fastapi import APIRouter
from starlette.responses import Response

from inhouse.server.metrics import figures
from inhouse.server.service import Service, Services
from inhouse.server.wire import JsonResponse


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["Server"])

    @router.get("/health", response_model=None)
    async def health() -> Response:
        """Whether the server is up."""
        return JsonResponse({"status": "ok"})

    @router.get("/v1/models", response_model=None, tags=["OpenAI", "Anthropic"])
    async def models() -> Response:
        """The models that are served, in OpenAI's and Anthropic's shapes at once."""
        shown = [_model(service) for service in services.all]
        ends = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]}
        return JsonResponse({"object": "list", "data": shown, "has_more": False, **ends})

    @router.get("/v1/models/{name:path}", response_model=None, tags=["OpenAI", "Anthropic"])
    async def model(name: str) -> Response:
        """One model by name."""
        return JsonResponse(_model(services.only(name)))

    @router.get("/metrics", response_model=None)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        text = await asyncio.to_thread(services.first.metrics.text)  # the engine answers between two quanta
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    @router.get("/stats", response_model=None)
    async def stats() -> Response:
        """What the engine is doing, as JSON."""
        first = services.first
        engines = await asyncio.to_thread(lambda: [figures(service.engine) for service in services.all])
        names = [service.model.name for service in services.all[1:]]
        memory = psutil.virtual_memory()
        return JsonResponse(
            {
                "model": _model(first),
                "uptime_seconds": round(time.time() - first.metrics.started, 1),
                "memory": {
                    "process_bytes": psutil.Process(os.getpid()).memory_info().rss,
                    "available_bytes": memory.available,
                    "total_bytes": memory.total,
                },
                "engine": engines[0],
                **({"others": dict(zip(names, engines[1:], strict=True))} if names else {}),
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
