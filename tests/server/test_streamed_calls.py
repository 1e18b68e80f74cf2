"""The arguments of a call stream as they are written, in every API, and are the same as those of a whole answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import anthropic
import openai
import pytest
from live import serving
from parrot import TEMPLATE, parrot

HELLO: Any = [{"role": "user", "content": "Hello"}]
SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "text": {"type": "string"}, "times": {"type": "integer"}},
    "required": ["path", "text", "times"],
}
ARGUMENTS = {"path": "a.py", "text": 'say("hi")\n', "times": 3}
XML = (
    "<tool_call>\n<function=write>\n<parameter=path>\na.py\n</parameter>\n",
    '<parameter=text>\nsay("',
    'hi")\n\n</param',
    "eter>\n<parameter=times>\n3\n</parameter>\n</function>\n</tool_call>",
)
JSON = (
    '<tool_call>\n{"name": "write", "arguments": {"path": "a.py", ',
    '"text": "say(\\"hi',
    '\\")\\n", "times',
    '": 3}}\n</tool_call>',
)


@pytest.fixture(scope="module", params=["xml", "json"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    steps = XML if request.param == "xml" else JSON
    template = TEMPLATE + "{# <function= #}" if request.param == "xml" else TEMPLATE
    with ExitStack() as stack:
        yield stack.enter_context(serving(stack.enter_context(parrot("Look: ", *steps, template=template))))


def test_chat_completions(url: str) -> None:
    tools: Any = [{"type": "function", "function": {"name": "write", "parameters": SCHEMA}}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as api:
        whole = api.chat.completions.create(model="tiny", messages=HELLO, tools=tools)
        chunks = list(api.chat.completions.create(model="tiny", messages=HELLO, tools=tools, stream=True))
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert len(calls) > 3
    assert [call.index for call in calls] == [0] * len(calls)
    assert calls[0].id
    assert not any(call.id for call in calls[1:])
    assert json.loads("".join((call.function and call.function.arguments) or "" for call in calls)) == ARGUMENTS
    (call,) = whole.choices[0].message.tool_calls or ()
    assert json.loads(call.function.arguments) == ARGUMENTS  # type: ignore[union-attr]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_messages(url: str) -> None:
    tools: Any = [{"name": "write", "input_schema": SCHEMA}]
    with (
        anthropic.Anthropic(base_url=url, api_key="x", max_retries=0) as api,
        api.messages.stream(model="tiny", messages=HELLO, max_tokens=50, tools=tools) as stream,
    ):
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        message = stream.get_final_message()
    assert len(pieces) > 2
    assert json.loads("".join(pieces)) == ARGUMENTS
    (block,) = [block for block in message.content if block.type == "tool_use"]
    assert (block.name, block.input, message.stop_reason) == ("write", ARGUMENTS, "tool_use")


def test_responses(url: str) -> None:
    tools: Any = [{"type": "function", "name": "write", "parameters": SCHEMA, "strict": False}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as api:
        events = list(api.responses.create(model="tiny", input="Hello", tools=tools, stream=True))
    pieces = [event.delta for event in events if event.type == "response.function_call_arguments.delta"]
    assert len(pieces) > 2
    (done,) = [event for event in events if event.type == "response.function_call_arguments.done"]
    assert "".join(pieces) == done.arguments
    assert json.loads(done.arguments) == ARGUMENTS
    last: Any = events[-1]
    (item,) = [item for item in last.response.output if item.type == "function_call"]
    assert (item.name, json.loads(item.arguments), item.status) == ("write", ARGUMENTS, "completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_an_answer_that_is_cut_off_leaves_what_was_written(url: str) -> None:
    tools: Any = [{"type": "function", "function": {"name": "write", "parameters": SCHEMA}}]
    with openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as api:
        chunks = list(api.chat.completions.create(model="tiny", messages=HELLO, tools=tools, stream=True, max_tokens=3))
        whole = api.chat.completions.create(model="tiny", messages=HELLO, tools=tools, max_tokens=3)
    calls = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    written = "".join((call.function and call.function.arguments) or "" for call in calls)
    assert written.startswith('{"path": "a.py", "text": "say(')
    assert chunks[-1].choices[0].finish_reason == "length"
    (call,) = whole.choices[0].message.tool_calls or ()
    assert "path" in json.loads(call.function.arguments)  # type: ignore[union-attr]
