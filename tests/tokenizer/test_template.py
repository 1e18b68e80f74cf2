"""Conversations become the prompts that models were trained on, and templates cannot harm."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from inhouse.errors import TemplateError
from inhouse.tokenizer import ChatTemplate

DATA = Path(__file__).parent / "data"
QWEN36 = ChatTemplate((DATA / "qwen36_chat_template.jinja").read_text(encoding="utf-8"), eos="<|im_end|>")
QWEN25 = ChatTemplate((DATA / "qwen25_chat_template.jinja").read_text(encoding="utf-8"), eos="<|im_end|>")

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Now <here> & there",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}


def call(arguments: Any, name: str = "weather") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": function}],
    }


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


class TestQwen36:
    def test_prompt(self) -> None:
        prompt = QWEN36.render([{"role": "system", "content": "Be brief."}, user("Hi")])
        assert prompt == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n"
        )
        closed = QWEN36.render([user("Hi")], enable_thinking=False)
        assert closed == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        assert not QWEN36.render([user("Hi")], add_generation_prompt=False).endswith("assistant\n<think>\n")

    def test_tools_are_plain_json(self) -> None:
        prompt = QWEN36.render([user("Hi")], [WEATHER])
        assert f"<tools>\n{json.dumps(WEATHER)}\n</tools>" in prompt
        assert "<here> & there" in prompt  # not escaped for HTML

    def test_calls_and_results(self) -> None:
        messages = [
            user("Weather?"),
            {**call('{"city": "Zürich", "days": 3}'), "reasoning": "Look it up."},
            {"role": "tool", "content": "sunny", "tool_call_id": "1"},
        ]
        assert QWEN36.render(messages, [WEATHER]).endswith(
            "<|im_start|>assistant\n<think>\nLook it up.\n</think>\n\n"
            "<tool_call>\n<function=weather>\n<parameter=city>\nZürich\n</parameter>\n"
            "<parameter=days>\n3\n</parameter>\n</function>\n</tool_call><|im_end|>\n"
            "<|im_start|>user\n<tool_response>\nsunny\n</tool_response><|im_end|>\n<|im_start|>assistant\n<think>\n"
        )

    def test_preserved_thinking_keeps_the_prefix(self) -> None:
        first = [user("One"), {"role": "assistant", "content": "1", "reasoning": "Easy."}]
        before = QWEN36.render(first, add_generation_prompt=False, preserve_thinking=True)
        after = QWEN36.render([*first, user("Two")], preserve_thinking=True)
        assert after.startswith(before)
        assert "Easy." not in QWEN36.render([*first, user("Two")])

    def test_later_system_messages_are_accommodated(self) -> None:
        prompt = QWEN36.render([user("Hi"), {"role": "system", "content": "Now in French."}])
        assert "<|im_start|>user\nNow in French.<|im_end|>" in prompt

    def test_conversation_without_user_is_accommodated(self) -> None:
        prompt = QWEN36.render([{"role": "system", "content": "Go."}])
        assert prompt.startswith("<|im_start|>system\nGo.<|im_end|>\n<|im_start|>user\n<|im_end|>\n")

    def test_refusals_carry_the_templates_words(self) -> None:
        with pytest.raises(TemplateError, match="Unexpected message role"):
            QWEN36.render([user("Hi"), {"role": "developer", "content": "x"}])


class TestQwen25:
    def test_default_system(self) -> None:
        assert QWEN25.render([user("Hi")]) == (
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        )

    def test_arguments_are_json_once(self) -> None:
        messages = [user("Weather?"), call('{"city": "Ulm"}'), {"role": "tool", "content": "rain"}]
        assert (
            '<tool_call>\n{"name": "weather", "arguments": {"city": "Ulm"}}\n</tool_call><|im_end|>\n'
            "<|im_start|>user\n<tool_response>\nrain\n</tool_response>"
        ) in QWEN25.render(messages, [WEATHER])

    def test_text_parts_and_missing_content(self) -> None:
        parts = [{"type": "text", "text": "Hi "}, {"type": "text", "text": "there"}]
        assert "user\nHi there<|im_end|>" in QWEN25.render([user(parts), {"role": "assistant"}])
        with pytest.raises(TemplateError, match=r"message 0: .*'image_url'"):
            QWEN25.render([user([{"type": "image_url", "image_url": {}}])])


class TestArguments:
    def test_empty_arguments(self) -> None:
        assert "<function=now>\n</function>" in QWEN36.render([user("?"), call("", "now")])

    @pytest.mark.parametrize("arguments", ["{", "[1]", '"x"'])
    def test_malformed_arguments_are_named(self, arguments: str) -> None:
        with pytest.raises(TemplateError, match=r"message 1: the arguments of 'weather' are no JSON"):
            QWEN36.render([user("?"), call(arguments)])

    def test_template_that_takes_text_gets_it_untouched(self) -> None:
        source = "{% set a = messages[0].tool_calls[0].function.arguments %}{{ a if a is string else a | tojson }}"
        assert "arguments is string" not in source
        aware = ChatTemplate("{% set arguments = messages[0].tool_calls[0].function.arguments %}"
                             "{%- if arguments is string %}{{ arguments }}{% endif %}")  # fmt: skip
        assert aware.render([call('{"a":1}')]) == '{"a":1}'
        assert ChatTemplate(source).render([call('{"a":1}')]) == '{"a": 1}'

    def test_the_callers_messages_stay_as_they_are(self) -> None:
        messages = [user([{"type": "text", "text": "x"}]), call('{"city": "Ulm"}')]
        before = json.dumps(messages)
        QWEN36.render(messages)
        assert json.dumps(messages) == before


class TestEnvironment:
    def test_dialect_of_transformers(self) -> None:
        source = """
{%- for n in range(9) %}
    {%- if n == 1 %}{% continue %}{% endif %}
    {%- if n == 3 %}{% break %}{% endif %}
    {{- n }}
{%- endfor %}
{% generation %}{{ bos_token }}{% endgeneration %}
{{ {"b": "<é>", "a": 1} | tojson(sort_keys=true) }} {{ strftime_now("%Y") | length }} {{ style }}"""
        assert ChatTemplate(source, bos="<s>").render([], style="x") == '02<s>{"a": 1, "b": "<é>"} 4 x'

    def test_loop_variables_survive_counting(self) -> None:
        source = (
            "{% for m in messages | selectattr('role', 'ne', 'x') %}{{ loop.index }}/{{ loop.length }}"
            "{{ loop.previtem.role ~ '<' if loop.previtem }}{{ m.content }}{{ ';' if not loop.last }}{% endfor %}"
        )
        assert ChatTemplate(source).render([user("a"), user("b")]) == "1/2a;2/2user<b"

    def test_content_as_parts_where_the_template_reads_it_so(self) -> None:
        source = "{% for x in messages %}{% for p in x.content %}{{ p.text }};{% endfor %}{% endfor %}"
        assert ChatTemplate(source).render([user("Why is the sky blue?"), user("Tell me.")]) == (
            "Why is the sky blue?;Tell me.;"
        )

    def test_a_prompt_without_what_the_user_says_is_an_error(self) -> None:
        with pytest.raises(TemplateError, match="leaves out what the user says"):
            ChatTemplate("{% for x in messages %}{{ x.text }}{% endfor %}|").render([user("Why is the sky blue?")])

    @pytest.mark.parametrize("source", ["{% if %}", "{{ x", "{% for a in b %}", "{{ x | nofilter }}", "{% include 3"])
    def test_malformed_template(self, source: str) -> None:
        with pytest.raises(TemplateError, match="malformed at line 1"):
            ChatTemplate(source)

    def test_failing_template(self) -> None:
        with pytest.raises(TemplateError, match="TypeError"):
            ChatTemplate("{{ 1 + 'x' }}").render([])

    @pytest.mark.parametrize(
        "source",
        [
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "{{ messages.append(1) }}",
            "{{ cycler.__init__.__globals__.os.system('true') }}",
            "{% include '/etc/passwd' %}",
        ],
    )
    def test_sandbox(self, source: str) -> None:
        with pytest.raises(TemplateError):
            ChatTemplate(source).render([user("x")])

    @pytest.mark.parametrize(
        "source",
        [
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "{% set r = range(99999) %}{% for a in r %}{% for b in r if b %}{% endfor %}{% endfor %}",
            "{% set n = namespace(x='xx') %}{% for a in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
            "{% set n = namespace(x='xx') %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
            "{% set n = namespace(x=[1]) %}{% for a in range(60) %}{% set n.x = n.x + n.x %}{% endfor %}",
            "{{ 'x' * 99999999999 }}",
            "{{ 99999999999 * [1] }}",
            "{{ 9 ** 999999999 }}",
            "{{ 'x'.ljust(99999999999) }}",
            "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
            "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
            "{% set x = 'x' * 1000000 %}{% for a in range(99999) %}{{ x }}{% endfor %}",
            "{% for a in " + "[" * 5000 + "]" * 5000 + " %}{% endfor %}",
        ],
    )
    def test_hungry_templates_are_stopped(self, source: str) -> None:
        started = time.process_time()
        with pytest.raises(TemplateError, match="--chat-template FILE"):
            ChatTemplate(source).render([])
        assert time.process_time() - started < 20

    def test_long_conversations_fit_the_budget(self) -> None:
        messages = [user("x" * 1000), {"role": "assistant", "content": "y" * 1000}] * 1000
        assert len(QWEN36.render(messages)) > 2_000_000
