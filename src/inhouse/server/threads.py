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
from inhouse.errors import ParameterError
from inhouse.server.engine import Messages, Tools


class _Running:
    def __init__(self) -> None:
        self.flag = Flag()

    def cancel(self) -> None:
        self.flag.set()


class ThreadedEngine:
    """Serves an `LLM` that takes turns by itself, without regard to priority.

    Cannot hold an answer to a form: what demands one is refused, for a client that relies on it must know.
    """

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
        _check_enforceable(constraint)
        if constraint is not None and constraint.tool_choice == "none":
            tools = None  # what must not be called is not shown
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
        _check_enforceable(constraint)
        running = _Running()
        chunks = self._llm.stream(prompt, params, cancelled=running.flag.is_set)
        return _start(running, chunks, on_event)

    def stats(self) -> None:
        return None


def _check_enforceable(constraint: Constraint | None) -> None:
    """Raises ParameterError for demands that nothing here would see to."""
    if constraint is None:
        return
    if constraint.json_schema is not None or constraint.regex is not None or constraint.grammar is not None:
        raise ParameterError(
            "this server cannot hold an answer to a JSON schema, regex or grammar: say in the prompt what form it "
            "shall have, leave the field out, and check the answer"
        )
    if constraint.tool_choice == "required":
        raise ParameterError("this server cannot make a model call a tool: use tool_choice auto, and check the answer")


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
