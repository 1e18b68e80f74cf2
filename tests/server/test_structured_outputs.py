"""Every spelling of what an answer must look like binds it, or is refused by name."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from live import Serve

SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Oslo"]}, "people": {"type": "integer", "minimum": 0, "maximum": 99}},
    "required": ["city", "people"],
    "additionalProperties": False,
}
GBNF = 'root ::= item+ "." \nitem ::= "ab" | [0-9]{2}'
HELLO = [{"role": "user", "content": "Hello"}]
SPELLINGS: list[tuple[dict[str, Any], str]] = [
    ({"response_format": {"type": "json_object", "schema": SCHEMA}}, "schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}, "schema"),
    ({"response_format": {"type": "json_schema", "schema": SCHEMA}}, "schema"),
    ({"json_schema": SCHEMA}, "schema"),
    ({"guided_json": SCHEMA}, "schema"),
    ({"guided_json": json.dumps(SCHEMA)}, "schema"),
    ({"structured_outputs": {"json": SCHEMA}}, "schema"),
    ({"structured_outputs": {"json": SCHEMA}, "response_format": {"type": "text"}}, "schema"),
    ({"guided_choice": ['red "x"', "blue"]}, "choice"),
    ({"structured_outputs": {"choice": ['red "x"', "blue"]}}, "choice"),
    ({"guided_regex": "[xy]{2,4}"}, "regex"),
    ({"structured_outputs": {"regex": "[xy]{2,4}"}}, "regex"),
    ({"grammar": GBNF}, "grammar"),
    ({"guided_grammar": GBNF}, "grammar"),
    ({"guided_grammar": 'start: ("ab" | /[0-9][0-9]/)+ "."'}, "grammar"),
]


def ask(url: str, path: str, body: dict[str, Any]) -> httpx2.Response:
    return httpx2.post(f"{url}{path}", json=body, timeout=60)


def fits(text: str, kind: str) -> bool:
    if kind == "schema":
        value = json.loads(text)
        return set(value) == {"city", "people"} and value["city"] in ("Rome", "Oslo") and 0 <= value["people"] <= 99
    if kind == "choice":
        return text in ('red "x"', "blue")
    if kind == "regex":
        return set(text) <= {"x", "y"} and 2 <= len(text) <= 4
    return text.endswith(".") and set(text[:-1]) <= set("ab0123456789") and len(text) % 2 == 1


@pytest.mark.parametrize(("options", "kind"), SPELLINGS)
def test_each_spelling_binds_a_chat_and_a_continuation(tiny: str, options: dict[str, Any], kind: str) -> None:
    bounds = {"max_tokens": 900, "temperature": 0.7, "seed": 3}
    chat = ask(tiny, "/v1/chat/completions", {"messages": HELLO, **bounds, **options})
    assert chat.status_code == 200, chat.text
    choice = chat.json()["choices"][0]
    assert choice["finish_reason"] == "length" or fits(choice["message"]["content"], kind)
    plain = ask(tiny, "/v1/completions", {"prompt": "Hello", **bounds, **options})
    assert plain.status_code == 200, plain.text
    choice = plain.json()["choices"][0]
    assert choice["finish_reason"] == "length" or fits(choice["text"], kind)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"guided_json": SCHEMA, "guided_regex": "a"}, "guided_regex"),
        ({"guided_choice": []}, "guided_choice"),
        ({"guided_json": "{no json"}, "guided_json"),
        ({"guided_json": "[1]"}, "guided_json"),
        ({"grammar": "root ::= ("}, "grammar"),
        ({"structured_outputs": {"structural_tag": {}}}, "structured_outputs"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(says: Serve, options: dict[str, Any], param: str) -> None:
    answer = ask(says("Good", " day", "!!"), "/v1/chat/completions", {"messages": HELLO, **options})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)
    assert param in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": -1},
        {"model": None},
        {"stop": [f"<stop {number}>" for number in range(17)]},
        {"messages": [*HELLO, {"role": "assistant", "tool_calls": [
            {"id": None, "type": "function", "function": {"name": "f", "arguments": None}}]},
            {"role": "tool", "tool_call_id": None, "content": "x"}]},
    ],
)  # fmt: skip
def test_what_clients_send_and_means_nothing_is_taken(says: Serve, options: dict[str, Any]) -> None:
    answer = ask(says("Good", " day", "!!"), "/v1/chat/completions", {"messages": HELLO, **options})
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "Good day!!"


def test_a_bias_forbids_and_forces_tokens(says: Serve) -> None:
    url = says("Good", " day", "!!")
    ids = {name: ask(url, "/tokenize", {"content": name}).json()["tokens"][0] for name in ("!", "?")}
    for bias in ({str(ids["?"]): 100}, [[ids["?"], 100.0]]):
        answer = ask(url, "/v1/chat/completions", {"messages": HELLO, "max_tokens": 3, "logit_bias": bias})
        assert answer.json()["choices"][0]["message"]["content"] == "???"
    good = ask(url, "/v1/completions", {"prompt": "Hi", "max_tokens": 1})
    assert good.json()["choices"][0]["text"] == "Good"
    never = ask(url, "/v1/completions", {"prompt": "Hi", "max_tokens": 1, "logit_bias": [[259, False]]})
    assert never.json()["choices"][0]["text"] != "Good"


@pytest.mark.parametrize("bias", [{"x": 1}, {"99999999": 1}, [[1]], [[1, True]]])
def test_a_bias_that_means_nothing_is_refused(says: Serve, bias: Any) -> None:
    answer = ask(says("Good", " day", "!!"), "/v1/chat/completions", {"messages": HELLO, "logit_bias": bias})
    assert answer.status_code == 400
    assert "logit_bias" in answer.json()["error"]["message"]
