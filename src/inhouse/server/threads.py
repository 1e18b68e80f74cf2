"""An engine over one `LLM`: a thread for each request. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from threading import Event as Flag
from threading import Thread
from typing import Any

from inhouse.engine import LLM, Chunk, SamplingParams
from inhouse.engine.constraints import Constraint
from inhouse.engine.events import Failure, OnEvent, Priority, Progress
from inhouse.server.engine import Messages, Tools


class _Running:
    def __init__(self) -> None:
        self.flag = Flag()

    def cancel(self) -> None:
        self.flag.set()


class ThreadedEngine:
    """Serves an `LLM` that takes turns by itself. Constraints are not enforced."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm

    def submit_chat(
        self,
        messages: Messages,
        params: SamplingParams,
        tools: Tools = None,
        *,
        prefill: str = "",
        template_flags: Mapping[str, Any] | None = None,
        priority: Priority = "interactive",
        constraint: Constraint | None = None,
        on_event: OnEvent,
    ) -> _Running:
        running = _Running()

        def progress(done: int, total: int) -> None:
            on_event(Progress(done, total))

        chunks = self._llm.stream_chat(
            messages,
            params,
            tools,
            prefill,
            template_flags=template_flags,
            progress=progress,
            cancelled=running.flag.is_set,
        )
        return _start(running, chunks, on_event)

    def submit_text(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        priority: Priority = "interactive",
        constraint: Constraint | None = None,
        on_event: OnEvent,
    ) -> _Running:
        running = _Running()
        chunks = self._llm.stream(prompt, params, cancelled=running.flag.is_set)
        return _start(running, chunks, on_event)

    def stats(self) -> None:
        return None


def _start(running: _Running, chunks: Generator[Chunk], on_event: OnEvent) -> _Running:
    def work() -> None:
        try:
            with closing(chunks):
                for chunk in chunks:
                    on_event(chunk)
        except Exception as error:
            on_event(Failure(error))

    Thread(target=work, daemon=True).start()
    return running
