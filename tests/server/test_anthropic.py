"""Anthropic's messages API, as its SDK sees it."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest
from live import Claude, Serve
from stage import Stage, playing

from inhouse.engine import Chunk, Usage

HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>'
THINKS = ("<think>", "Well, well", "</think>", "Good", " day")


def test_answers(says: Serve, claude: Claude) -> None:
    answer = claude(says("Good", " day", "!!")).messages.create(model="claude", messages=HELLO, max_tokens=20)
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == "Good day!!"  # type: ignore[union-attr]
    assert answer.stop_reason == "end_turn"
    assert answer.model == "claude"
    assert answer.usage.output_tokens == 3


def test_streams(says: Serve, claude: Claude) -> None:
    with claude(says("Good", " day", "!!")).messages.stream(model="tiny", messages=HELLO, max_tokens=20) as stream:
        kinds = [event.type for event in stream]
        answer = stream.get_final_message()
    assert kinds[0] == "message_start"
    assert kinds[-2:] == ["message_delta", "message_stop"]
    assert kinds.count("text") == 3
    assert answer.content[0].text == "Good day!!"  # type: ignore[union-attr]
    assert answer.usage.output_tokens == 3
    assert answer.stop_reason == "end_turn"


@pytest.mark.parametrize("stream", [False, True])
def test_stops_before_a_text_and_says_which(says: Serve, claude: Claude, stream: bool) -> None:
    options: Any = {"model": "tiny", "messages": HELLO, "max_tokens": 20, "stop_sequences": ["never", "da"]}
    api = claude(says("Good", " day", "!!")).messages
    if stream:
        with api.stream(**options) as events:
            answer: anthropic.types.Message = events.get_final_message()
    else:
        answer = api.create(**options)
    assert answer.content[0].text == "Good "  # type: ignore[union-attr]
    assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "da")


def test_runs_out_of_tokens(says: Serve, claude: Claude) -> None:
    answer = claude(says("Good", " day", "!!")).messages.create(model="tiny", messages=HELLO, max_tokens=2)
    assert answer.stop_reason == "max_tokens"
    assert answer.content[0].text == "Good day"  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
def test_uses_a_tool(says: Serve, claude: Claude, stream: bool) -> None:
    options: Any = {"model": "tiny", "messages": HELLO, "max_tokens": 50, "tools": [WEATHER]}
    api = claude(says("Let me see. ", CALL)).messages
    if stream:
        with api.stream(**options) as events:
            answer: anthropic.types.Message = events.get_final_message()
    else:
        answer = api.create(**options)
    assert [block.type for block in answer.content] == ["text", "tool_use"]
    used = answer.content[1]
    assert isinstance(used, anthropic.types.ToolUseBlock)
    assert (used.name, used.input) == ("weather", {"city": "Rome"})
    assert answer.stop_reason == "tool_use"


@pytest.mark.parametrize("stream", [False, True])
def test_thinks(says: Serve, claude: Claude, stream: bool) -> None:
    options: Any = {
        "model": "tiny",
        "messages": HELLO,
        "max_tokens": 2000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    api = claude(says(*THINKS)).messages
    if stream:
        with api.stream(**{**options, "max_tokens": 100}) as events:
            answer: anthropic.types.Message = events.get_final_message()
    else:
        answer = api.create(**{**options, "max_tokens": 100})
    first, second = answer.content
    assert isinstance(first, anthropic.types.ThinkingBlock)
    assert first.thinking == "Well, well"
    assert first.signature
    assert isinstance(second, anthropic.types.TextBlock)
    assert second.text == "Good day"


def test_the_second_turn_of_a_tool(tiny: str, claude: Claude) -> None:
    turns: Any = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "How is the weather in Rome? " * 8}],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I shall look.", "signature": "inhouse"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "call_0", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_0", "content": [{"type": "text", "text": "rain"}]},
                {"type": "text", "text": "So?"},
            ],
        },
    ]
    api = claude(tiny).messages
    first = api.create(model="tiny", messages=turns[:1], max_tokens=3, tools=[WEATHER])
    second = api.create(model="tiny", messages=turns, max_tokens=3, tools=[WEATHER])
    whole = first.usage.input_tokens + (first.usage.cache_read_input_tokens or 0)
    assert second.usage.cache_read_input_tokens is not None
    assert second.usage.cache_read_input_tokens >= whole * 0.9
    assert second.usage.cache_creation_input_tokens == 0


def test_counts_what_it_then_reads(tiny: str, claude: Claude) -> None:
    prompt: Any = {"model": "tiny", "messages": HELLO, "system": "Be brief.", "tools": [WEATHER]}
    counted = claude(tiny).messages.count_tokens(**prompt)
    usage = claude(tiny).messages.create(**prompt, max_tokens=1).usage
    assert counted.input_tokens == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_goes_on_from_a_given_beginning(says: Serve, claude: Claude) -> None:
    talk: Any = [*HELLO, {"role": "assistant", "content": "I say: "}]
    answer = claude(says("Good", " day", "!!")).messages.create(model="tiny", messages=talk, max_tokens=20)
    assert answer.content[0].text == "Good day!!"  # type: ignore[union-attr]


def test_ignores_what_only_anthropic_runs(says: Serve, claude: Claude) -> None:
    tools: Any = [{"type": "web_search_20250305", "name": "web_search"}]
    answer = claude(says("Good", " day", "!!")).messages.create(
        model="tiny", messages=HELLO, max_tokens=20, tools=tools, metadata={"user_id": "me"}, service_tier="auto"
    )
    assert answer.stop_reason == "end_turn"


def test_tools_with_schemas_that_clients_know_by_heart_are_offered(claude: Claude) -> None:
    kinds = {
        "bash": "bash_20250124",
        "str_replace_based_edit_tool": "text_editor_20250728",
        "memory": "memory_20250818",
    }
    tools: Any = [{"type": kind, "name": name} for name, kind in kinds.items()]
    stage = Stage()
    stage.answers = [[Chunk("Yes.", finish_reason="stop", usage=Usage(1, 0, 1))]]
    with playing(stage) as url:
        claude(url).messages.create(model="stage", messages=HELLO, max_tokens=20, tools=tools)
    _, offered = stage.asked[0]
    functions = {tool["function"]["name"]: tool["function"]["parameters"]["properties"] for tool in offered}
    assert functions.keys() == kinds.keys()
    assert functions["bash"].keys() == {"command", "restart"}
    assert functions["str_replace_based_edit_tool"]["command"]["enum"] == ["view", "create", "str_replace", "insert"]
    assert {"old_path", "new_path"} < functions["memory"].keys()


@pytest.mark.parametrize(
    ("options", "about"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "image"),
        ({"messages": [{"role": "user", "content": "x" * 9000}]}, "prompt is too long: "),
        ({"temperature": -1}, "temperature"),
        ({"tool_choice": {"type": "any"}}, "tool"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "sun"}}, "sun"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool"}}, "name"),
    ],
)
def test_says_what_is_wrong(says: Serve, claude: Claude, options: dict[str, Any], about: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude(says("Good", " day", "!!")).messages.create(
            model="tiny", messages=HELLO, max_tokens=9, extra_body=options
        )
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert about in body["error"]["message"]


def test_a_wrong_path_is_not_found_in_its_own_shape(tiny: str, claude: Claude) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        claude(tiny).post("/v1/messages/batches", cast_to=object, body={})
    body: Any = caught.value.body
    assert body["error"]["type"] == "not_found_error"
