"""Answers are split into reasoning, text and calls, however they are cut into pieces."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inhouse.tokenizer import (
    Call,
    ChatTemplate,
    Dialect,
    Event,
    OutputParser,
    Reasoning,
    Text,
    detect_dialect,
    opens_thinking,
)

DATA = Path(__file__).parent / "data"
PROPERTIES = {
    "path": {"type": "string"},
    "count": {"type": "integer"},
    "ratio": {"type": "number"},
    "force": {"type": "boolean"},
    "lines": {"type": "array"},
    "options": {"type": "object"},
    "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
    "either": {"type": ["integer", "string"]},
    "colour": {"enum": ["red", "1"]},
    "level": {"enum": [1, 2]},
    "point": {"$ref": "#/$defs/Point"},
}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "edit",
            "parameters": {"type": "object", "properties": PROPERTIES, "$defs": {"Point": {"type": "object"}}},
        },
    },
    {"name": "now"},
]


def merged(events: list[Event]) -> list[Event]:
    found: list[Event] = []
    for event in events:
        last = found[-1] if found else None
        if isinstance(event, Text) and isinstance(last, Text):
            found[-1] = Text(last.text + event.text)
        elif isinstance(event, Reasoning) and isinstance(last, Reasoning):
            found[-1] = Reasoning(last.text + event.text)
        else:
            found.append(event)
    return found


def parse(dialect: Dialect, pieces: list[str], *, thinking: bool = False, tools: Any = TOOLS) -> list[Event]:
    parser = OutputParser(dialect, tools=tools, thinking=thinking)
    events = [event for piece in pieces for event in parser.push(piece)]
    return merged(events + parser.finish())


def both(dialect: Dialect, answer: str, *, thinking: bool = False, tools: Any = TOOLS) -> list[Event]:
    """The events of an answer given at once, which are those of its single characters."""
    events = parse(dialect, [answer], thinking=thinking, tools=tools)
    assert parse(dialect, list(answer), thinking=thinking, tools=tools) == events
    return events


def xml(answer: str, *, thinking: bool = False, tools: Any = TOOLS) -> list[Event]:
    return both("qwen3_xml", answer, thinking=thinking, tools=tools)


def hermes(answer: str, *, thinking: bool = False, tools: Any = TOOLS) -> list[Event]:
    return both("hermes_json", answer, thinking=thinking, tools=tools)


def block(name: str = "edit", **parameters: str) -> str:
    body = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters.items())
    return f"<tool_call>\n<function={name}>\n{body}</function>\n</tool_call>"


def arguments(event: Event) -> Any:
    assert isinstance(event, Call)
    return json.loads(event.arguments_json)


NOW = Call("now", "{}")


class TestReasoning:
    def test_splits(self) -> None:
        assert xml("Hm.\n\nSo.\n</think>\n\nYes.\n", thinking=True) == [Reasoning("Hm.\n\nSo."), Text("Yes.\n")]
        assert xml("<think>\nHm.\n</think>\n\nYes.") == [Reasoning("Hm."), Text("Yes.")]
        assert xml("<think>\nHm.\n</think>\n\nYes.", thinking=True) == [Reasoning("Hm."), Text("Yes.")]
        assert both("plain", "Hm.</think>Yes <tool_call>", thinking=True) == [Reasoning("Hm."), Text("Yes <tool_call>")]

    def test_empty(self) -> None:
        assert xml("\n\n</think>\n\nYes.", thinking=True) == [Text("Yes.")]
        assert xml("", thinking=True) == xml("") == []

    def test_cut_off(self) -> None:
        assert xml("Hm. </thi", thinking=True) == [Reasoning("Hm. </thi")]

    def test_think_tags_within_text_are_text(self) -> None:
        answer = "Write <think> and </think>."
        assert xml(answer) == hermes(answer) == both("plain", answer) == [Text(answer)]

    def test_call_ends_it(self) -> None:
        assert xml(f"Look.\n\n{block('now')}", thinking=True) == [Reasoning("Look."), NOW]

    def test_call_inside_is_not_lost(self) -> None:
        answer = f"Look.\n{block('now')}\nThen.\n</think>\n\nDone."
        assert xml(answer, thinking=True) == [Reasoning("Look."), NOW, Text("Then.Done.")]
        assert xml(f"Look.{block('now')}</think>\n{block('now')}", thinking=True) == [Reasoning("Look."), NOW, NOW]

    def test_mention_inside_stays_reasoning(self) -> None:
        answer = "I may use <tool_call> or not.\n</think>\nNo."
        expected = [Reasoning("I may use <tool_call> or not."), Text("No.")]
        assert xml(answer, thinking=True) == hermes(answer, thinking=True) == expected

    def test_streams_at_once(self) -> None:
        parser = OutputParser("qwen3_xml", thinking=True)
        assert parser.push("Let me see") == [Reasoning("Let me see")]
        assert parser.push(" </th") == []
        assert parser.push("ink>\n\nYes") == [Text("Yes")]


class TestXml:
    def test_types(self) -> None:
        answer = block(
            path="007", count="7", ratio="1e2", force="True", lines='["a"]', options='{"a": 1}', maybe="null",
            either="12", colour="1", level="2", point='{"x": 1}', unknown="3",
        )  # fmt: skip
        (event,) = xml(answer)
        assert arguments(event) == {
            "path": "007", "count": 7, "ratio": 100.0, "force": True, "lines": ["a"], "options": {"a": 1},
            "maybe": None, "either": 12, "colour": "1", "level": 2, "point": {"x": 1}, "unknown": "3",
        }  # fmt: skip

    def test_what_does_not_fit_its_type_stays_text(self) -> None:
        given = {"count": "7.5", "force": "perhaps", "lines": "a, b", "ratio": "NaN", "either": "x", "options": "[1]"}
        (event,) = xml(block(**given))
        assert arguments(event) == given
        (event,) = xml(block(count="1e999"))
        assert arguments(event) == {"count": "1e999"}

    def test_one_newline_is_stripped_at_each_end(self) -> None:
        (event,) = xml(
            "<tool_call>\n<function=edit>\n<parameter=path>\n\n  a\n\n\n</parameter>\n</function>\n</tool_call>"
        )
        assert arguments(event) == {"path": "\n  a\n\n"}
        (event,) = xml("<tool_call><function=edit><parameter=path>a</parameter></function></tool_call>")
        assert arguments(event) == {"path": "a"}

    def test_text_around(self) -> None:
        answer = f"First.\n\n{block('now')}\n{block('now')}\n\nLast.\n"
        assert xml(answer) == [Text("First."), NOW, NOW, Text("Last.\n")]

    def test_values_may_hold_markers(self) -> None:
        code = "a </parameter> b\n</function>\n</tool_call>\n<tool_call> <function=x> </think> <|im_end|>"
        (event,) = xml(block(path=code))
        assert arguments(event) == {"path": code}

    def test_two_functions_in_one_block(self) -> None:
        both_functions = block("now").replace("</tool_call>", "") + block("now").replace("<tool_call>\n", "")
        assert xml(both_functions) == [NOW, NOW]

    def test_missing_markers(self) -> None:
        whole = block(path="a")
        (call,) = xml(whole)
        for marker in ("\n</tool_call>", "</function>\n", "</parameter>\n", "<tool_call>\n"):
            assert xml(whole.replace(marker, "")) == [call], marker

    def test_known_function_without_block(self) -> None:
        answer = block("now").removeprefix("<tool_call>\n")
        assert xml(f"So: {answer}") == [Text("So:"), NOW]
        unknown = "So: <function=other>\n</function>"
        assert xml(unknown) == [Text(unknown)]
        assert xml(answer.removesuffix("\n</tool_call>"), tools=None) == [Text("<function=now>\n</function>")]

    def test_cut_off_call_is_text(self) -> None:
        whole = block(path="a\n</function>\nb", count="1")
        for length in range(len("<tool_call>\n<function=edit>\n"), whole.index("<parameter=count>")):
            events = xml(f"So:\n{whole[:length]}")
            assert events == [Text(f"So:\n{whole[:length]}")], length

    @pytest.mark.parametrize(
        "answer",
        [
            "Use <tool_call> to call.",
            "<tool_call>\nnow()\n</tool_call>",
            "<tool_call>\n<function=now\n></function></tool_call>",
            "<tool_call>\n<function=now>\nwhat?\n</function>\n</tool_call>",
            "a <function=edit> b",
            "a < b <tool",
        ],
    )
    def test_malformed_is_text(self, answer: str) -> None:
        assert xml(answer) == [Text(answer)]
        assert xml(f"{answer}\n{block('now')}")[-1] == NOW

    def test_streams_around_calls(self) -> None:
        parser = OutputParser("qwen3_xml", tools=TOOLS)
        assert parser.push("So") == [Text("So")]
        assert parser.push(":\n\n<tool") == [Text(":")]
        assert parser.push("_call>\n<function=now>\n") == []
        assert parser.push("</function>") == [NOW]
        assert parser.push("\n</tool_call>\nDone") == [Text("Done")]

    def test_round_trip_through_the_template(self) -> None:
        template = ChatTemplate((DATA / "qwen36_chat_template.jinja").read_text(encoding="utf-8"))
        given = {"path": "a\n\n<b>\n", "count": 3, "options": {"ü": [1, None]}, "force": False}
        function = {"name": "edit", "arguments": json.dumps(given)}
        messages = [
            {"role": "user", "content": "?"},
            {"role": "assistant", "reasoning": "Hm.", "content": "So:", "tool_calls": [{"function": function}]},
        ]
        prompt = template.render(messages[:1], TOOLS)
        answer = template.render(messages, TOOLS, add_generation_prompt=False).removeprefix(prompt)
        events = xml(answer.removesuffix("<|im_end|>\n"), thinking=opens_thinking(prompt))
        assert events[:2] == [Reasoning("Hm."), Text("So:")]
        assert arguments(events[2]) == given


class TestHermes:
    def test_call(self) -> None:
        answer = 'So:\n<tool_call>\n{"name": "edit", "arguments": {"path": "ü"}}\n</tool_call>\n\nDone.'
        assert hermes(answer) == [Text("So:"), Call("edit", '{"path": "ü"}'), Text("Done.")]

    @pytest.mark.parametrize(
        "body",
        [
            '{"name": "edit", "arguments": "{\\"path\\": \\"a\\"}"}',
            '{{"name": "edit", "arguments": {"path": "a"}}}',
            '{"name": "edit", "parameters": {"path": "a"}}',
        ],
    )
    def test_what_small_models_write(self, body: str) -> None:
        expected = [Call("edit", '{"path": "a"}')]
        assert hermes(f"<tool_call>\n{body}\n</tool_call>") == expected
        assert hermes(f"<tool_call>\n{body}") == expected  # ended without its end marker
        assert hermes(f"<tool_call>\n{body}\n</tool_") == expected

    def test_raw_newlines_and_markers_in_strings(self) -> None:
        (event,) = hermes('<tool_call>{"name": "edit", "arguments": {"path": "a\n</tool_call>\\"\n"}}</tool_call>')
        assert arguments(event) == {"path": 'a\n</tool_call>"\n'}

    @pytest.mark.parametrize(
        "answer",
        [
            "Use <tool_call> to call.",
            "<tool_call>\n{'name': 'now'}\n</tool_call>",
            '<tool_call>\n{"arguments": {}}\n</tool_call>',
            '<tool_call>\n{"name": "now", "arguments": [1]}\n</tool_call>',
            '<tool_call>\n{"name": "edit", "arguments": {"path": "a',
        ],
    )
    def test_malformed_is_text(self, answer: str) -> None:
        assert hermes(answer) == [Text(answer)]

    def test_calls_after_a_malformed_one(self) -> None:
        bad = "<tool_call>\n{nope}\n</tool_call>"
        good = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'
        assert hermes(f"{bad}\n{good}") == [Text(bad), NOW]

    def test_inside_reasoning(self) -> None:
        answer = 'Hm.\n<tool_call>{"name": "now", "arguments": {}}</tool_call>\n</think>'
        assert hermes(answer, thinking=True) == [Reasoning("Hm."), NOW]

    @pytest.mark.parametrize("form", ["{}", "```json\n{}\n```", "\n```\n{}\n```\n", "<think>x</think>\n\n{}"])
    def test_whole_answer_without_marker(self, form: str) -> None:
        assert hermes(form.replace("{}", '{"name": "now", "arguments": {}}'))[-1] == NOW

    @pytest.mark.parametrize(
        "answer",
        [
            '{"name": "Ada", "age": 36}',
            '```json\n{"name": "other", "arguments": {}}\n```',
            '{"name": "now", "arguments": {}} is how to call it.',
            '{"names": []}',
            "```python\nprint()\n```",
            "``",
            '{"na',
        ],
    )
    def test_other_json_is_text(self, answer: str) -> None:
        assert hermes(answer) == [Text(answer)]

    def test_several_without_markers(self) -> None:
        one, two = (json.dumps({"name": "edit", "arguments": {"path": path}}) for path in "ab")
        expected = [Call("edit", '{"path": "a"}'), Call("edit", '{"path": "b"}')]
        for form in (f"{one}\n{two}", f"```json\n{one}\n{two}\n```", f"```\n{one}\n```\n```\n{two}\n```"):
            assert hermes(form) == expected
        for rest in (f"\n{two}\n", f"\n{two}\n</tool_call>", two):
            assert hermes(f"<tool_call>\n{one}\n</tool_call>{rest}") == expected
        assert hermes(f"{one}\nThat was it.") == [Text(f"{one}\nThat was it.")]

    def test_a_name_alone_is_no_call(self) -> None:
        for text in ('{"name": "now", "age": 5}', '{"name": "now"}'):
            assert hermes(text) == [Text(text)]

    def test_json_is_text_without_tools(self) -> None:
        answer = '{"name": "now", "arguments": {}}'
        assert hermes(answer, tools=None) == [Text(answer)]

    def test_json_that_is_no_call_streams(self) -> None:
        parser = OutputParser("hermes_json", tools=TOOLS)
        assert parser.push('{"age"') == [Text('{"age"')]


class TestDialects:
    def test_detection(self) -> None:
        assert detect_dialect((DATA / "qwen36_chat_template.jinja").read_text(encoding="utf-8")) == "qwen3_xml"
        assert detect_dialect((DATA / "qwen25_chat_template.jinja").read_text(encoding="utf-8")) == "hermes_json"
        assert detect_dialect("{{ messages }}") == "plain"

    def test_opens_thinking(self) -> None:
        assert opens_thinking("<|im_start|>assistant\n<think>\n")
        assert not opens_thinking("<|im_start|>assistant\n<think>\n\n</think>\n\n")


def after(prefill: str, rest: str, *, dialect: Dialect = "qwen3_xml", thinking: bool = False) -> list[Event]:
    parser = OutputParser(dialect, tools=TOOLS, thinking=thinking, prefill=prefill)
    return merged([event for character in rest for event in parser.push(character)] + parser.finish())


class TestPrefill:
    def test_is_understood_but_not_repeated(self) -> None:
        assert after("So: ", "yes") == [Text("yes")]
        assert after("Hm.", " Yes.\n</think>\n\nYes.", thinking=True) == [Reasoning(" Yes."), Text("Yes.")]
        assert after("Hm.\n</think>\n\n", "Yes.", thinking=True) == [Text("Yes.")]
        assert after("So:\n<tool_call>\n<function=", "now>\n</function>\n</tool_call>") == [NOW]
        assert after('{"name": ', '"now", "arguments": {}}', dialect="hermes_json") == [NOW]

    def test_what_was_held_back_of_it_is_not_repeated_either(self) -> None:
        assert after("So \n<tool_", "box") == [Text("box")]
        assert after("So \n<tool_call>\n<func", "tion") == [Text("tion")]
        assert after('{"name": ', '"Ada"}', dialect="hermes_json") == [Text('"Ada"}')]

    @given(
        st.text("a \n<to", max_size=8), st.text("a \n<to", max_size=8), st.sampled_from(["qwen3_xml", "hermes_json"])
    )
    def test_text_goes_on_where_it_ends(self, prefill: str, rest: str, dialect: Dialect) -> None:
        assert after(prefill, rest, dialect=dialect) == ([Text(rest)] if rest else [])


FRAGMENTS = [
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<function=edit>", "<function=now>", "</function>",
    "<parameter=path>", "<parameter=count>", "</parameter>", "\n", " ", "\n\n", "a", "1", "<", ">", "ü", "```json\n",
    "```", '{"name"', ': "now", ', '"arguments": {}}', '{"name": "now", "arguments": {}}', '"', "{", "}",
    "<tool_call>\n<function=now>\n</function>\n</tool_call>", '<tool_call>{"name": "now"}</tool_call>',
]  # fmt: skip
DIALECTS: list[Dialect] = ["qwen3_xml", "hermes_json", "plain"]


class TestAnyChunking:
    @settings(max_examples=400, deadline=None)
    @given(
        st.lists(st.sampled_from(FRAGMENTS), max_size=14),
        st.sampled_from(DIALECTS),
        st.booleans(),
        st.randoms(use_true_random=False),
    )
    def test_events_do_not_depend_on_it(self, parts: list[str], dialect: Dialect, thinking: bool, random: Any) -> None:
        answer = "".join(parts)
        cuts = sorted(random.sample(range(len(answer) + 1), min(len(answer), random.randrange(6))))
        pieces = [answer[start:end] for start, end in zip([0, *cuts], [*cuts, len(answer)], strict=True)]
        assert parse(dialect, pieces, thinking=thinking) == both(dialect, answer, thinking=thinking)

    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.sampled_from(FRAGMENTS), max_size=14), st.sampled_from(DIALECTS), st.booleans())
    def test_nothing_but_space_and_markers_is_lost(self, parts: list[str], dialect: Dialect, thinking: bool) -> None:
        answer = "".join(parts)
        events = parse(dialect, [answer], thinking=thinking)
        given, shown = bare(answer), bare("".join(event.text for event in events if not isinstance(event, Call)))
        if not any(isinstance(event, Call) for event in events):
            assert shown == given
        rest = iter(given)
        assert all(character in rest for character in shown)  # in order: a subsequence


def bare(text: str) -> str:
    return re.sub(r"\s+|</?think>", "", text)


class TestCutCalls:
    """Calls that break off because there are no more tokens."""

    TOOLS = ({"function": {"name": "look", "parameters": {"properties": {"at": {"type": "string"}, "n": {}}}}},)

    def cut(self, dialect: Dialect, answer: str) -> list[Event]:
        parser = OutputParser(dialect, tools=self.TOOLS)
        return [*parser.push(answer), *parser.finish(cut=True)]

    @pytest.mark.parametrize(
        ("answer", "arguments"),
        [
            ('<tool_call>\n{"name": "look", "arguments": {"at": "x", "n": [1, 2', '{"at": "x", "n": [1]}'),
            ('<tool_call>\n{"name": "look", "arguments": {"at": "x", "n": "lo', '{"at": "x"}'),
            ('<tool_call>\n{"name": "look", "argum', "{}"),
            ('{"name": "look", "arguments": {"at": "x", "n', '{"at": "x"}'),
            ('```json\n{"name": "look", "arguments": {"at": "x", "n": 1', '{"at": "x"}'),
        ],
    )
    def test_what_is_whole_in_json_is_the_call(self, answer: str, arguments: str) -> None:
        assert self.cut("hermes_json", answer) == [Call("look", arguments)]

    @pytest.mark.parametrize(
        ("answer", "arguments"),
        [
            ("<tool_call>\n<function=look>\n<parameter=at>\nx\n</parameter>\n<parameter=n>\n1", '{"at": "x"}'),
            ("<tool_call>\n<function=look>\n<parameter=at>\nlo", "{}"),
        ],
    )
    def test_what_is_whole_in_xml_is_the_call(self, answer: str, arguments: str) -> None:
        assert self.cut("qwen3_xml", answer) == [Call("look", arguments)]

    def test_what_is_no_call_of_a_tool_stays_text(self) -> None:
        for answer in (
            '<tool_call>\n{"name": "other", "arguments": {',
            '<tool_call>\n{"na',
            '{"name": "Ann", "age": 3',
        ):
            assert self.cut("hermes_json", answer) == [Text(answer)]

    def test_an_answer_that_ended_by_itself_made_no_call(self) -> None:
        parser = OutputParser("hermes_json", tools=self.TOOLS)
        answer = '<tool_call>\n{"name": "look", "arguments": {"at": "x"'
        assert [*parser.push(answer), *parser.finish()] == [Text(answer)]
