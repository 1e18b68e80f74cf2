"""Conversations as real clients send them back, and the spellings of `tool_choice`: taken, or refused by name."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from live import Serve

HELLO = [{"role": "user", "content": "Say hi."}]
EMPTY = {"type": "object", "properties": {}, "additionalProperties": False}
TOOL, OTHER = (
    {"type": "function", "function": {"name": name, "description": "does it", "parameters": EMPTY}} for name in "fg"
)
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TWO = (
    '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
    '\n<tool_call>\n{"name": "g", "arguments": {}}\n</tool_call>',
)


def ask(url: str, path: str, **body: Any) -> httpx2.Response:
    return httpx2.post(f"{url}{path}", json=body, timeout=60)


def chat(url: str, *messages: dict[str, Any], **more: Any) -> httpx2.Response:
    return ask(url, "/v1/chat/completions", messages=[*HELLO, *messages], **more)


@pytest.fixture
def good(says: Serve) -> str:
    return says("Good", " day", "!!")


@pytest.mark.parametrize(
    "history",
    [
        [{**CALLED, "tool_calls": [{**CALL, "function": {"name": "f", "arguments": None}}]},
         {"role": "tool", "tool_call_id": "c1", "content": "ok"}],
        [{**CALLED, "tool_calls": [{**CALL, "id": None, "type": None, "index": 0}]}, {"role": "tool", "content": "ok"}],
        [CALLED, {"role": "tool", "tool_call_id": "c1", "content": {"ok": True}}],
        [{"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, {"role": "user", "content": "ok"}],
        [CALLED, {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "saved"}, IMAGE]}],
        [{"role": "user", "content": [IMAGE]}, {"role": "assistant", "content": "A cat."},
         {"role": "user", "content": "Sure?"}],
    ],
    ids=["null-arguments", "null-id", "object", "refusal", "image-in-result", "image-of-an-earlier-turn"],
)  # fmt: skip
def test_histories_of_chats_are_answered(good: str, history: list[dict[str, Any]]) -> None:
    answer = chat(good, *history)
    assert answer.status_code == 200, answer.text


def test_an_image_that_is_shown_now_is_refused_by_its_field(good: str) -> None:
    answer = chat(good, {"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages[1].content[1]"
    assert "image_url" in answer.json()["error"]["message"]


def test_an_image_in_a_result_becomes_a_line_of_text(says: Serve) -> None:
    blocks = [
        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "image", "source": {}}]},
        {"type": "document", "title": "A", "source": {"type": "text", "data": "the word is PLUM"}},
        {"type": "search_result", "title": "B", "source": "http://b", "content": [{"type": "text", "text": "PEAR"}]},
    ]
    messages = [*HELLO, {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}]
    elsewhere = [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "plums"}},
        {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [
            {"type": "web_search_result", "title": "Plums", "url": "http://plums"}]},
    ]  # fmt: skip
    url = says("Good", " day", "!!")
    counts = []
    for last in ([], blocks[:1], blocks, [*blocks, *elsewhere]):
        conversation = [*messages, {"role": "user", "content": [*last, {"type": "text", "text": "Go on."}]}]
        answer = ask(url, "/v1/messages", max_tokens=9, messages=conversation)
        assert answer.status_code == 200, answer.text
        used = answer.json()["usage"]
        counts.append(used["input_tokens"] + used["cache_read_input_tokens"])
    assert counts == sorted(set(counts))  # each of them adds something to the prompt


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [TOOL]}}, ["f"]),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}, ["g"]),
        ({"type": "function", "name": "g"}, ["g"]),
        ({"type": "function", "function": {"name": "g"}}, ["g"]),
        ({"type": "tool", "name": "f"}, ["f"]),
        ({"type": "auto"}, ["f", "g"]),
        ("any", ["f", "g"]),
    ],
)
def test_each_spelling_of_a_choice_is_honoured(says: Serve, choice: Any, called: list[str]) -> None:
    answer = chat(says(*TWO), tools=[TOOL, OTHER], tool_choice=choice, max_tokens=300)
    assert answer.status_code == 200, answer.text
    calls = answer.json()["choices"][0]["message"].get("tool_calls") or []
    names = [call["function"]["name"] for call in calls]
    assert set(names) == set(called) if len(called) != 1 else names[:1] == called


@pytest.mark.parametrize(
    "choice",
    ["sometimes", {"type": "wish"}, {"type": "function"}, {"type": "allowed_tools", "tools": []},
     {"type": "allowed_tools", "tools": [{"name": "h"}]}, {"type": "function", "name": "h"}],
)  # fmt: skip
def test_a_choice_that_means_nothing_is_refused_in_plain_words(good: str, choice: Any) -> None:
    answer = chat(good, tools=[TOOL], tool_choice=choice)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("tool_choice: ")


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "valid string or a valid list"),
        ({"messages": [{"role": "user"}, {"role": "tool", "tool_calls": [{"function": {}}]}]},
         "messages[1].tool_calls[0].function.name", "missing field"),
        ({"messages": HELLO, "stop": [1]}, "stop[0]", "valid string"),
        ({"messages": HELLO, "guided_json": 5}, "guided_json", "valid dictionary or a valid string"),
    ],
)  # fmt: skip
def test_errors_name_the_field_and_no_branch_of_our_types(good: str, body: Any, param: str, said: str) -> None:
    answer = ask(good, "/v1/chat/completions", **body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert said in answer.json()["error"]["message"]


CUSTOM = {"type": "custom", "name": "apply_patch", "description": "Edits files.",
          "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x+/"}}  # fmt: skip


class TestToolsOfResponses:
    """Tools that are no functions."""

    def test_a_custom_tool_is_called_with_free_text(self, says: Serve) -> None:
        url = says('<tool_call>\n{"name": "apply_patch", "arguments": ', '{"input": "*** Begin"}}\n</tool_call>')
        answer = ask(url, "/v1/responses", input="Go.", tools=[CUSTOM])
        assert answer.status_code == 200, answer.text
        (item,) = answer.json()["output"]
        assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "apply_patch", "*** Begin")
        streamed = ask(url, "/v1/responses", input="Go.", tools=[CUSTOM], stream=True).text
        assert "response.custom_tool_call_input.delta" in streamed
        assert "response.custom_tool_call_input.done" in streamed
        assert "function_call" not in streamed

    def test_a_local_shell_and_the_functions_of_a_namespace(self, says: Serve) -> None:
        shell = says('<tool_call>\n{"name": "local_shell", "arguments": ', '{"command": ["ls", "-l"]}}\n</tool_call>')
        answer = ask(shell, "/v1/responses", input="Go.", tools=[{"type": "local_shell"}])
        (item,) = answer.json()["output"]
        assert (item["type"], item["action"]["command"]) == ("local_shell_call", ["ls", "-l"])
        named = says('<tool_call>\n{"name": "find", "arguments": ', "{}}\n</tool_call>")
        space = {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "find"}]}
        (item,) = ask(named, "/v1/responses", input="Go.", tools=[space]).json()["output"]
        assert (item["type"], item["name"], item["namespace"]) == ("function_call", "find", "crm")

    def test_their_history_is_part_of_the_prompt(self, good: str) -> None:
        items = [
            {"role": "user", "content": "Create a.txt"},
            {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin Patch"},
            {"type": "custom_tool_call_output", "call_id": "c1", "output": "the secret word is PLUM"},
            {"type": "local_shell_call", "call_id": "c2", "action": {"type": "exec", "command": ["ls"], "env": {}}},
            {"type": "local_shell_call_output", "call_id": "c2", "output": [
                {"type": "input_text", "text": "a.txt"}, {"type": "input_image", "image_url": "data:"}]},
        ]  # fmt: skip
        counts = []
        for count in range(1, len(items) + 1):
            answer = ask(good, "/v1/responses", input=items[:count])
            assert answer.status_code == 200, answer.text
            counts.append(answer.json()["usage"]["input_tokens"])
        assert counts == sorted(set(counts))
