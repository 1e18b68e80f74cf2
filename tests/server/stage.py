"""An engine that plays given answers, and waits where it is told to, behind a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import Queue
from typing import Any

from parrot import vocabulary

from inhouse.engine import Chunk, Usage
from inhouse.engine.completion import FinishReason
from inhouse.engine.events import OnEvent, Progress
from inhouse.engine.serving import Stats
from inhouse.server.app import create_app
from inhouse.server.engine import Model
from inhouse.server.keys import KeyRing
from inhouse.server.listen import Server, configure
from inhouse.server.settings import Settings

WAIT = "wait"  # in an answer: until `Stage.go` is set


class _Ticket:
    def __init__(self) -> None:
        self.cancelled = threading.Event()

    def cancel(self) -> None:
        self.cancelled.set()


class Stage:
    """Answers each conversation with the next of `answers`; keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Sequence[Chunk | Progress | str]] = []
        self.asked: list[tuple[Any, Any]] = []
        self.tickets: list[_Ticket] = []
        self.go = threading.Event()
        self.reason: FinishReason = "stop"
        self.figures = Stats()

    def submit_chat(self, messages: Any, params: Any, tools: Any = None, *, on_event: OnEvent, **_: Any) -> _Ticket:
        self.asked.append((messages, tools))
        ticket = _Ticket()
        self.tickets.append(ticket)
        threading.Thread(target=self._play, args=(ticket, self.answers.pop(0), on_event), daemon=True).start()
        return ticket

    def _play(self, ticket: _Ticket, answer: Sequence[Chunk | Progress | str], on_event: OnEvent) -> None:
        tokens = 0
        for step in answer:
            if isinstance(step, str):
                while not (self.go.wait(0.02) or ticket.cancelled.is_set()):
                    pass
                continue
            if ticket.cancelled.is_set():
                return
            tokens += isinstance(step, Chunk)
            on_event(step)
        calls = any(isinstance(step, Chunk) and step.tool_calls for step in answer)
        reason: FinishReason = "tool_calls" if calls else self.reason
        on_event(Chunk(finish_reason=reason, usage=Usage(40, 24, tokens)))

    def submit_text(self, prompt: Any, params: Any, *, on_event: OnEvent, **_: Any) -> _Ticket:
        raise NotImplementedError("the page only chats")

    def stats(self) -> Stats:
        return self.figures


@contextmanager
def playing(stage: Stage, keys: KeyRing | None = None, **settings: Any) -> Iterator[str]:
    """Serves `stage` on loopback; gives the server's URL."""
    chosen = Settings(require_key=keys is not None, **settings)
    app = create_app([(stage, Model("stage", "qwen2", 32768, vocabulary(("<think>",))))], chosen, keys)
    urls: Queue[str] = Queue()
    server = Server(configure(app, chosen, 0), urls.put)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield urls.get(timeout=30)
    finally:
        stage.go.set()
        server.should_exit = True
        thread.join()
