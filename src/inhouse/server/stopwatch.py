"""How long the parts of an answer took. Knows no API."""

from __future__ import annotations

import time

from inhouse.engine import Chunk
from inhouse.engine.events import Event


class Stopwatch:
    """Runs from when it is made; `note` is told of every event."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._first: float | None = None
        self._last: float | None = None

    def note(self, event: Event) -> None:
        if isinstance(event, Chunk) and (event.token_ids or event.finish_reason is not None):
            self._last = time.monotonic()
            self._first = self._first or self._last

    @property
    def prompt_seconds(self) -> float:
        """Until the first token of the answer, waiting included."""
        return (self._first or time.monotonic()) - self._begun

    @property
    def answer_seconds(self) -> float:
        """From the first token to the last event."""
        return (self._last or 0.0) - (self._first or 0.0)
