"""Ways to a server besides the APIs' own: other paths and methods, packed bodies, and what clients ask of a model."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import httpx2
import pytest
from live import Serve, ask

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def good(says: Serve) -> str:
    return says("Good", " day", "!!")


def test_the_same_without_the_version(good: str) -> None:
    assert ask(good, "/chat/completions", messages=HELLO)["choices"][0]["message"]["content"] == "Good day!!"
    assert ask(good, "/completions", prompt="Hello")["choices"][0]["text"] == "Good day!!"
    assert ask(good, "/messages", messages=HELLO, max_tokens=9)["content"][0]["text"] == "Good day!!"
    made = ask(good, "/responses", input="Hello")
    assert httpx2.get(f"{good}/responses/{made['id']}").json()["id"] == made["id"]
    assert httpx2.get(f"{good}/models").json()["data"][0]["id"] == "tiny"
    refused = httpx2.post(f"{good}/messages", json={"messages": []})
    assert refused.json()["type"] == "error"  # in the shape of its API


def test_head_is_get_without_a_body(good: str) -> None:
    for path in ("/health", "/v1/models", "/models/tiny"):
        head = httpx2.head(f"{good}{path}")
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == len(httpx2.get(f"{good}{path}").content)
    assert httpx2.head(f"{good}/nowhere").status_code == 404


def test_every_answer_has_an_id_the_clients_own_where_it_gave_one(good: str) -> None:
    first, second = (httpx2.get(f"{good}/health").headers for _ in range(2))
    assert first["x-request-id"] == first["request-id"] != second["x-request-id"]
    assert httpx2.get(f"{good}/nowhere").headers["x-request-id"]
    own = httpx2.get(f"{good}/health", headers={"X-Request-Id": "mine-1"})
    assert own.headers["x-request-id"] == "mine-1"
    forged = httpx2.get(f"{good}/health", headers={"X-Request-Id": "a b"})
    assert forged.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_packed_bodies_are_unpacked(good: str, encoding: str, pack: Any) -> None:
    body = pack(json.dumps({"messages": HELLO}).encode())
    headers = {"content-encoding": encoding, "content-type": "application/json"}
    answer = httpx2.post(f"{good}/v1/chat/completions", content=body, headers=headers)
    assert answer.json()["choices"][0]["message"]["content"] == "Good day!!"
    cut = httpx2.post(f"{good}/v1/chat/completions", content=body[:-9], headers=headers)
    assert cut.status_code == 400
    assert encoding in cut.json()["error"]["message"]


def test_a_packed_body_may_not_be_larger_than_a_plain_one(good: str) -> None:
    bomb = gzip.compress(b" " * (200 << 20))
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = httpx2.post(f"{good}/v1/chat/completions", content=bomb, headers=headers, timeout=60)
    assert answer.status_code == 413
    other = httpx2.post(f"{good}/v1/chat/completions", content=b"x", headers={"content-encoding": "zstd"})
    assert other.status_code == 415


def test_tokens_of_texts(good: str) -> None:
    made = ask(good, "/tokenize", content="Hé!")
    assert made["count"] == len(made["tokens"]) == 4  # this model's tokens are bytes
    assert ask(good, "/detokenize", tokens=made["tokens"])["content"] == "Hé!"
    assert ask(good, "/tokenize", prompt="Hé!")["tokens"] == made["tokens"]
    pieces = ask(good, "/tokenize", content="Hi", with_pieces=True)["tokens"]
    assert [piece["piece"] for piece in pieces] == ["H", "i"]
    wrong = httpx2.post(f"{good}/detokenize", json={"tokens": [10**6]})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "tokens")


def test_a_conversation_as_a_prompt(good: str) -> None:
    prompt = ask(good, "/apply-template", messages=HELLO)["prompt"]
    assert prompt == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    tokens = ask(good, "/tokenize", content=prompt)["count"]
    assert ask(good, "/v1/responses/input_tokens", input="Hello")["input_tokens"] == tokens


def test_what_a_server_is(good: str) -> None:
    props = httpx2.get(f"{good}/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 1024
    slots = httpx2.get(f"{good}/slots").json()
    assert len(slots) == props["total_slots"]
    assert not any(slot["is_processing"] for slot in slots)
    first, second = (ask(good, "/v1/chat/completions", messages=HELLO)["system_fingerprint"] for _ in range(2))
    assert first == second
