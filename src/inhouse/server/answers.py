"""From the engine's thread to the server's event loop: answers as they come, for as long as somebody listens.

Knows no API.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.types import Receive

from inhouse.engine import Chunk, Completion, SamplingParams
from inhouse.engine.completion import collect
from inhouse.engine.constraints import Constraint
from inhouse.engine.events import Event, Failure, OnEvent, Priority, Waiting
from inhouse.errors import ContextLengthError
from inhouse.server.engine import ServingEngine, Ticket
from inhouse.server.errors import ApiError, from_engine

_LOG = logging.getLogger("inhouse.server")

CLIENT_GONE = 499  # nobody reads it; it tells the access log


@dataclass(frozen=True)
class Chat:
    """A conversation to be answered."""

    messages: Sequence[Mapping[str, Any]]
    params: SamplingParams
    tools: Sequence[Mapping[str, Any]] | None = None
    prefill: str = ""
    flags: Mapping[str, Any] = field(default_factory=dict)
    priority: Priority = "interactive"
    constraint: Constraint | None = None

    def submit(self, engine: ServingEngine, on_event: OnEvent) -> Ticket:
        """Hands it to the engine."""
        return engine.submit_chat(
            self.messages,
            self.params,
            self.tools,
            prefill=self.prefill,
            template_flags=self.flags,
            priority=self.priority,
            constraint=self.constraint,
            on_event=on_event,
        )


@dataclass(frozen=True)
class Continuation:
    """A text, or token ids, to be continued."""

    prompt: str | Sequence[int]
    params: SamplingParams
    priority: Priority = "interactive"
    constraint: Constraint | None = None

    def submit(self, engine: ServingEngine, on_event: OnEvent) -> Ticket:
        """Hands it to the engine."""
        return engine.submit_text(
            self.prompt, self.params, priority=self.priority, constraint=self.constraint, on_event=on_event
        )


Work: TypeAlias = Chat | Continuation
Observer: TypeAlias = Callable[[Event], None]


class Answers:
    """The answers to one client's request. Made by `start`; whoever made it must `cancel` it in the end."""

    def __init__(self, observer: Observer) -> None:
        self._queue: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._observer = observer
        self._tickets: list[Ticket] = []
        self._open = 0

    @classmethod
    async def start(cls, engine: ServingEngine, work: Sequence[Work], observer: Observer) -> Answers:
        """Submits all of `work`. Raises ApiError, and then nothing of it is left running."""
        answers = cls(observer)
        try:
            for index, item in enumerate(work):
                # Rendering and tokenising a long conversation takes its time: not on the event loop.
                ticket = await asyncio.to_thread(_submit, item, engine, partial(answers._put, index))
                answers._tickets.append(ticket)
                answers._open += 1
        except BaseException as error:
            answers.cancel()
            if isinstance(error, Exception):
                raise _reported(error) from error
            raise
        return answers

    def cancel(self) -> None:
        """Ends what still runs. Does no harm to what is done."""
        for ticket in self._tickets:
            ticket.cancel()
        for _ in range(self._open):
            self._observer(Chunk(finish_reason="cancelled"))
        self._open = 0

    def _put(self, index: int, event: Event) -> None:
        """Called on the engine's thread."""
        try:
            self._loop.call_soon_threadsafe(self._queue.put_nowait, (index, event))
        except RuntimeError:  # the loop is closed: the server is gone, and with it whoever listened
            _LOG.debug("an event came after the server's end")

    async def events(self, quiet: float | None = None) -> AsyncGenerator[tuple[int, Chunk | Waiting] | None]:
        """Events with the number of their answer, until all are finished; None after `quiet` seconds without any.

        Raises ApiError when an answer fails.
        """
        while self._open:
            try:
                async with asyncio.timeout(quiet):
                    index, event = await self._queue.get()
            except TimeoutError:
                yield None
                continue
            self._observer(event)
            if isinstance(event, Failure):
                self._open = 0
                raise _reported(event.error) from event.error
            if isinstance(event, Chunk) and event.finish_reason is not None:
                self._open -= 1
                if event.finish_reason == "cancelled":
                    raise ApiError(503, "the server is shutting down: send the request again", "shutting_down", None, 5)
            yield index, event

    async def collect(self, request: Request) -> list[Completion]:
        """All answers whole. Raises ApiError, also when the client goes away meanwhile."""
        chunks: list[list[Chunk]] = [[] for _ in self._tickets]

        async def gather() -> None:
            async for item in self.events():
                if item is not None and isinstance(item[1], Chunk):
                    chunks[item[0]].append(item[1])

        work = asyncio.create_task(gather())
        gone = asyncio.create_task(disconnected(request.receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                raise ApiError(CLIENT_GONE, "the client went away")
            await work
        finally:
            self.cancel()
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        return [collect(pieces) for pieces in chunks]


def _submit(work: Work, engine: ServingEngine, on_event: OnEvent) -> Ticket:
    """Hands `work` to the engine. An answer that may be longer than what is left of the context may fill that."""
    try:
        return work.submit(engine, on_event)
    except ContextLengthError:
        if work.params.max_tokens is None:
            raise
        return replace(work, params=replace(work.params, max_tokens=None)).submit(engine, on_event)


async def disconnected(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _reported(error: Exception) -> ApiError:
    refusal = from_engine(error)
    if refusal.status == 500:
        _LOG.error("a request failed", exc_info=error)
    return refusal
