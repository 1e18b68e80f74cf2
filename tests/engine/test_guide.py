"""Whatever a model would like to say, what it is let say fits; random logits are the worst of models."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer
from parrot import parrot, vocabulary
from test_scheduler import Owner

from inhouse import SamplingParams
from inhouse.engine.completion import Chunk, collect
from inhouse.engine.constraints import Constraint
from inhouse.engine.guide import Grammars, Guide
from inhouse.engine.sampler import Sampler
from inhouse.errors import ParameterError
from inhouse.tokenizer import Call, Dialect, OutputParser

TOKENIZER = vocabulary(["<tool_call>", "</tool_call>", "</think>", '{"', '": ', "true", "\n\n"])
EOS = 257
GRAMMARS = Grammars(TOKENIZER, frozenset({EOS}), TOKENIZER.vocab_size)
ARGUMENTS = {
    "type": "object",
    "properties": {
        "where": {"enum": ["here", "there"]},
        "deep": {"type": "boolean"},
        "levels": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    },
    "required": ["where"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": ARGUMENTS}} for name in ("look", "go")]
DIALECTS: tuple[Dialect, ...] = ("hermes_json", "qwen3_xml")


def babble(guide: Guide, seed: int, most: int = 400) -> tuple[str, bool]:
    """What random logits say under a guide, and whether they came to an end."""
    random = np.random.default_rng(seed)
    sampler = Sampler(SamplingParams(temperature=1.0, seed=seed), [0], TOKENIZER.vocab_size)
    said: list[int] = []
    for _ in range(most):
        logits = random.normal(0, 2, TOKENIZER.vocab_size).astype(np.float32)
        token = sampler.draw(logits, guide)
        if token == EOS:
            return TOKENIZER.decode(said), True
        said.append(token)
        guide.push(token)
    return TOKENIZER.decode(said), False


def calls(text: str, dialect: Dialect) -> list[Call]:
    parser = OutputParser(dialect, tools=TOOLS)
    return [event for event in (*parser.push(text), *parser.finish()) if isinstance(event, Call)]


def check(call: Call) -> None:
    assert call.name in ("look", "go")
    arguments: dict[str, Any] = json.loads(call.arguments_json)
    assert set(arguments) <= {"where", "deep", "levels"}
    assert arguments["where"] in ("here", "there")
    assert isinstance(arguments.get("deep", True), bool)
    assert all(isinstance(level, bool) for level in arguments.get("levels", ()))
    assert len(arguments.get("levels", ())) <= 3


def guide_of(constraint: Constraint | None, **more: Any) -> Guide:
    guide = GRAMMARS.guide(constraint, **more)
    assert guide is not None
    return guide


@pytest.mark.parametrize("seed", range(8))
def test_a_schema_binds_the_whole_answer(seed: int) -> None:
    text, ended = babble(guide_of(Constraint(json_schema=ARGUMENTS)), seed)
    assert ended
    check(Call("look", text))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("seed", range(8))
def test_a_call_once_begun_is_a_valid_one(dialect: Dialect, seed: int) -> None:
    guide = guide_of(Constraint(parallel_tool_calls=False), dialect=dialect, tools=TOOLS)
    said = "Let me look.\n<tool_call>"
    for token in TOKENIZER.encode("Let me look.\n<tool"):
        assert not guide.binding
        guide.push(token)
    for token in TOKENIZER.encode("_call>"):
        guide.push(token)
    text, ended = babble(guide, seed)
    assert ended  # no second call was allowed
    (call,) = calls(said + text, dialect)
    check(call)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("seed", range(4))
def test_a_call_that_is_required_is_made(dialect: Dialect, seed: int) -> None:
    wanted = Constraint(tool_choice="required", tool="go", parallel_tool_calls=False)
    text, ended = babble(guide_of(wanted, dialect=dialect, tools=TOOLS), seed)
    assert ended
    (call,) = calls(text, dialect)
    check(call)
    assert call.name == "go"


def test_after_a_call_text_is_free_again_and_so_is_another_call() -> None:
    guide = guide_of(None, dialect="hermes_json", tools=TOOLS)
    call = '<tool_call>\n{"name": "look", "arguments": {"where": "here"}}\n</tool_call>'
    for token in TOKENIZER.encode(call):
        guide.push(token)
    assert not guide.binding
    for token in TOKENIZER.encode("\n<tool_call>"):
        guide.push(token)
    assert guide.binding


def test_reasoning_is_free_and_what_follows_is_not() -> None:
    guide = guide_of(Constraint(regex="yes|no"), thinking=True)
    for token in TOKENIZER.encode("maybe yes, maybe"):
        assert not guide.binding
        guide.push(token)
    for token in TOKENIZER.encode("</think>"):
        guide.push(token)
    assert guide.binding
    assert babble(guide, 0)[0].strip() in ("yes", "no")


def test_a_prefill_counts() -> None:
    guide = guide_of(Constraint(json_schema=ARGUMENTS), prefill='{"where": "th')
    text, ended = babble(guide, 1)
    assert ended
    check(Call("look", '{"where": "th' + text))


@pytest.mark.parametrize(
    ("constraint", "prefill"),
    [
        (Constraint(json_schema=ARGUMENTS), "Sure, here it is: {"),
        (Constraint(json_schema=ARGUMENTS), '{"where": "nowhere'),
        (Constraint(json_schema=ARGUMENTS), '{"where": "here"} and'),
        (Constraint(regex="yes|no"), "maybe"),
        (Constraint(tool_choice="required"), "Let me see."),
    ],
)
def test_a_prefill_that_breaks_the_form_is_refused(constraint: Constraint, prefill: str) -> None:
    with pytest.raises(ParameterError, match="begins with"):
        GRAMMARS.guide(constraint, dialect="hermes_json", tools=TOOLS if constraint.regex is None else None,
                       prefill=prefill)  # fmt: skip


def test_text_before_a_call_that_may_be_made_is_no_mistake() -> None:
    assert not guide_of(None, dialect="hermes_json", tools=TOOLS, prefill='<tool_call>\n{"name": "nobody').broken


def test_the_same_tools_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []

    class Counting:
        def __new__(cls, table: LLTokenizer, grammar: str) -> Any:
            compiled.append(grammar)
            return LLMatcher(table, grammar)

        grammar_from_regex = staticmethod(LLMatcher.grammar_from_regex)

        @staticmethod
        def validate_grammar(grammar: str, table: LLTokenizer) -> str:
            compiled.append(grammar)
            return LLMatcher.validate_grammar(grammar, table)

    monkeypatch.setattr("inhouse.engine.guide.LLMatcher", Counting)
    grammars = Grammars(TOKENIZER, frozenset({EOS}), TOKENIZER.vocab_size)
    said, counts = [], []
    for _ in range(2):
        guide = grammars.guide(Constraint(json_schema=ARGUMENTS), dialect="hermes_json", tools=TOOLS)
        assert guide is not None
        said.append(babble(guide, 3))
        counts.append(len(compiled))
    assert len(compiled) == counts[0] == counts[1] > 0
    assert said[0] == said[1]  # one answer leaves no trace in the next
    for number in range(300):
        grammars.guide(Constraint(regex=f"{number}"))
    before = len(compiled)
    grammars.guide(Constraint(json_schema=ARGUMENTS), dialect="hermes_json", tools=TOOLS)
    assert len(compiled) > before  # no endless memory


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (Constraint(json_schema={"type": "nonsense"}), "json_schema"),
        (Constraint(regex="("), "regex"),
        (Constraint(grammar="start: nowhere"), "grammar"),
        (Constraint(tool_choice="required"), "tool"),
    ],
)
def test_what_cannot_be_enforced_is_refused(wrong: Constraint, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        GRAMMARS.guide(wrong)


def test_a_tool_whose_schema_cannot_be_enforced_still_gets_json() -> None:
    odd = [{"type": "function", "function": {"name": "odd", "parameters": {"type": "object", "not": {"type": "null"}}}}]
    guide = guide_of(Constraint(tool_choice="required", parallel_tool_calls=False), dialect="hermes_json", tools=odd)
    assert guide.binding


def test_the_engine_obeys() -> None:
    llm, owner = parrot("Good", " day"), Owner()
    params = SamplingParams(max_tokens=20)
    llm.engine.submit_text("Hi", params, constraint=Constraint(regex="[xy]{3}"), on_event=owner)
    assert owner.done.wait(20)
    done = collect(event for event in owner.events if isinstance(event, Chunk))
    assert (done.text, done.finish_reason) == ("xxx", "stop")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_shape_beside_tools_is_that_shape_or_calls(dialect: Dialect) -> None:
    called = 0
    for seed in range(24):
        guide = guide_of(Constraint(json_schema={"type": "boolean"}), dialect=dialect, tools=TOOLS)
        text, ended = babble(guide, seed, 2000)
        assert ended
        found = calls(text, dialect)
        called += bool(found)
        if found:
            assert "".join(text.split("<tool_call>")[0]) == ""
            for call in found:
                check(call)
        else:
            assert text.strip() in ("true", "false")
    assert 0 < called < 24


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("head", "tail"),
    [('{"name": "look", "arguments":', ""), ('\n```json\n{\n "name": "go",\n "arguments": {', "\n```")],
)
def test_calls_without_markers_get_valid_arguments(several: bool, head: str, tail: str) -> None:
    counts: list[int] = []
    for seed in range(8):
        guide = guide_of(Constraint(parallel_tool_calls=several), dialect="hermes_json", tools=TOOLS)
        assert not guide.binding
        for token in TOKENIZER.encode(head):
            guide.push(token)
        assert guide.binding
        text, ended = babble(guide, seed, 2000)
        if not ended:
            continue  # always one more call
        assert text.removesuffix(tail).rstrip().removesuffix("</tool_call>").rstrip().endswith("}")
        assert text.endswith(tail)
        found = calls(head + text, "hermes_json")
        counts.append(len(found))
        for call in found:
            check(call)
    assert max(counts) > 1 if several else counts == [1] * 8
    assert min(counts) == 1


def test_a_call_after_another_needs_no_marker() -> None:
    guide = guide_of(None, dialect="hermes_json", tools=TOOLS)
    said = '<tool_call>\n{"name": "look", "arguments": {"where": "here"}}\n</tool_call>\n{"name": "go", "arguments":'
    for token in TOKENIZER.encode(said):
        guide.push(token)
    text, ended = babble(guide, 0, 2000)
    assert ended
    found = calls(said + text, "hermes_json")
    assert len(found) > 1
    for call in found:
        check(call)


@pytest.mark.parametrize("text", ['Look: {"name": "look", "arguments":', '{"name": "Ada", "arguments":'])
def test_what_only_looks_like_a_call_stays_free(text: str) -> None:
    guide = guide_of(None, dialect="hermes_json", tools=TOOLS)
    for token in TOKENIZER.encode(text):
        guide.push(token)
    assert not guide.binding


def test_spaces_between_values_come_to_an_end() -> None:
    guide = guide_of(Constraint(json_schema=ARGUMENTS))
    guide.push(TOKENIZER.encode("{")[0])
    space = TOKENIZER.encode(" ")[0]
    for _ in range(100):
        if not guide.permits(space):
            return
        guide.push(space)
    raise AssertionError("white space without end")
