"""OpenAI's chat completions, as its SDK sees them, against a live server."""

from __future__ import annotations

import json
import re
from typing import Any

import openai
import pytest
from live import Client, Serve

HELLO: Any = [{"role": "user", "content": "Hello"}]
WEATHER: Any = {
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


def test_several_answers(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).chat.completions.create(model="tiny", messages=HELLO, n=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert {choice.message.content for choice in answer.choices} == {"Good day!!"}
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 9


def test_several_answers_as_they_come(says: Serve, client: Client) -> None:
    stream = client(says("Good", " day", "!!")).chat.completions.create(
        model="tiny", messages=HELLO, n=2, stream=True, stream_options={"include_usage": True}
    )
    texts = {0: "", 1: ""}
    ends = []
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            ends += [choice.index] if choice.finish_reason == "stop" else []
        usage = chunk.usage
    assert texts == {0: "Good day!!", 1: "Good day!!"}
    assert sorted(ends) == [0, 1]
    assert usage is not None
    assert usage.completion_tokens == 6


def test_a_seed_repeats_an_answer(tiny: str, client: Client) -> None:
    def draw(seed: int) -> str | None:
        answer = client(tiny).chat.completions.create(
            model="tiny", messages=HELLO, seed=seed, temperature=1.0, max_tokens=12
        )
        return answer.choices[0].message.content

    assert draw(7) == draw(7)
    assert draw(-1) == draw(-1)
    assert draw(7) != draw(8)


def test_answers_to_one_seed_differ(tiny: str, client: Client) -> None:
    answer = client(tiny).chat.completions.create(
        model="tiny", messages=HELLO, seed=7, temperature=1.0, max_tokens=12, n=2
    )
    first, second = answer.choices
    assert first.message.content != second.message.content


def test_logprobs(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).chat.completions.create(
        model="tiny", messages=HELLO, logprobs=True, top_logprobs=2
    )
    scores = answer.choices[0].logprobs
    assert scores is not None
    assert scores.content is not None
    assert [entry.token for entry in scores.content] == ["Good", " day", "!!"]
    assert bytes(scores.content[1].bytes or ()) == b" day"
    for entry in scores.content:
        assert entry.logprob == max(rival.logprob for rival in entry.top_logprobs)
        assert len(entry.top_logprobs) == 2


def test_logprobs_as_they_come(says: Serve, client: Client) -> None:
    stream = client(says("Good", " day", "!!")).chat.completions.create(
        model="tiny", messages=HELLO, logprobs=True, stream=True
    )
    tokens = [
        entry.token
        for chunk in stream
        for choice in chunk.choices
        if choice.logprobs is not None
        for entry in choice.logprobs.content or ()
    ]
    assert tokens == ["Good", " day", "!!"]


@pytest.mark.parametrize("stop", ["day", ["!!", "da"], ["", "day"]])
def test_stops_before_a_text(says: Serve, client: Client, stop: Any) -> None:
    answer = client(says("Good", " day", "!!")).chat.completions.create(model="tiny", messages=HELLO, stop=stop)
    assert answer.choices[0].message.content == "Good "
    assert answer.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_runs_out_of_tokens(says: Serve, client: Client, field: str) -> None:
    options: Any = {field: 2}
    answer = client(says("Good", " day", "!!")).chat.completions.create(model="tiny", messages=HELLO, **options)
    assert answer.choices[0].message.content == "Good day"
    assert answer.choices[0].finish_reason == "length"


def test_more_tokens_than_the_context_has_are_as_many_as_fit(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).chat.completions.create(model="tiny", messages=HELLO, max_tokens=32_000)
    assert answer.choices[0].message.content == "Good day!!"


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_is_apart_from_the_answer(says: Serve, client: Client, stream: bool) -> None:
    url = says("<think>", "Well, well", "</think>", "Good", " day")
    thought, text, usage = "", "", None
    options: Any = {"model": "tiny", "messages": HELLO}
    if stream:
        for chunk in client(url).chat.completions.create(
            **options, stream=True, stream_options={"include_usage": True}
        ):
            usage = chunk.usage
            for choice in chunk.choices:
                thought += getattr(choice.delta, "reasoning_content", None) or ""
                text += choice.delta.content or ""
    else:
        answer = client(url).chat.completions.create(**options)
        thought, text = answer.choices[0].message.reasoning_content, answer.choices[0].message.content
        usage = answer.usage
    assert (thought, text) == ("Well, well", "Good day")
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens


TWO_CALLS = (
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>',
    '\n<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
)


def test_calls_in_parallel_as_they_come(says: Serve, client: Client) -> None:
    with client(says(*TWO_CALLS)).chat.completions.stream(model="tiny", messages=HELLO, tools=[WEATHER]) as stream:
        for _ in stream:
            pass
        answer = stream.get_final_completion()
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Rome", "Oslo"]
    assert len({call.id for call in calls}) == 2
    assert answer.choices[0].finish_reason == "tool_calls"


def test_a_whole_turn_with_a_tool(tiny: str, client: Client) -> None:
    talk: Any = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}, {"type": "text", "text": " In Rome."}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_0", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{broken"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": [{"type": "text", "text": "rain"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
    ]
    answer = client(tiny).chat.completions.create(model="tiny", messages=talk, tools=[WEATHER], max_tokens=2)
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


@pytest.mark.parametrize(
    "talk",
    [
        [{"role": "system", "content": "only a system message"}],
        [{"role": "user", "content": "x"}, {"role": "system", "content": "not first"}],
        [{"role": "system", "content": "one"}, {"role": "system", "content": "two"}, {"role": "user", "content": "x"}],
        [{"role": "assistant", "content": "I began"}],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": "<|im_end|> \U0001f600 \x00"}],
    ],
)
def test_odd_conversations_are_answered(tiny: str, client: Client, talk: Any) -> None:
    answer = client(tiny).chat.completions.create(model="tiny", messages=talk, max_tokens=2)
    assert answer.usage is not None
    assert answer.usage.completion_tokens >= 1


def test_goes_on_from_a_given_beginning(tiny: str, client: Client) -> None:
    begun: Any = [*HELLO, {"role": "assistant", "content": "Once upon a", "prefix": True}]
    api = client(tiny).chat.completions
    options: Any = {"model": "tiny", "max_tokens": 6, "temperature": 0}
    whole = api.create(messages=begun, **options)
    flagged = api.create(messages=[begun[0], {**begun[1], "prefix": False}], **options,
                         extra_body={"continue_final_message": True})  # fmt: skip
    assert whole.choices[0].message.content == flagged.choices[0].message.content
    assert whole.usage is not None
    assert flagged.usage is not None
    assert whole.usage.prompt_tokens == flagged.usage.prompt_tokens


def test_unknown_fields_are_ignored_with_one_warning(
    says: Serve, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    url = says("Good", " day", "!!", keepalive_seconds=4.5)
    extra = {"frobnicate": 3, "messages": [{"role": "user", "content": "Hi", "mood": "calm"}]}
    for _ in range(3):
        client(url).chat.completions.create(model="tiny", messages=HELLO, extra_body=extra)
    told = [record.getMessage() for record in caplog.records if record.name == "inhouse.server"]
    assert len([line for line in told if "'frobnicate'" in line]) == 1
    assert len([line for line in told if "'mood'" in line]) == 1


def test_another_model_is_no_error_unless_the_operator_says_so(says: Serve, client: Client) -> None:
    lenient, strict = says("Good", " day", "!!"), says("Good", " day", "!!", strict_model=True)
    assert client(lenient).chat.completions.create(model="gpt-7", messages=HELLO).model == "tiny"
    assert client(strict).chat.completions.create(model="tiny", messages=HELLO).model == "tiny"
    with pytest.raises(openai.NotFoundError, match="gpt-7"):
        client(strict).chat.completions.create(model="gpt-7", messages=HELLO)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": "x" * 9000}]}, "messages"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 1000}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 2.5}, "max_tokens"),
        ({"logprobs": True, "top_logprobs": 99}, "top_logprobs"),
        ({"stop": ["x"] * 999}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "sun"}}}, "tool_choice"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "poem"}}, "response_format.type"),
        ({"reasoning_effort": "heroic"}, "reasoning_effort"),
    ],
)
def test_says_what_is_wrong(says: Serve, client: Client, options: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client(says("Good", " day", "!!")).chat.completions.create(model="tiny", messages=HELLO, extra_body=options)
    assert caught.value.type == "invalid_request_error"
    assert caught.value.param is not None
    assert caught.value.param.startswith(param)


def test_a_prompt_too_long_has_its_own_code(says: Serve, client: Client) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client(says("Good", " day", "!!")).chat.completions.create(
            model="tiny", messages=[{"role": "user", "content": "x" * 2000}]
        )
    assert caught.value.code == "context_length_exceeded"
    assert re.search(r"maximum context length is 1024 tokens.* resulted in 20\d\d tokens", str(caught.value))


def test_a_wrong_priority_is_told(says: Serve, client: Client) -> None:
    api = client(says("Good", " day", "!!")).chat.completions
    urgent = {"X-Inhouse-Priority": "background"}
    assert api.create(model="tiny", messages=HELLO, extra_headers=urgent).choices[0].finish_reason == "stop"
    with pytest.raises(openai.BadRequestError):
        api.create(model="tiny", messages=HELLO, extra_headers={"X-Inhouse-Priority": "now!"})


def test_tools_that_must_not_be_called_are_not_shown(says: Serve, client: Client) -> None:
    ask = client(says("Good", " day", "!!")).chat.completions.create
    plain = ask(model="tiny", messages=HELLO)
    hidden = ask(model="tiny", messages=HELLO, tools=[WEATHER], tool_choice="none")
    shown = ask(model="tiny", messages=HELLO, tools=[WEATHER])
    assert plain.usage is not None
    assert hidden.usage is not None
    assert shown.usage is not None
    assert hidden.usage.prompt_tokens == plain.usage.prompt_tokens < shown.usage.prompt_tokens
