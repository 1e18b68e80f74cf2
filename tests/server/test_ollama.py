"""Ollama's own client and bare requests, as tools send them that speak nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import ollama
import pytest
from live import Serve
from stage import Stage, playing

from inhouse.engine import Chunk, ToolCall, Usage

HELLO = [{"role": "user", "content": "Hello"}]
TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "", "parameters": {"type": "object", "properties": {}}},
}


Connect = Callable[[str], ollama.Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(ollama.Client(url))


@pytest.fixture
def good(says: Serve) -> str:
    return says("Good", " day", "!!")


def test_chat_whole_and_as_lines(good: str, connect: Connect) -> None:
    client = connect(good)
    whole = client.chat("tiny", HELLO, options={"temperature": 0, "num_predict": 20})
    assert (whole.message.content, whole.done, whole.done_reason) == ("Good day!!", True, "stop")
    assert whole.eval_count == 3
    assert whole.prompt_eval_count
    assert (whole.total_duration or 0) >= (whole.prompt_eval_duration or 0) > 0
    pieces = list(client.chat("tiny:latest", HELLO, stream=True))
    assert "".join(piece.message.content or "" for piece in pieces) == "Good day!!"
    assert [piece.done for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_a_limit_ends_the_answer_and_a_stop_string_too(good: str, connect: Connect) -> None:
    client = connect(good)
    assert client.chat("tiny", HELLO, options={"num_predict": 1}).done_reason == "length"
    assert client.chat("tiny", HELLO, options={"num_predict": -1, "stop": [" day"]}).message.content == "Good"


def test_generate_streams_lines_by_itself(good: str, connect: Connect) -> None:
    answer = httpx2.post(f"{good}/api/generate", json={"model": "tiny", "prompt": "Hello"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(line["response"] for line in lines) == "Good day!!"
    assert lines[-1]["done"] is True
    raw = connect(good).generate("tiny", "Hel", raw=True, options={"temperature": 0})
    assert raw.response == "Good day!!"


def test_who_asks_nothing_has_the_model_loaded(good: str, connect: Connect) -> None:
    assert connect(good).generate("tiny").done_reason == "load"
    empty = httpx2.post(f"{good}/api/chat", json={"model": "tiny", "messages": []}).json()
    assert (empty["done"], empty["done_reason"], empty["message"]["content"]) == (True, "load", "")


def test_a_schema_binds_the_answer(says: Serve, connect: Connect) -> None:
    url = says('{"a": 1}')
    schema = {
        "type": "object",
        "properties": {"b": {"type": "boolean"}},
        "required": ["b"],
        "additionalProperties": False,
    }
    said = connect(url).chat("tiny", HELLO, format=schema, options={"temperature": 1, "seed": 3})
    assert isinstance(json.loads(said.message.content or "")["b"], bool)
    refused = httpx2.post(f"{url}/api/chat", json={"messages": HELLO, "format": "yaml"})
    assert (refused.status_code, "format" in refused.json()["error"]) == (400, True)


def test_tools_thinking_and_their_history(connect: Connect) -> None:
    stage = Stage()
    call = ToolCall("call_x", "look", '{"at": 1}')
    stage.answers = [
        [
            Chunk(reasoning="Hm."),
            Chunk("So.", tool_calls=(call,)),
            Chunk(finish_reason="tool_calls", usage=Usage(5, 0, 4)),
        ]
    ] * 2
    with playing(stage) as url:
        client = connect(url)
        said = client.chat("tiny", HELLO, tools=[TOOL], think=True)
        assert (said.message.thinking, said.message.content) == ("Hm.", "So.")
        (made,) = said.message.tool_calls or ()
        assert (made.function.name, made.function.arguments) == ("look", {"at": 1})
        history: list[Any] = [*HELLO, said.message, {"role": "tool", "content": "a house", "tool_name": "look"}]
        list(client.chat("tiny", history, tools=[TOOL], stream=True))
    messages, _ = stage.asked[-1]
    assert messages[1]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": 1}'}
    assert messages[2]["tool_call_id"] == messages[1]["tool_calls"][0]["id"]
    assert (messages[1]["reasoning_content"], messages[2]["content"]) == ("Hm.", "a house")


def test_what_the_server_says_of_its_model(good: str, connect: Connect) -> None:
    client = connect(good)
    (listed,) = client.list().models
    assert listed.model == "tiny:latest"
    (loaded,) = client.ps().models
    assert loaded.model == "tiny:latest"
    shown = client.show("tiny:latest")
    assert "completion" in (shown.capabilities or ())
    architecture = (shown.modelinfo or {})["general.architecture"]
    assert (shown.modelinfo or {})[f"{architecture}.context_length"] > 0
    assert httpx2.get(f"{good}/api/version").json()["version"].count(".") == 2


def test_errors_are_in_its_shape_and_name_the_way_out(good: str, connect: Connect) -> None:
    pull = httpx2.post(f"{good}/api/pull", json={"model": "llama3"})
    assert (pull.status_code, "inhouse pull" in pull.json()["error"]) == (501, True)
    picture = [{"role": "user", "content": "What is this?", "images": ["aGk="]}]
    seen = httpx2.post(f"{good}/api/chat", json={"messages": picture})
    assert (seen.status_code, seen.json()["error"]) == (400, "messages[0].images: this model reads text only")
    wrong = httpx2.post(f"{good}/api/chat", json={"messages": HELLO, "options": {"temperature": "hot"}})
    assert (wrong.status_code, "options.temperature" in wrong.json()["error"]) == (400, True)
    with pytest.raises(ollama.ResponseError, match="maximum context length"):
        connect(good).chat("tiny", [{"role": "user", "content": "word " * 20000}])
