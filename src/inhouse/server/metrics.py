"""Counts what the server does, for Prometheus. Knows requests by path and status, and tokens by number only."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inhouse.engine import Chunk
from inhouse.engine.events import Event
from inhouse.server.engine import ServingEngine

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """One server's counters, and the figures of its engines (by the model's name), read when somebody looks."""

    def __init__(self, engines: Mapping[str, ServingEngine]) -> None:
        self.registry = CollectorRegistry()
        self.started = time.time()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"inhouse_{name}", text, labels, registry=self.registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(f"inhouse_{name}", text, buckets=_SECONDS, registry=self.registry)

        self._requests = counter("requests", "Requests by path and status", "path", "status")
        self._active = Gauge("inhouse_requests_active", "Requests being answered", registry=self.registry)
        self._prompt = counter("prompt_tokens", "Tokens of prompts")
        self._cached = counter("cached_tokens", "Tokens of prompts that were not computed again")
        self._completion = counter("completion_tokens", "Tokens of answers")
        self._finished = counter("answers", "Answers by what ended them", "reason")
        self._first = histogram("first_token_seconds", "From a request to its first token")
        self._per_token = histogram("token_seconds", "From one token of an answer to the next, on average")
        self.registry.register(_EngineFigures(engines))

    def observer(self, path: str) -> Callable[[Event], None]:
        """Watches the answers to one request."""
        begun = time.monotonic()
        first: list[float] = []

        def observe(event: Event) -> None:
            if not isinstance(event, Chunk):
                return
            now = time.monotonic()
            if event.token_ids and not first:
                first.append(now)
                self._first.observe(now - begun)
            if event.finish_reason is not None:
                self._finished.labels(event.finish_reason).inc()
            if event.usage is not None:
                self._prompt.inc(event.usage.prompt_tokens)
                self._cached.inc(event.usage.cached_tokens)
                self._completion.inc(event.usage.completion_tokens)
                if first and event.usage.completion_tokens > 1:
                    self._per_token.observe((now - first[0]) / (event.usage.completion_tokens - 1))

        return observe

    def text(self) -> bytes:
        """All of it in Prometheus's format."""
        return generate_latest(self.registry)

    def counting(self, app: ASGIApp, paths: frozenset[str]) -> ASGIApp:
        """`app`, with its requests counted; those to other than `paths` under one name."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 500

            async def noting(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            with self._active.track_inprogress():
                try:
                    await app(scope, receive, noting)
                finally:
                    path = scope["path"] if scope["path"] in paths else "other"
                    self._requests.labels(path, status).inc()

        return counted


class _EngineFigures(Collector):
    """Every number that the engines report, as a gauge for each model."""

    def __init__(self, engines: Mapping[str, ServingEngine]) -> None:
        self._engines = engines

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for model, engine in self._engines.items():
            for name, value in _flat("inhouse_engine", figures(engine)):
                if name not in families:
                    families[name] = GaugeMetricFamily(name, name.replace("_", " "), labels=("model",))
                families[name].add_metric((model,), value)
        yield from families.values()


def _flat(prefix: str, values: Mapping[str, object]) -> Iterator[tuple[str, float]]:
    """The numbers in `values` and in mappings inside, by their whole names."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(f"{prefix}_{name}", value)
        elif isinstance(value, int | float):
            yield f"{prefix}_{name}", value


def figures(engine: ServingEngine) -> dict[str, object]:
    """What the engine reports about itself, by name."""
    stats = engine.stats()
    return dataclasses.asdict(stats) if dataclasses.is_dataclass(stats) and not isinstance(stats, type) else {}
