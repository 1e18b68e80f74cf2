"""Answers as server-sent events: what the APIs' streams have in common. Knows no API's events.

A stream never falls silent: while a prompt is read, or a tool call is written that comes whole, there are signs of
life. It ends the work behind it as soon as its reader is gone.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inhouse.engine import Chunk, Completion
from inhouse.engine.events import Progress, Queued, Waiting
from inhouse.server.answers import Answers, disconnected
from inhouse.server.errors import ApiError

_PROGRESS_SECONDS = 1.0  # between two reports of progress


class Encoder(Protocol):
    """One request's answers in the shape of an API, whole or as events. Used once."""

    def whole(self, completions: Sequence[Completion]) -> dict[str, Any]:
        """The body of a response."""

    def begin(self) -> Iterator[bytes]:
        """The events before any answer."""

    def chunk(self, index: int, chunk: Chunk) -> Iterator[bytes]:
        """The events of a piece of answer number `index`; may be none."""

    def alive(self, waiting: Waiting | None) -> bytes:
        """A sign of life."""

    def end(self) -> Iterator[bytes]:
        """The events after all answers."""

    def failed(self, error: ApiError) -> Iterator[bytes]:
        """The last events when an answer fails."""


class EventStream(Response):
    """Streams `answers` through `encoder`, and cancels them when it is over, however that comes."""

    def __init__(self, answers: Answers, encoder: Encoder, quiet: float, media_type: str) -> None:
        self.media_type = media_type
        self._answers = answers
        self._encoder = encoder
        self._quiet = quiet  # seconds
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send(send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
            if sending.done():
                await sending
        finally:
            self._answers.cancel()
            for task in (sending, gone):
                task.cancel()
            await asyncio.gather(sending, gone, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async with aclosing(self._events()) as events:
            async for event in events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _events(self) -> AsyncGenerator[bytes]:
        encoder = self._encoder
        try:
            for data in encoder.begin():
                yield data
            last = -math.inf  # the first progress tells how long the prompt is
            async with aclosing(self._answers.events(self._quiet)) as items:
                async for item in items:
                    now = time.monotonic()
                    if data := self._data(item, now - last):
                        if item is None or not isinstance(item[1], Queued):  # a place in the queue is told at once
                            last = now
                        yield data
            for data in encoder.end():
                yield data
        except ApiError as error:
            for data in encoder.failed(error):
                yield data

    def _data(self, item: tuple[int, Chunk | Waiting] | None, silent: float) -> bytes:
        """What to send of an event, after so many seconds of silence."""
        if item is None:
            return self._encoder.alive(None)
        index, event = item
        if isinstance(event, Queued):
            return self._encoder.alive(event)
        if isinstance(event, Progress):
            return self._encoder.alive(event) if silent >= _PROGRESS_SECONDS else b""
        data = b"".join(self._encoder.chunk(index, event))
        return data or (self._encoder.alive(None) if silent >= self._quiet else b"")
