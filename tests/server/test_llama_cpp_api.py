"""llama.cpp's own endpoints, as editors' plug-ins call them."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from live import Serve, ask, serving
from parrot import parrot

MARKS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>")


@pytest.fixture
def good(says: Serve) -> str:
    return says("Good", " day", "!!")


def events(url: str, path: str, **body: Any) -> list[Any]:
    text = httpx2.post(f"{url}{path}", json={**body, "stream": True}, timeout=60).text
    return [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]


def test_a_text_is_continued(good: str) -> None:
    whole = ask(good, "/completion", prompt="Hello", n_predict=20, temperature=0, return_tokens=True)
    assert (whole["content"], whole["stop"], whole["stop_type"], whole["prompt"]) == (
        "Good day!!",
        True,
        "eos",
        "Hello",
    )
    assert (whole["tokens_predicted"], len(whole["tokens"])) == (3, 3)
    assert whole["timings"]["predicted_n"] == 3
    assert whole["timings"]["prompt_ms"] > 0
    *pieces, last = events(good, "/completion", prompt="Hello")
    assert "".join(piece["content"] for piece in pieces) == "Good day!!"
    assert (last["content"], last["stop"], last["stop_type"]) == ("", True, "eos")


def test_what_ends_it_is_told(good: str) -> None:
    assert ask(good, "/completion", prompt="Hello", n_predict=2)["stop_type"] == "limit"
    word = ask(good, "/completion", prompt="Hello", stop=[" day"], n_predict=-1)
    assert (word["content"], word["stop_type"], word["stopping_word"]) == ("Good", "word", " day")


def test_prompts_may_be_tokens_and_texts_mixed(good: str) -> None:
    ids = ask(good, "/tokenize", content="Hel")["tokens"]
    assert ask(good, "/completion", prompt=[*ids, "lo"])["prompt"] == "Hello"
    refused = httpx2.post(f"{good}/completion", json={"prompt": [[1, 2], [3]]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "prompt")


def test_a_grammar_and_a_schema_bind_it(good: str) -> None:
    said = ask(good, "/completion", prompt="x", grammar='root ::= "a" [0-9]', n_predict=9, temperature=1)
    assert (said["content"][0], said["content"][1:].isdecimal()) == ("a", True)
    flag = ask(good, "/completion", prompt="x", json_schema={"type": "boolean"}, n_predict=9, temperature=1)
    assert isinstance(json.loads(flag["content"]), bool)


def test_probabilities_of_tokens(good: str) -> None:
    said = ask(good, "/completion", prompt="Hello", n_probs=2, temperature=0)
    assert [entry["token"] for entry in said["completion_probabilities"]] == ["Good", " day", "!!"]
    assert len(said["completion_probabilities"][0]["top_logprobs"]) == 2


def test_a_gap_is_filled_with_what_else_the_project_has() -> None:
    with parrot("x =", " 1", marks=MARKS) as llm, serving(llm) as url:
        extra = [{"filename": "a.py", "text": "A = 2\n"}]
        said = ask(url, "/infill", input_prefix="def f():\n", input_suffix="\n", input_extra=extra, prompt="  ")
        assert said["content"] == "x = 1"
        assert said["prompt"] == (
            "<|repo_name|>project\n<|file_sep|>a.py\nA = 2\n<|file_sep|>filename\n"
            "<|fim_prefix|>def f():\n<|fim_suffix|>\n<|fim_middle|>  "
        )
        *pieces, last = events(url, "/infill", input_prefix="a", input_suffix="b")
        assert "".join(piece["content"] for piece in pieces) == "x = 1"
        assert last["stop"] is True
        long = ask(url, "/infill", input_prefix="p" * 3000, input_suffix="s" * 3000, input_extra=extra, n_predict=24)
        prefix, _, suffix = long["prompt"].removesuffix("<|fim_middle|>").partition("<|fim_suffix|>")
        assert prefix == "<|fim_prefix|>" + "p" * 747  # three quarters of what 1,000 tokens leave
        assert suffix == "s" * 250


def test_a_model_without_the_tokens_for_gaps_says_so(good: str) -> None:
    refused = httpx2.post(f"{good}/infill", json={"input_prefix": "a", "input_suffix": "b"})
    assert (refused.status_code, "cannot fill gaps" in refused.json()["error"]["message"]) == (400, True)
