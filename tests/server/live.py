"""A real server on loopback, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Queue
from typing import Any

import anthropic
import httpx2
import openai

from inhouse import LLM
from inhouse.server.app import create_app
from inhouse.server.engine import Model
from inhouse.server.keys import KeyRing
from inhouse.server.listen import Server, configure
from inhouse.server.settings import Settings

Serve = Callable[..., str]
Client = Callable[..., openai.OpenAI]
Claude = Callable[..., anthropic.Anthropic]


def ask(url: str, path: str, **body: Any) -> Any:
    """What a server answers to a body."""
    answer = httpx2.post(f"{url}{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@contextmanager
def serving(llm: LLM, keys: KeyRing | None = None, **settings: Any) -> Iterator[str]:
    """Serves `llm` as "tiny" while the context lasts; gives the server's URL."""
    chosen = Settings(**settings)
    model = Model("tiny", llm.config.architecture, llm.context, llm.tokenizer, llm.config.pooling)
    app = create_app([(llm.engine, model)], chosen, keys)
    urls: Queue[str] = Queue()
    server = Server(configure(app, chosen, 0), urls.put)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield urls.get(timeout=30)
    finally:
        server.should_exit = True
        thread.join()
