"""OpenAI's text completions, as its SDK sees them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from live import Client, Serve, serving
from parrot import parrot


@pytest.fixture(scope="module")
def gap() -> Iterator[str]:
    """A server whose model has tokens to ask for what is missing between two texts."""
    with (
        parrot("a + b", "; ", marks=("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")) as llm,
        serving(llm) as url,
    ):
        yield url


def test_goes_on_with_a_text(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).completions.create(model="tiny", prompt="Hello.")
    assert answer.choices[0].text == "Good day!!"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 3)


def test_streams(says: Serve, client: Client) -> None:
    stream = client(says("Good", " day", "!!")).completions.create(
        model="tiny", prompt="Hello.", stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert [c.choices[0].text for c in chunks if c.choices] == ["Good", " day", "!!", ""]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 9


def test_is_short_unless_told_otherwise(says: Serve, client: Client) -> None:
    words = [f"w{index} " for index in range(30)]
    url = says(*words)
    assert client(url).completions.create(model="tiny", prompt="go").choices[0].finish_reason == "length"
    long = client(url).completions.create(model="tiny", prompt="go", max_tokens=64)
    assert long.choices[0].text == "".join(words)


def test_several_prompts_and_answers(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).completions.create(model="tiny", prompt=["one", "four"], n=2, echo=True)
    assert [choice.text for choice in answer.choices] == ["oneGood day!!"] * 2 + ["fourGood day!!"] * 2
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 12)


def test_token_ids_are_a_prompt(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).completions.create(model="tiny", prompt=[65, 66, 67])
    assert answer.choices[0].text == "Good day!!"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3


def test_no_tokens_at_all(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).completions.create(model="tiny", prompt="Hi", max_tokens=0, echo=True)
    assert answer.choices[0].text == "Hi"


def test_logprobs(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).completions.create(model="tiny", prompt="Hi", logprobs=2)
    scores = answer.choices[0].logprobs
    assert scores is not None
    assert scores.tokens == ["Good", " day", "!!"]
    assert scores.text_offset == [0, 4, 8]
    assert scores.token_logprobs is not None
    assert all(value <= 0 for value in scores.token_logprobs)
    assert scores.top_logprobs is not None
    assert [len(rivals) for rivals in scores.top_logprobs] == [2, 2, 2]


def test_stops(says: Serve, client: Client) -> None:
    answer = client(says("Good", " day", "!!")).completions.create(model="tiny", prompt="Hi", stop=["day"])
    assert answer.choices[0].text == "Good "
    assert answer.choices[0].finish_reason == "stop"


def test_fills_a_gap(gap: str, client: Client) -> None:
    answer = client(gap).completions.create(model="tiny", prompt="return ", suffix="\n# <|fim_middle|>")
    assert answer.choices[0].text == "a + b; "
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len("return ") + len("\n# <|fim_middle|>") + 3  # the text is only text


@pytest.mark.parametrize(
    "options",
    [
        {"suffix": "x"},  # a model without the tokens
        {"best_of": 2},
        {"prompt": []},
        {"prompt": [""]},
        {"prompt": [10**9]},
        {"max_tokens": 10**9 + 0.5},
        {"prompt": "x" * 5000},
    ],
)
def test_refuses(says: Serve, client: Client, options: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError):
        client(says("Good", " day", "!!")).completions.create(**{"model": "tiny", "prompt": "Hi", **options})  # type: ignore[call-overload]


def test_how_likely_a_prompt_is(says: Serve, client: Client) -> None:
    """What lm-evaluation-harness asks for: the prompt's own log-probabilities, then those of one token more."""
    api = client(says("Good", " day", "!!")).completions
    given: dict[str, Any] = {"model": "tiny", "prompt": "HiGo", "echo": True, "logprobs": 2, "temperature": 0}
    choice = api.create(**given, max_tokens=1).choices[0]
    assert choice.text == "HiGoGood"
    told = choice.logprobs
    assert told is not None
    assert told.tokens == ["H", "i", "G", "o", "Good"]
    assert told.text_offset == [0, 1, 2, 3, 4]
    assert told.token_logprobs is not None
    assert told.token_logprobs[0] is None
    assert all(value is not None and value < 0 for value in told.token_logprobs[1:])
    assert told.top_logprobs is not None
    assert max(told.top_logprobs[2], key=lambda token: told.top_logprobs[2][token]) == "Good"  # type: ignore[index]
    alone = api.create(**given, max_tokens=0).choices[0]
    assert alone.text == "HiGo"
    assert alone.logprobs is not None
    assert alone.logprobs.token_logprobs == told.token_logprobs[:4]
    pieces = list(api.create(**given, max_tokens=1, stream=True))
    assert [
        token for piece in pieces for one in piece.choices if one.logprobs for token in one.logprobs.tokens or ()
    ] == (told.tokens)
