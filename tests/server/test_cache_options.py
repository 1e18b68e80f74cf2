"""What a server remembers, for how long, and where that is to be seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
from asking import ASKERS, Question
from test_serve import process, url_of
from test_status import figures

LONG = Question([("user", "word " * 200)], system="Be brief. " * 20, max_tokens=4)


def cache(home: Path, *args: str) -> Any:
    """What `inhouse cache ARGS --json` says."""
    command = [sys.executable, "-m", "inhouse", "cache", *args, "--json"]
    return json.loads(subprocess.check_output(command, env={**os.environ, "INHOUSE_HOME": str(home)}))


def cached_after_start(home: Path, model: Path, *args: object) -> tuple[int, int]:
    """Serves a model, asks twice and ends the server: tokens known to the first and to the second request."""
    with process(home, model, "--threads", 1, *args) as server:
        url = url_of(server)
        first, second = (ASKERS["chat"](url, LONG) for _ in range(2))
        assert first.text == second.text
        assert figures(url)["inhouse_engine_cache_cached_tokens tiny"] == first.cached_tokens + second.cached_tokens
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=30) == 0
    return first.cached_tokens, second.cached_tokens


def test_it_outlives_the_server_until_it_is_cleared(tiny_file: Path, tmp_path: Path) -> None:
    first, second = cached_after_start(tmp_path, tiny_file)
    assert first == 0
    assert second > 200
    (entry,) = cache(tmp_path, "ls")["models"]
    assert entry["files"] > 0
    assert cached_after_start(tmp_path, tiny_file)[0] >= second
    assert cache(tmp_path, "clear", "--yes")["freed_bytes"] > 0
    assert cache(tmp_path, "ls")["models"] == []
    assert cached_after_start(tmp_path, tiny_file)[0] == 0


def test_without_a_disk_it_ends_with_the_server(tiny_file: Path, tmp_path: Path) -> None:
    for _ in range(2):
        first, second = cached_after_start(tmp_path, tiny_file, "--cache-disk", 0)
        assert first == 0
        assert second > 200
    assert cache(tmp_path, "ls")["models"] == []


def test_without_memory_there_is_none(tiny_file: Path, tmp_path: Path) -> None:
    assert cached_after_start(tmp_path, tiny_file, "--cache-memory", 0, "--cache-disk", 0) == (0, 0)


def test_it_keeps_within_its_size(tiny_file: Path, tmp_path: Path) -> None:
    size = 0.002  # GiB
    with process(tmp_path, tiny_file, "--threads", 1, "--cache-memory", size, "--cache-disk", size) as server:
        url = url_of(server)
        for number in range(12):
            ASKERS["chat"](url, Question([("user", f"{number} " * 400)], max_tokens=2))
        told = httpx2.get(f"{url}/stats").json()["engine"]["cache"]
        assert told["memory_budget"] == told["disk_budget"] == int(size * (1 << 30))
        assert 0 < told["memory_bytes"] <= told["memory_budget"]
        assert told["evictions"] > 0
    for entry in cache(tmp_path, "ls")["models"]:
        assert entry["bytes"] <= size * (1 << 30)


@pytest.mark.parametrize("name", ASKERS)
def test_every_api_tells_what_was_known(tiny: str, name: str) -> None:
    question = Question([("user", f"{name} {name} {name}")], system="Be brief. " * 20, max_tokens=4)
    first, second = (ASKERS[name](tiny, question) for _ in range(2))
    assert second.cached_tokens >= second.prompt_tokens - 16
    assert second.prompt_tokens == first.prompt_tokens


def test_plain_continuations_tell_it_too(tiny: str) -> None:
    body = {"prompt": "Once upon a time " * 20, "max_tokens": 2, "temperature": 0}
    for known in (False, True):
        usage = httpx2.post(f"{tiny}/v1/completions", json=body).json()["usage"]
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        assert cached == (usage["prompt_tokens"] - 1 if known else 0)
