"""Clients that mean no good, at the socket. Whatever they do, the next client is served."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
import pytest
from live import serving
from parrot import parrot
from stage import WAIT, Stage, playing

from inhouse.engine import Chunk, Usage
from inhouse.server.settings import Limits

PATIENCE = 1.0  # seconds


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    limits = Limits(header_seconds=PATIENCE, body_seconds=PATIENCE, connections=20)
    with parrot("Good", " day") as llm, serving(llm, limits=limits) as url:
        yield url


@pytest.fixture(autouse=True)
def _still_serves(url: str) -> Iterator[None]:
    yield
    assert httpx2.get(f"{url}/v1/models").status_code == 200


@contextmanager
def connection(url: str) -> Iterator[socket.socket]:
    with socket.create_connection((urlsplit(url).hostname, urlsplit(url).port), timeout=10) as open_socket:
        yield open_socket


def said_until_closed(open_socket: socket.socket) -> bytes:
    """All that the server says before it closes; an abrupt end is an end."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while data := open_socket.recv(65536):
            heard += data
    return heard


def test_ten_megabytes_of_headers(url: str) -> None:
    with connection(url) as open_socket:
        sent = 0
        with contextlib.suppress(ConnectionError):
            open_socket.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n")
            for _ in range(10_000):
                open_socket.sendall(b"X-Long: " + b"x" * 990 + b"\r\n")
                sent += 1000
        assert b"200" not in said_until_closed(open_socket)[:20]
        assert sent < 10_000_000


@pytest.mark.parametrize("beginning", [b"", b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nX-Sl"])
def test_headers_that_never_come(url: str, beginning: bytes) -> None:
    with connection(url) as open_socket:
        open_socket.sendall(beginning)
        begun = time.monotonic()
        assert said_until_closed(open_socket) == b""
        assert time.monotonic() - begun < 8 * PATIENCE


def test_headers_that_drip(url: str) -> None:
    with connection(url) as open_socket:
        open_socket.settimeout(PATIENCE / 10)
        open_socket.sendall(b"GET / HTTP/1.1\r\n")
        begun = time.monotonic()
        while not _is_closed(open_socket):
            assert time.monotonic() - begun < 8 * PATIENCE


def _is_closed(open_socket: socket.socket) -> bool:
    """Whether the server has closed the connection; sends one more header if not."""
    try:
        open_socket.sendall(b"X: y\r\n")
        return open_socket.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_headers_that_drip_after_an_answer(url: str) -> None:
    with connection(url) as open_socket:
        open_socket.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in open_socket.recv(65536)
        open_socket.sendall(b"GET /hea")
        said_until_closed(open_socket)


def test_a_body_that_never_comes(url: str) -> None:
    with connection(url) as open_socket:
        open_socket.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b'Content-Length: 1000\r\n\r\n{"mess'
        )
        assert said_until_closed(open_socket).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",  # TLS to a plain port
        b"GET / HTTP/9.9\r\nConnection: close\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\n\r\n",  # no host
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"\r\n" * 1000 + b"\x00" * 1000,
    ],
)
def test_nonsense(url: str, request_bytes: bytes) -> None:
    with connection(url) as open_socket:
        open_socket.sendall(request_bytes)
        heard = said_until_closed(open_socket)
        assert heard == b"" or heard.split()[1][:1] == b"4"


@pytest.fixture
def patient_url() -> Iterator[str]:
    """A server that tells clients that never finish from those that a busy machine keeps waiting."""
    with parrot("Good", " day") as llm, serving(llm, limits=Limits(header_seconds=30, body_seconds=1.5)) as url:
        yield url


def test_a_load_of_all_that_at_once(patient_url: str) -> None:
    """Malformed bodies, deep JSON, long headers and clients that never finish, from many sides; memory stays."""
    url, headers = patient_url, {"Content-Type": "application/json", "Connection": "close"}
    bad = [
        b"{",
        b"[]",
        b"\xff" * 100,
        b'{"messages": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"messages": [{"role": "user", "content": 5}]}',
        b'{"seed": ' + b"9" * 5000 + b', "messages": []}',
    ]

    def attack(number: int) -> int:
        if number % 10 == 0:
            with connection(url) as open_socket:
                open_socket.sendall(b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
                return int(said_until_closed(open_socket).split()[1])
        path = ("/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions")[number % 4]
        more = {"X-Long": "x" * 100_000} if number % 10 == 1 else {}
        return client.post(url + path, content=bad[number % len(bad)], headers={**headers, **more}).status_code

    before = _memory(url)
    with httpx2.Client(timeout=60) as client, ThreadPoolExecutor(12) as pool:
        statuses = Counter(pool.map(attack, range(400)))
    assert {status // 100 for status in statuses} == {4}
    assert statuses[408] == 40
    assert _memory(url) < 1.1 * before + (32 << 20)


def _memory(url: str) -> int:
    size: int = httpx2.get(f"{url}/stats").json()["memory"]["process_bytes"]
    return size


def test_too_many_connections(url: str) -> None:
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connection(url)) for _ in range(60)]
        for open_socket in waiting:
            said_until_closed(open_socket)  # refused at once, or out of patience


@pytest.mark.parametrize(
    "begun",
    [b"GET /v1/mod", b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900\r\n\r\n{"],
    ids=["headers", "body"],
)
def test_hundreds_of_half_sent_requests_keep_nobody_out(begun: bytes) -> None:
    limits = Limits(header_seconds=30, body_seconds=30, connections=200)
    with parrot("Good", " day") as llm, serving(llm, limits=limits) as url, contextlib.ExitStack() as open_sockets:
        for _ in range(300):
            open_sockets.enter_context(connection(url)).sendall(begun)
        times = []
        for _ in range(5):
            start = time.monotonic()
            assert httpx2.get(f"{url}/health").status_code == 200
            times.append(time.monotonic() - start)
        assert min(times) < 0.2  # seconds; none waits for the others' time limit


def test_an_answer_under_way_is_not_given_up_for_a_newcomer() -> None:
    stage = Stage()
    ending = Chunk(" it.", finish_reason="stop", usage=Usage(1, 0, 2))
    stage.answers = [[Chunk("So"), WAIT, ending] for _ in range(3)]
    body = b'{"messages": [{"role": "user", "content": "Hi"}], "stream": true}'
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    limits = Limits(header_seconds=30, connections=3)
    with playing(stage, limits=limits) as url, contextlib.ExitStack() as stack:
        answered = [stack.enter_context(connection(url)) for _ in range(3)]
        for each in answered:
            each.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert each.recv(12) == b"HTTP/1.1 200"
        refused = stack.enter_context(connection(url))
        with contextlib.suppress(ConnectionError):
            refused.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert said_until_closed(refused) == b""
        stage.go.set()
        for each in answered:
            heard = b""
            while b"[DONE]" not in heard:
                heard += each.recv(65536)
            assert b" it." in heard
