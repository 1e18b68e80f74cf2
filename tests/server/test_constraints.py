"""What an answer must look like holds through every API, with the worst of models: one of random weights, and one that
would always say something else."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import partial
from typing import Any

import anthropic
import openai
import pytest
from asking import ASKERS, Asker, Question
from live import Claude, Client, Serve
from pydantic import BaseModel

from inhouse.client.http import HttpClient
from inhouse.client.types import ChatRequest, Message, complete
from inhouse.errors import PeerError

CHOICE = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["cat", "dog"]},
        "tame": {"type": "boolean"},
        "legs": {"type": "integer", "minimum": 0, "maximum": 99},
        "names": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 2},
    },
    "required": ["kind", "tame", "legs", "names"],
    "additionalProperties": False,
}
LOOK, GO = (
    {"name": name, "description": "Does it.", "parameters": {**CHOICE, "required": ["kind"]}} for name in ("look", "go")
)
ASKED = ("Hello", "What is there?", "Say anything at all")
TWO = (
    '<tool_call>\n{"name": "look", "arguments": {"kind": "cat"}}\n</tool_call>',
    '\n<tool_call>\n{"name": "go", "arguments": {"kind": "dog"}}\n</tool_call>',
)
ROUND = re.compile(r"[xy]+")


@pytest.fixture(params=ASKERS)
def ask(request: pytest.FixtureRequest) -> Asker:
    asker: Asker = ASKERS[request.param]
    return asker


def said(text: str, **options: Any) -> Question:
    return Question([("user", text)], **{"max_tokens": 1500, **options})


def check(value: Any, required: set[str]) -> None:
    assert required <= set(value) <= set(CHOICE["properties"])
    assert value["kind"] in ("cat", "dog")
    assert isinstance(value.get("tame", True), bool)
    assert 0 <= value.get("legs", 0) <= 99
    assert all(len(name) <= 3 for name in value.get("names", ["a"]))
    assert 1 <= len(value.get("names", ["a"])) <= 2


@pytest.mark.parametrize("text", ASKED)
def test_a_schema(tiny: str, ask: Asker, text: str) -> None:
    answer = ask(tiny, said(text, schema=CHOICE))
    assert answer.finish == "stop"
    check(json.loads(answer.text), set(CHOICE["properties"]))


def test_a_schema_beside_tools_that_may_be_called(says: Serve, ask: Asker) -> None:
    calling = ask(says(*TWO), said("Hello", schema=CHOICE, tools=(LOOK, GO)))
    assert calling.calls == (("look", {"kind": "cat"}), ("go", {"kind": "dog"}))
    assert (calling.text, calling.finish) == ("", "tools")
    one = ask(says(*TWO), said("Hello", schema=CHOICE, tools=(LOOK, GO), parallel=False))
    assert one.calls == calling.calls[:1]
    url = says('{"kind": "cat", "tame": true, ', '"legs": 4, "names": ["a"]}')
    answer = ask(url, said("Hello", schema=CHOICE, tools=(LOOK, GO)))
    assert answer.calls == ()
    check(json.loads(answer.text), set(CHOICE["properties"]))


@pytest.mark.parametrize("choice", ["required", "go"])
def test_a_call_that_must_be_made(says: Serve, ask: Asker, choice: str) -> None:
    answer = ask(says("Good", " day", "!!"), said("Hello", tools=(LOOK, GO), choice=choice, parallel=False))
    assert answer.finish == "tools"
    assert answer.text == ""
    ((name, arguments),) = answer.calls
    assert name == "go" if choice == "go" else name in ("look", "go")
    check(arguments, {"kind"})


def test_a_call_that_must_be_made_beats_a_schema(says: Serve, ask: Asker) -> None:
    question = said("Hello", tools=(LOOK,), choice="required", parallel=False, schema={"type": "boolean"})
    answer = ask(says("Good", " day", "!!"), question)
    assert [name for name, _ in answer.calls] == ["look"]


@pytest.mark.parametrize("choice", ["auto", "required"])
def test_one_call_or_several(says: Serve, ask: Asker, choice: str) -> None:
    several = ask(says(*TWO), said("Hello", tools=(LOOK, GO), choice=choice))
    assert several.calls == (("look", {"kind": "cat"}), ("go", {"kind": "dog"}))
    one = ask(says(*TWO), said("Hello", tools=(LOOK, GO), choice=choice, parallel=False))
    assert one.calls == several.calls[:1]
    assert one.finish == several.finish == "tools"


def test_a_call_that_the_model_begins_is_a_valid_one(says: Serve, ask: Asker) -> None:
    url = says('<tool_call>\n{"name": ', '"look", "arguments": {"kind": ', '"bird"}}', "\n</tool_call>")
    answer = ask(url, said("Hello", tools=(LOOK, GO), parallel=False))
    ((name, arguments),) = answer.calls
    assert name in ("look", "go")
    check(arguments, {"kind"})


def test_a_call_without_markers_is_a_valid_one(says: Serve, ask: Asker) -> None:
    url = says('```json\n{\n  "name": "look",\n  ', '"arguments": ', '{"kind": "', 'bird"}', "\n}\n```")
    ((name, arguments),) = ask(url, said("Hello", tools=(LOOK, GO), parallel=False)).calls
    assert name == "look"
    check(arguments, {"kind"})
    several = ask(url, said("Hello", tools=(LOOK, GO), max_tokens=200)).calls
    assert several[0] == (name, arguments)


def test_a_regex_and_a_grammar(tiny: str, ask: Asker) -> None:
    answer = ask(tiny, said("Hello", regex="[0-9]{3}-[a-f]{2}"))
    assert re.fullmatch("[0-9]{3}-[a-f]{2}", answer.text)
    assert answer.finish == "stop"
    told = 'start: animal "s" ("," animal "s")?\nanimal: "cat" | "dog"'
    assert re.fullmatch("(cat|dog)s(,(cat|dog)s)?", ask(tiny, said("Hello", grammar=told)).text)


def test_our_own_client_binds_what_follows_a_given_beginning(tiny: str) -> None:
    request = ChatRequest([Message("user", "Well?")], prefill="I say ", grammar='start: "I say " /yes|aye/')
    http = HttpClient(f"{tiny}/v1", "tiny")
    assert complete(http, request).message.content in ("I say yes", "I say aye")
    with pytest.raises(PeerError, match="begins with 'You say '"):
        complete(http, replace(request, prefill="You say "))
    http.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_plain_continuation(tiny: str, client: Client, stream: bool) -> None:
    told: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": CHOICE}}
    options: Any = {"model": "x", "prompt": "An animal: ", "max_tokens": 1500, "temperature": 0}
    api = client(tiny).completions
    if stream:
        pieces = list(api.create(**options, extra_body={"response_format": told}, stream=True))
        text = "".join(piece.choices[0].text for piece in pieces)
    else:
        text = api.create(**options, extra_body={"response_format": told}).choices[0].text
    check(json.loads(text), set(CHOICE["properties"]))


@pytest.mark.parametrize(
    "wrong",
    [{"schema": {"type": "nonsense"}}, {"regex": "("}, {"grammar": "start: nowhere"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_cannot_be_enforced_is_refused(tiny: str, ask: Asker, wrong: Any) -> None:
    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError), match="give one that can be enforced"):
        ask(tiny, said("Hello", **wrong))


def test_a_beginning_that_breaks_the_form_is_the_clients_mistake(says: Serve, client: Client, claude: Claude) -> None:
    url = says("Good", " day", "!!")
    talk: Any = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Of course: "}]
    told: Any = {"type": "json_schema", "json_schema": {"name": "choice", "schema": CHOICE}}
    extra = {"continue_final_message": True}
    with pytest.raises(openai.BadRequestError, match="begins with 'Of course: '"):
        client(url).chat.completions.create(model="x", messages=talk, response_format=told, extra_body=extra)
    with pytest.raises(anthropic.BadRequestError, match="begins with"):
        claude(url).messages.create(
            model="x", messages=talk, max_tokens=9,
            extra_body={"output_config": {"format": {"type": "json_schema", "schema": CHOICE}}},
        )  # fmt: skip


class Animal(BaseModel):
    tame: bool
    wild: bool


def test_the_sdk_reads_an_answer_into_a_class(tiny: str, client: Client) -> None:
    api = client(tiny)
    options: Any = {"model": "x", "temperature": 0}
    chat = api.chat.completions.parse(
        messages=[{"role": "user", "content": "Hi"}], response_format=Animal, max_tokens=400, **options
    )
    assert isinstance(chat.choices[0].message.parsed, Animal)
    response = api.responses.parse(input="Hi", text_format=Animal, max_output_tokens=400, **options)
    assert isinstance(response.output_parsed, Animal)


THINKING = ("Hm.", " Well.", " But", " then", " again", "\n</think>", "Done")


def test_a_reasoning_budget(says: Serve, ask: Asker) -> None:
    url = says(*THINKING, template_flags={"thinking": True})
    free = ask(url, said("Hello"))
    assert free.reasoning == "Hm. Well. But then again"
    assert free.text == "Done"
    short = ask(url, said("Hello", budget=2))
    assert short.reasoning.startswith("Hm. Well.")
    assert "But" not in short.reasoning
    assert short.text
    assert ask(url, said("Hello", budget=99)).reasoning == free.reasoning


def test_the_servers_own_reasoning_budget(says: Serve, ask: Asker) -> None:
    url = says(*THINKING, template_flags={"thinking": True}, reasoning_budget=2)
    assert "But" not in ask(url, said("Hello")).reasoning
    assert "again" in ask(url, said("Hello", budget=99)).reasoning


def test_reasoning_comes_before_a_shape(says: Serve, ask: Asker) -> None:
    url = says(*THINKING, template_flags={"thinking": True})
    for options in ({"schema": CHOICE}, {"schema": CHOICE, "budget": 2}):
        answer = ask(url, said("Hello", **options))
        assert answer.reasoning.startswith("Hm. Well.")
        check(json.loads(answer.text), set(CHOICE["properties"]))
    assert ask(url, said("Hello", regex="yes|no")).text.strip() in ("yes", "no")


@pytest.mark.parametrize("options", [{}, {"max_tokens": 2}, {"tools": (LOOK, GO), "choice": "go", "parallel": False}])
def test_answers_pass_the_sdks_own_types(says: Serve, ask: Asker, options: dict[str, Any]) -> None:
    """The SDKs take anything; clients in other languages are stricter."""
    answer = ask(says("Good", " day", "!!"), said("Hello", **options)).answer
    type(answer).model_validate(answer.model_dump(exclude_none=True))


def test_going_round_in_circles_is_an_answer_cut_off(says: Serve, ask: Asker) -> None:
    answer = ask(says("Good", " day", "!!"), said("Hello", regex=ROUND.pattern, max_tokens=900))
    assert answer.finish == "length"
    assert answer.completion_tokens < 400
    type(answer.answer).model_validate(answer.answer.model_dump(exclude_none=True))  # as strict clients read it


def test_the_true_reason_stands_beside_it(says: Serve, client: Client, claude: Claude) -> None:
    url, talk = says("Good", " day", "!!"), [{"role": "user", "content": "Hello"}]
    told: Any = {"type": "regex", "regex": ROUND.pattern}
    true = {"finish_reason": "repetition"}
    ask: Any = partial(client(url).chat.completions.create, model="x", messages=talk, response_format=told)
    whole = ask(temperature=0)
    assert whole.choices[0].inhouse == true
    *_, last = ask(temperature=0, stream=True)
    assert last.choices[0].inhouse == true
    response = client(url).responses.create(model="x", input="Hello", text={"format": told}, temperature=0)
    assert response.inhouse == true  # type: ignore[attr-defined]
    options: Any = {"model": "x", "messages": talk, "max_tokens": 900}
    extra = {"output_config": {"format": told}, "temperature": 0}
    message: Any = claude(url).messages.create(**options, extra_body=extra)
    assert message.inhouse == true
    events: Any = claude(url).messages.create(**options, extra_body=extra, stream=True)
    assert [event.inhouse for event in events if event.type == "message_delta"] == [true]


def test_a_strict_tool_whose_schema_cannot_be_enforced_is_refused(says: Serve, client: Client) -> None:
    either: Any = {"oneOf": [{"type": "integer"}, {"type": "number"}]}
    function = {"name": "act", "parameters": {"type": "object", "properties": {"n": either}, "required": ["n"]}}
    messages: Any = [{"role": "user", "content": "x"}]

    def ask(**more: Any) -> Any:
        tools: Any = [{"type": "function", "function": {**function, **more}}]
        url = says("Good", " day", "!!")
        return client(url).chat.completions.create(model="tiny", messages=messages, tools=tools, max_tokens=4)

    with pytest.raises(openai.BadRequestError, match=r"tool 'act'.*oneOf.*drop 'strict'"):
        ask(strict=True)
    assert ask(strict=False).choices
    either["format"] = "int64"
    either.pop("oneOf")
    assert ask(strict=True).choices  # a format that JSON Schema does not have is a remark
