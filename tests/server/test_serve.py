"""`inhouse serve` as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openai
import pytest
from live import Client


@contextmanager
def process(home: Path, *args: object) -> Iterator[subprocess.Popen[str]]:
    """`python -m inhouse serve ARGS`, killed in the end if need be."""
    command = [sys.executable, "-m", "inhouse", "serve", "--port", "0", *map(str, args)]
    environment = {**os.environ, "INHOUSE_HOME": str(home)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.kill()


def url_of(server: subprocess.Popen[str]) -> str:
    """Where it says that it listens."""
    assert server.stderr is not None
    for line in server.stderr:
        if found := re.search(r"(http://\S+)/v1", line):
            return found[1]
    raise AssertionError("the server ended without a word")


def test_serves_a_file_until_it_is_told_to_end(tiny_file: Path, tmp_path: Path, client: Client) -> None:
    with process(tmp_path, tiny_file, "--threads", 1) as server:
        url = url_of(server)
        answer = client(url).chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "Hi"}], max_tokens=3
        )
        assert answer.usage is not None
        assert answer.usage.completion_tokens == 3
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0


def test_finishes_the_answers_under_way(tiny_file: Path, tmp_path: Path, client: Client) -> None:
    with process(tmp_path, tiny_file, "--threads", 1) as server:
        stream = client(url_of(server)).chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "Hi"}], max_tokens=60, stream=True, temperature=0
        )
        next(stream)
        server.send_signal(signal.SIGTERM)
        assert [c.choices[0].finish_reason for c in stream][-1] in ("length", "stop")
        assert server.wait(timeout=30) == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--host", "0.0.0.0"], "inhouse key add"),
        (["--require-key"], "inhouse key add"),
        (["--tls-cert", "cert.pem"], "--tls-key"),
    ],
)
def test_refuses_to_be_open_to_all(tiny_file: Path, tmp_path: Path, args: list[str], said: str) -> None:
    with process(tmp_path, tiny_file, *args) as server:
        _, told = server.communicate(timeout=30)
        assert server.returncode == 1
        assert said in told


def test_what_is_wrong_is_said_before_a_model_is_loaded(tiny_file: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "cert.pem").write_text("no certificate")
        cert = str(tmp_path / "cert.pem")
        for args, said in (
            (["--port", str(port)], f"--port {port}: another program listens there already"),
            (["--port", "70000"], "--port 70000: give a number from 0 to 65535"),
            (["--host", "no.such.host.invalid", "--require-key"], "no.such.host.invalid"),
            (["--tls-cert", cert, "--tls-key", cert], "not a certificate and its key"),
            (["--tls-cert", cert, "--tls-key", f"{cert}.key"], "cert.pem.key: no such file"),
            (["--context", "99999999"], "--context 99999999: this model allows 1 to"),
            (["--background-share", "2"], "background_share = 2.0"),
        ):
            with process(tmp_path, tiny_file, *args) as server:
                _, told = server.communicate(timeout=30)
            assert (server.returncode, said in told, len(told.splitlines())) == (1, True, 1), told
    assert not (tmp_path / "packed").exists()


def test_says_that_there_is_no_model(tmp_path: Path) -> None:
    with process(tmp_path) as server:
        _, told = server.communicate(timeout=30)
        assert server.returncode == 1
        assert "inhouse pull" in told


def test_tells_clients_to_come_later(tiny_file: Path, tmp_path: Path, client: Client) -> None:
    with process(tmp_path, tiny_file, "--threads", 1, "--queue", 1) as server:
        url = url_of(server)
        body = {"model": "tiny", "prompt": "x", "max_tokens": 4000, "stream": True, "extra_body": {"ignore_eos": True}}
        first = client(url).completions.create(**body)
        next(first)
        with pytest.raises(openai.RateLimitError) as caught:
            client(url).completions.create(**body)
        assert int(caught.value.response.headers["retry-after"]) >= 1
        first.close()
        patient = client(url, max_retries=5)
        assert patient.completions.create(model="tiny", prompt="x", max_tokens=2).choices[0].finish_reason == "length"
