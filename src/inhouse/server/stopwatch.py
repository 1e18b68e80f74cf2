"""How long the parts of an answer took. Knows no API."""

from __future__ import annotations

import time

from inhouse.engine import Chunk, Usage
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

    def timings(self, usage: Usage) -> dict[str, float]:
        """The figures as llama.cpp's server gives them with every answer."""
        out: dict[str, float] = {"cache_n": usage.cached_tokens}
        read, written = usage.prompt_tokens - usage.cached_tokens, usage.completion_tokens
        for name, count, seconds in (
            ("prompt", read, self.prompt_seconds),
            ("predicted", written, self.answer_seconds),
        ):
            out |= {
                f"{name}_n": count,
                f"{name}_ms": round(1000 * seconds, 3),
                f"{name}_per_token_ms": round(1000 * seconds / count, 3) if count else 0.0,
                f"{name}_per_second": round(count / seconds, 3) if seconds else 0.0,
            }
        return out
