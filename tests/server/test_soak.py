"""Many clients at once, a third of which go away in the middle, and a server that dies of kill -9 and comes back.

No answer may differ from the one that a single client gets, nothing may be left running, and memory must not grow.
"""

from __future__ import annotations

import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest
from test_serve import process, url_of

from inhouse.weights.synthetic import synthesize

TOKENS = 24  # of an answer
SYSTEM = "You are a careful engineer. " * 6
QUESTIONS = [f"Question {index}: {'why ' * (3 * index)}so?" for index in range(10)]


def body(question: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    return {"messages": messages, "max_tokens": TOKENS, "temperature": 0, "stream": True}


def pieces(client: httpx2.Client, question: str) -> Iterator[tuple[str, str | None]]:
    """The answer's texts and, last, its finish reason. Raises httpx2.HTTPError when the server dies."""
    with client.stream("POST", "/v1/chat/completions", json=body(question)) as answer:
        answer.raise_for_status()
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                choice = json.loads(line[6:])["choices"][0]
                yield choice["delta"].get("content") or "", choice["finish_reason"]


class Soak:
    """`clients` threads that ask until `requests` answers were got or given up on purpose."""

    def __init__(self, url: str, expected: dict[str, str], requests: int) -> None:
        self._url = url
        self._expected = expected
        self._numbers = iter(range(requests))
        self._lock = threading.Lock()
        self.done = 0
        self.wrong: list[tuple[str, str]] = []
        self.retried = 0

    def run(self, seed: int) -> None:
        """One client."""
        draw = random.Random(seed)
        with httpx2.Client(base_url=self._url, timeout=60) as client:
            while (number := self._next()) is not None:
                question = QUESTIONS[number % len(QUESTIONS)]
                after = draw.randrange(TOKENS) if number % 3 == 0 else None
                while not self._ask(client, question, after):
                    with self._lock:
                        self.retried += 1
                    time.sleep(0.05)  # the server is dead or full
                with self._lock:
                    self.done += 1

    def _next(self) -> int | None:
        with self._lock:
            return next(self._numbers, None)

    def _ask(self, client: httpx2.Client, question: str, after: int | None) -> bool:
        """One request, left after some pieces if `after` says so. False if it must be sent again."""
        text, finish = "", None
        try:
            for count, (piece, reason) in enumerate(pieces(client, question)):
                text += piece
                finish = finish or reason
                if after is not None and count >= after:
                    break
        except httpx2.HTTPError:
            return False
        expected = self._expected[question]
        if after is None and finish is None:
            return False  # cut off without an error of transport
        if text != expected if finish is not None else not expected.startswith(text):
            with self._lock:
                self.wrong.append((text, expected))
        return True


@pytest.fixture(scope="module")
def exact_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of float weights: answers that are computed together differ from single ones by less than a
    rounding of their logits, which with quantised weights would be enough to tip a coin now and then."""
    path = tmp_path_factory.mktemp("model") / "exact.gguf"
    synthesize("tiny-qwen35", path, mix="F32")
    return path


@pytest.mark.parametrize(
    ("requests", "clients"),
    [pytest.param(90, 12, id="short"), pytest.param(500, 32, id="long", marks=pytest.mark.model)],
)
def test_many_clients_and_a_sudden_death(exact_file: Path, tmp_path: Path, requests: int, clients: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    args = (exact_file, "--threads", 1, "--port", port, "--cache-memory", 0.01)  # soon full: growth would be a leak
    with process(tmp_path, *args) as first:
        url = url_of(first)
        with httpx2.Client(base_url=url) as client:
            expected = {question: "".join(text for text, _ in pieces(client, question)) for question in QUESTIONS}
        soak = Soak(url, expected, requests)
        with ThreadPoolExecutor(clients) as pool:
            running = [pool.submit(soak.run, seed) for seed in range(clients)]
            _wait_until(lambda: soak.done >= requests // 3)
            first.kill()
            first.wait()
            with process(tmp_path, *args) as second:
                assert url_of(second) == url
                _wait_until(lambda: soak.done >= 2 * requests // 3)
                before = _memory(url)
                for client_run in running:
                    client_run.result()
                assert soak.done == requests
                assert soak.wrong == []
                assert soak.retried >= 1  # the death was noticed
                _wait_until(lambda: _busy(url) == 0)
                after = _memory(url)
    grown = after / before - 1
    print(f"{requests} requests, {clients} clients, {soak.retried} sent again, {after / 1e6:.0f} MB ({grown:+.1%})")
    assert grown <= 0.03


def _wait_until(condition: Any) -> None:
    for _ in itertools.takewhile(lambda _: not condition(), range(6000)):
        time.sleep(0.01)
    assert condition()


def _stats(url: str) -> dict[str, Any]:
    stats: dict[str, Any] = httpx2.get(f"{url}/stats").json()
    return stats


def _memory(url: str) -> int:
    size: int = _stats(url)["memory"]["process_bytes"]
    return size


def _busy(url: str) -> int:
    return sum(value for name, value in _stats(url)["engine"].items() if name.startswith(("active", "waiting")))
