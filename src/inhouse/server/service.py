"""What the endpoints of all APIs share: the engine, the model, and the way of a request through them. Knows no API."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from inhouse.client.wire import Wire
from inhouse.engine import Completion
from inhouse.engine.events import Event, Priority
from inhouse.server.answers import Answers, Observer, Work
from inhouse.server.engine import Model, ServingEngine
from inhouse.server.errors import ApiError
from inhouse.server.metrics import Metrics
from inhouse.server.sampling import defaults
from inhouse.server.settings import Settings
from inhouse.server.streaming import Encoder, EventStream
from inhouse.server.wire import JsonResponse

_LOG = logging.getLogger("inhouse.server")
_MOST_WARNINGS = 1000  # what they say comes from clients: no endless memory for it
_MOST_FLAGS = 32
_RESERVED_FLAGS = frozenset({"self", "messages", "tools", "add_generation_prompt"})


@dataclass(frozen=True)
class Service:
    """One served model."""

    engine: ServingEngine
    model: Model
    settings: Settings
    metrics: Metrics
    _warned: set[tuple[str, str]] = field(default_factory=set)

    async def respond(
        self,
        request: Request,
        work: Sequence[Work],
        encoder: Encoder,
        *,
        stream: bool,
        watch: Observer | None = None,
        media_type: str = "text/event-stream",
    ) -> Response:
        """Has `work` done and answers with it, whole or as it comes; `watch` hears of all events. Raises ApiError."""
        counted = self.metrics.observer(request.url.path)

        def observe(event: Event) -> None:
            counted(event)
            if watch is not None:
                watch(event)

        answers = await Answers.start(self.engine, work, observe)
        if stream:
            return EventStream(answers, encoder, self.settings.keepalive_seconds, media_type)
        return JsonResponse(encoder.whole(await answers.collect(request)))

    async def collect(self, request: Request, work: Sequence[Work]) -> list[Completion]:
        """Has `work` done and gives the answers. Raises ApiError."""
        answers = await Answers.start(self.engine, work, self.metrics.observer(request.url.path))
        return await answers.collect(request)

    def warn_unknown(self, path: str, body: BaseModel) -> None:
        """Says once about each field of `body` that we do not know that it is ignored."""
        for name in _unknown(body):
            self.warn_once(path, f"field {name[:100]!r} is not known here and ignored")

    def warn_once(self, path: str, text: str) -> None:
        """Says something once about requests to `path`."""
        if (path, text) not in self._warned and len(self._warned) < _MOST_WARNINGS:
            self._warned.add((path, text))
            _LOG.warning("%s: %s", path, text)

    def flags(self, thinking: bool | None, given: dict[str, Any] | None) -> dict[str, Any]:
        """The chat template's switches for one request: the operator's, the API's own, then the client's.

        Raises ApiError.
        """
        own = {} if thinking is None else {"enable_thinking": thinking}
        given = given or {}
        if len(given) > _MOST_FLAGS or any(name in _RESERVED_FLAGS or not name.isidentifier() for name in given):
            raise ApiError(400, "chat_template_kwargs: not switches of a template", "invalid_value")
        return {**self.settings.template_flags, **own, **given}

    def card(self, flags: dict[str, Any], *, tools: bool) -> dict[str, float]:
        """The sampling that the model's card recommends for a conversation."""
        thinking = self.model.thinks and flags.get("enable_thinking", True) is not False
        budget = self.settings.reasoning_budget
        own = {} if budget is None else {"reasoning_budget": budget}
        return {**defaults(self.model, self.settings.mode, thinking=thinking, tools=tools), **own}


class Services:
    """The served models, each by its name."""

    def __init__(self, services: Sequence[Service]) -> None:
        """At least one."""
        self.all = tuple(services)
        self._by_name = {service.model.name: service for service in services}

    @property
    def first(self) -> Service:
        """Who answers where nothing says which model is meant."""
        return self.all[0]

    def named(self, name: str, able: Callable[[Model], bool] = lambda model: model.writes) -> Service:
        """Who serves a model; of an unknown name the first that is `able`, unless the operator is strict.

        Raises ApiError.
        """
        if (found := self._by_name.get(name) or self._by_name.get(name.removesuffix(":latest"))) is not None:
            return found
        if name and self.first.settings.strict_model:
            raise self.unknown(name)
        return next((service for service in self.all if able(service.model)), self.first)

    def only(self, name: str) -> Service:
        """Who serves exactly that model. Raises ApiError."""
        found = self._by_name.get(name)
        if found is None:
            raise self.unknown(name)
        return found

    def unknown(self, name: str) -> ApiError:
        known = ", ".join(map(repr, self._by_name))
        return ApiError(404, f"there is no model {name[:200]!r} here, only {known}", "model_not_found", "model")


def priority(request: Request) -> Priority:
    """What the client says of its own urgency. Raises ApiError."""
    value = request.headers.get("x-inhouse-priority", "interactive").lower()
    if value == "interactive":
        return "interactive"
    if value == "background":
        return "background"
    raise ApiError(400, f"X-Inhouse-Priority: {value!r} is neither interactive nor background", "invalid_value")


def _unknown(value: object) -> Iterable[str]:
    """Names of fields that the types do not have, anywhere inside."""
    if isinstance(value, Wire):
        yield from value.unknown
        for name in value.model_fields_set & type(value).model_fields.keys():
            yield from _unknown(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from _unknown(item)
