"""The scripted client: what an agent's tests rely on."""

from __future__ import annotations

import pytest

from inhouse.client.scripted import ScriptedClient
from inhouse.client.types import Answer, ChatRequest, Message, ToolCall, Usage, complete

ASK = ChatRequest([Message("user", "What now?")])


def test_answers_come_in_order_and_requests_are_recorded() -> None:
    client = ScriptedClient(["one\ntwo", lambda request: request.messages[0].content.upper()])
    assert complete(client, ASK).message.content == "one\ntwo"
    assert client.remaining == 1
    other = ChatRequest([Message("user", "and then?")])
    assert complete(client, other).message.content == "AND THEN?"
    assert client.requests == [ASK, other]


def test_a_whole_answer_streams_in_parts_and_comes_back_whole() -> None:
    call = ToolCall("call_0", "look", "{}")
    answer = Answer(Message("assistant", "a\nb", "hm\nso", (call,)), "tool_calls", Usage(10, 4, 6))
    client = ScriptedClient([answer, answer])
    assert complete(client, ASK) == answer
    deltas = list(client.stream(ASK))
    assert [delta.content for delta in deltas if delta.content] == ["a\n", "b"]
    assert [delta.finish for delta in deltas if delta.finish] == ["tool_calls"]


def test_prefill_is_not_part_of_what_is_streamed() -> None:
    answer = complete(ScriptedClient(["def f():"]), ChatRequest(ASK.messages, prefill="```python\n"))
    assert answer.message.content == "```python\ndef f():"


def test_an_exhausted_script_says_so() -> None:
    client = ScriptedClient(["only"])
    complete(client, ASK)
    with pytest.raises(AssertionError, match=r"all 1 scripted answers .*What now\?"):
        client.stream(ASK)
