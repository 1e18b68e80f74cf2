"""OpenAI's responses API, as its SDK sees it."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from live import Client, Serve

WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": True,
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
THINKS = ("<think>", "Well, well", "</think>", "Good", " day")


def test_answers(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).responses.create(model="tiny", input="Hello", instructions="Be kind.")
    assert answer.output_text == "Good day!!"
    assert answer.status == "completed"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 3
    assert answer.usage.input_tokens_details.cached_tokens == 0


def test_streams(says: Serve, client: Client) -> None:
    with client(says("Good", " day", "!!")).responses.stream(model="tiny", input="Hello") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds[:4] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
    ]
    assert kinds.count("response.output_text.delta") == 3
    assert kinds[-1] == "response.completed"
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert final.output_text == "Good day!!"


def test_runs_out_of_tokens(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).responses.create(model="tiny", input="Hello", max_output_tokens=2)
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert answer.output_text == "Good day"


@pytest.mark.parametrize("stream", [False, True])
def test_calls_a_function(says: Serve, client: Client, stream: bool) -> None:
    api = client(says("Let me see. ", CALL)).responses
    if stream:
        with api.stream(model="tiny", input="Weather?", tools=[WEATHER]) as events:
            answer: Any = events.get_final_response()
    else:
        answer = api.create(model="tiny", input="Weather?", tools=[WEATHER])
    assert [item.type for item in answer.output] == ["message", "function_call"]
    call = answer.output[1]
    assert call.name == "weather"
    assert json.loads(call.arguments) == {"city": "Rome"}
    assert call.call_id


@pytest.mark.parametrize("stream", [False, True])
def test_shows_reasoning_as_an_item(says: Serve, client: Client, stream: bool) -> None:
    api = client(says(*THINKS)).responses
    if stream:
        with api.stream(model="tiny", input="Hello") as events:
            answer: Any = events.get_final_response()
    else:
        answer = api.create(model="tiny", input="Hello")
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    assert answer.output[0].content[0].text == "Well, well"
    assert answer.output_text == "Good day"
    assert answer.usage.output_tokens_details.reasoning_tokens > 0


def test_goes_on_from_an_earlier_response(tiny: str, client: Client) -> None:
    api = client(tiny).responses
    first = api.create(model="tiny", input="A rather long question about nothing. " * 8, max_output_tokens=4)
    second = api.create(model="tiny", input="More", previous_response_id=first.id, max_output_tokens=4)
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens + 4
    assert second.usage.input_tokens_details.cached_tokens >= 0.9 * first.usage.input_tokens
    assert second.previous_response_id == first.id


def test_goes_on_from_a_function_call(says: Serve, client: Client) -> None:
    api = client(says("Let me see. ", CALL)).responses
    first = api.create(model="tiny", input="Weather?", tools=[WEATHER])
    call: Any = first.output[1]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    second = api.create(model="tiny", input=[result], tools=[WEATHER], previous_response_id=first.id)
    again: Any = second.output[1]
    assert again.call_id != call.call_id


def test_the_same_items_sent_back_are_read_from_the_cache(tiny: str, client: Client) -> None:
    api = client(tiny).responses
    talk: Any = [{"role": "user", "content": [{"type": "input_text", "text": "Tell me a story, a long one. " * 9}]}]
    first = api.create(model="tiny", input=talk, max_output_tokens=4, temperature=0)
    talk += [item.to_dict() for item in first.output]
    talk += [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "rain"}]},
        {"type": "web_search_call", "id": "x"},
        {"role": "developer", "content": "Be brief."},
    ]
    second = api.create(model="tiny", input=talk, max_output_tokens=4)
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.input_tokens_details.cached_tokens >= 0.9 * first.usage.input_tokens


def test_forgets_on_demand(says: Serve, client: Client) -> None:
    api = client(says("Good", " day", "!!")).responses
    kept = api.create(model="tiny", input="Hello")
    assert api.retrieve(kept.id).output_text == "Good day!!"
    api.delete(kept.id)
    with pytest.raises(openai.NotFoundError):
        api.retrieve(kept.id)
    unkept = api.create(model="tiny", input="Hello", store=False)
    with pytest.raises(openai.BadRequestError) as caught:
        api.create(model="tiny", input="More", previous_response_id=unkept.id)
    assert caught.value.code == "previous_response_not_found"


def test_lists_what_a_response_was_an_answer_to(says: Serve, client: Client) -> None:
    api = client(says("Good", " day", "!!")).responses
    first = api.create(model="tiny", input="Hello")
    second = api.create(model="tiny", input=[{"role": "user", "content": "And?"}], previous_response_id=first.id)
    items: list[Any] = list(api.input_items.list(second.id, order="asc"))
    assert [item.role for item in items] == ["user", "assistant", "user"]
    assert items[0].content[0].text == "Hello"
    assert items[1].content[0].text == "Good day!!"
    page = api.input_items.list(second.id, limit=1)
    assert ([item.id for item in page.data], page.has_more) == ([items[2].id], True)
    assert [item.id for item in page.get_next_page().data] == [items[1].id]


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": 3}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "input[0].content[0]"),
        ({"tools": [{"type": "function", "name": ""}]}, "tools[0].name"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"reasoning": {"effort": "heroic"}}, "reasoning_effort"),
        ({"tool_choice": "required"}, "tool_choice"),
    ],
)
def test_says_what_is_wrong(says: Serve, client: Client, options: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client(says("Good", " day", "!!")).responses.create(**{"model": "tiny", "input": "Hello", **options})
    assert caught.value.param is not None
    assert caught.value.param.startswith(param)
