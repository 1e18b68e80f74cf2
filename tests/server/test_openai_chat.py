"""OpenAI's chat completions, as its SDK sees them, against a live server."""

from __future__ import annotations

import json

import openai
import pytest
from live import Client, Serve

HELLO = [{"role": "user", "content": "Hello"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_answers(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).chat.completions.create(model="tiny", messages=HELLO)
    assert answer.choices[0].message.content == "Good day!!"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "tiny"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 3
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 3


def test_streams(says: Serve, client: Client) -> None:
    stream = client(says("Good", " day", "!!")).chat.completions.create(
        model="tiny", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert [c.choices[0].delta.content for c in chunks if c.choices and c.choices[0].delta.content] == [
        "Good", " day", "!!",
    ]  # fmt: skip
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3
    assert len({c.id for c in chunks}) == 1


def test_a_second_turn_reports_what_it_did_not_read_again(tiny: str, client: Client) -> None:
    talk = [{"role": "user", "content": "a long question, longer than most " * 10}]
    options = {"model": "tiny", "max_tokens": 4, "temperature": 0}
    first = client(tiny).chat.completions.create(messages=talk, **options)
    talk += [{"role": "assistant", "content": first.choices[0].message.content}, {"role": "user", "content": "more"}]
    second = client(tiny).chat.completions.create(messages=talk, **options)
    assert second.usage is not None
    assert second.usage.prompt_tokens_details is not None
    assert first.usage is not None
    assert second.usage.prompt_tokens_details.cached_tokens >= first.usage.prompt_tokens * 0.9


def test_calls_a_tool(says: Serve, client: Client) -> None:
    url = says("Let me see. ", '<tool_call>\n{"name": "weather", "arguments"', ': {"city": "Rome"}}\n</tool_call>')
    answer = client(url).chat.completions.create(model="tiny", messages=HELLO, tools=[WEATHER])
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.choices[0].message.content == "Let me see."
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert [call.function.name for call in calls] == ["weather"]
    assert json.loads(calls[0].function.arguments) == {"city": "Rome"}


def test_reports_what_is_wrong(tiny: str, client: Client) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client(tiny).chat.completions.create(model="tiny", messages=HELLO, temperature="warm")  # type: ignore[arg-type]
    assert caught.value.param == "temperature"
    assert caught.value.type == "invalid_request_error"


def test_lists_its_model(tiny: str, client: Client) -> None:
    assert [model.id for model in client(tiny).models.list()] == ["tiny"]
    assert client(tiny).models.retrieve("tiny").owned_by == "inhouse"
    with pytest.raises(openai.NotFoundError):
        client(tiny).models.retrieve("gpt-7")
