"""Streams at the socket: signs of life, and an end when nobody listens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from http.client import HTTPConnection

import httpx2
import pytest
from live import Serve
from stage import Stage, playing

from inhouse.engine import Chunk, Usage
from inhouse.engine.events import Progress, Queued

BODIES = {
    "/v1/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/v1/completions": lambda text: {"prompt": text, "max_tokens": 2000},
    "/v1/responses": lambda text: {"input": text},
    "/v1/messages": lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 2000},
}
LONG = "x" * 700
ENDLESS = [f"w{index} " for index in range(900)]  # a second's worth


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("path", BODIES)
def test_a_stream_is_events_and_comments(says: Serve, path: str) -> None:
    url = says("Good", " day", "!!")
    with httpx2.stream("POST", url + path, json={**BODIES[path](LONG), "stream": True}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        lines = list(answer.iter_lines())
    data = [json.loads(line[6:]) for line in lines if line.startswith("data: ") and line != "data: [DONE]"]
    assert data
    assert all(line == "" or line.startswith(("data: ", "event: ", ": inhouse ")) for line in lines)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_who_waits_is_told_its_place(path: str) -> None:
    stage = Stage()
    stage.answers = [[Queued(2), Queued(0), Progress(0, 40), Chunk("So.", finish_reason="stop", usage=Usage(40, 0, 1))]]
    with playing(stage) as url:
        answer = httpx2.post(url + path, json={**BODIES[path]("Hi"), "stream": True})
    lines = answer.text.splitlines()
    told = [json.loads(line[10:]) for line in lines if line.startswith(": inhouse ")]
    assert [each["queue"]["ahead"] for each in told if "queue" in each] == [2, 0]
    data = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
    prompts = [(each.get("inhouse") or {}).get("prompt") for each in (*told, *data)] + [
        each.get("prompt") for each in told
    ]
    assert {"done": 0, "total": 40} in prompts


def test_progress_is_told_while_a_prompt_is_read(says: Serve) -> None:
    url = says("Good", " day", "!!")
    with httpx2.stream(
        "POST", f"{url}/v1/chat/completions", json={**BODIES["/v1/chat/completions"](LONG), "stream": True}
    ) as answer:
        told = [json.loads(line[10:]) for line in answer.iter_lines() if line.startswith(": inhouse ")]
    assert told[0]["prompt"]["total"] > 700
    with httpx2.stream("POST", f"{url}/v1/messages", json={**BODIES["/v1/messages"](LONG), "stream": True}) as answer:
        data = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
    assert data[0]["type"] == "message_start"
    usage = data[0]["message"]["usage"]
    assert usage["input_tokens"] + usage["cache_read_input_tokens"] == told[0]["prompt"]["total"]
    assert data[1] == {"type": "ping", "inhouse": data[1]["inhouse"]}


def test_signs_of_life_come_while_nothing_else_does(says: Serve) -> None:
    url = says("<tool_call>\n", *(f'{{"{index}": ' for index in range(40)), keepalive_seconds=0.0)
    with httpx2.stream(
        "POST",
        f"{url}/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 30},
    ) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert len([line for line in lines if line.startswith(": inhouse")]) > 10


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("path", BODIES)
def test_an_answer_ends_when_nobody_listens(says: Serve, path: str, stream: bool) -> None:
    url = says(*ENDLESS)
    before = cancelled(url)
    body = {**BODIES[path]("Go"), "stream": stream}
    if stream:
        with httpx2.stream("POST", url + path, json=body) as answer:
            next(answer.iter_lines())
    else:
        asker = HTTPConnection(url.removeprefix("http://"))
        asker.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        assert eventually(lambda: running(url) > 0)
        asker.close()
    assert eventually(lambda: cancelled(url) == before + 1)
    assert eventually(lambda: running(url) == 0)


def cancelled(url: str) -> float:
    """Answers that ended because nobody listened."""
    lines = httpx2.get(f"{url}/metrics").text.splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith('inhouse_answers_total{reason="canc'))


def running(url: str) -> float:
    """Requests that the engine is busy with or that wait for it."""
    engine = httpx2.get(f"{url}/stats").json()["engine"]
    return sum(value for name, value in engine.items() if name.startswith(("active", "waiting")))
