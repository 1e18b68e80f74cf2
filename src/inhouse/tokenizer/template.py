"""The chat template of a model: a conversation becomes the prompt it was trained on. Knows no tokens.

Templates come with model files and are not trusted: they run in Jinja's sandbox (no attributes of Python's internals,
nothing of the caller's changed) with a budget of steps and sizes (`inhouse.tokenizer.budget`). The environment is the
one that transformers gives them: trimmed blocks, `break` and `continue`, `raise_exception`, `strftime_now`, `tojson`
without HTML escapes, `{% generation %}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from inhouse.errors import TemplateError
from inhouse.tokenizer.budget import BUDGET, Budget, BudgetedEnvironment, BudgetError


class _RefusalError(Exception):
    """A template called raise_exception."""


class _GenerationBlock(Extension):
    """`{% generation %}` marks what a training run learns from; here it is only its contents."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


_WORD = re.compile(r"\w+")
_LOOKED_AT = 20  # words
_ADVICE = "give another with --chat-template FILE, or use generate with a prompt of your own"


class ChatTemplate:
    """A compiled template. `bos` and `eos` are the texts it may ask for as bos_token and eos_token."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        """Raises TemplateError when `source` is no Jinja template."""
        environment = BudgetedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _GenerationBlock]
        )
        environment.filters["tojson"] = _tojson
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = _now
        self._names = {"bos_token": bos, "eos_token": eos}
        self._arguments_as_text = "arguments is string" in source
        try:
            self._template = environment.budgeted(source)
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                f"the model's chat template is malformed at line {error.lineno}: {error.message}; {_ADVICE}"
            ) from error
        except RecursionError as error:
            raise TemplateError(f"the model's chat template is nested too deeply; {_ADVICE}") from error

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = True,
        **flags: Any,
    ) -> str:
        """The prompt for a conversation in OpenAI's shape (role, content, tool_calls, tool_call_id).

        `flags` are the template's own switches, such as enable_thinking. Content may be a list of text parts;
        `reasoning` is given to the template as reasoning_content; arguments of tool calls, JSON text on the wire, as
        mappings. A template that refuses later system messages, or a conversation without a user, gets the
        former as user messages and an empty user message. One that reads content as a list of parts gets that.
        Raises TemplateError with the template's own words, and where the prompt has nothing of what a user said.
        """
        given = [_message(message, index, self._arguments_as_text) for index, message in enumerate(messages)]
        context = {**self._names, "tools": list(tools) if tools else None, **flags}
        context["add_generation_prompt"] = add_generation_prompt
        text = self._accepted(given, context)
        if _shows(text, given):
            return text
        parts = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in given]
        try:
            other = self._accepted(parts, context)
        except TemplateError:
            other = ""
        if _shows(other, given):
            return other
        raise TemplateError(
            f"the model's chat template leaves out what the user says, so that there is nothing to answer; {_ADVICE}"
        )

    def _accepted(self, given: list[dict[str, Any]], context: Mapping[str, Any]) -> str:
        """The prompt, for a conversation in a narrower form where the template refuses it as it is."""
        try:
            return self._render(given, context)
        except _RefusalError as refusal:
            accepted = _accommodated(given)
            if accepted == given:
                raise TemplateError(f"the model's chat template refuses this conversation: {refusal}") from refusal
        try:
            return self._render(accepted, context)
        except _RefusalError as refusal:
            raise TemplateError(f"the model's chat template refuses this conversation: {refusal}") from refusal

    def _render(self, messages: list[dict[str, Any]], context: Mapping[str, Any]) -> str:
        try:
            budget = Budget()
            return budget.joined(self._template.generate({**context, "messages": messages, BUDGET: budget}))
        except _RefusalError:
            raise
        except BudgetError as error:
            raise TemplateError(f"the model's chat template {error}; {_ADVICE}") from error
        except RecursionError as error:
            raise TemplateError(f"the model's chat template calls itself without end; {_ADVICE}") from error
        except Exception as error:
            # Untrusted code may fail with anything: a TypeError from adding None is as likely as Jinja's own errors.
            raise TemplateError(
                f"the model's chat template fails on this conversation: {type(error).__name__}: {error}"
            ) from error


def _message(message: Mapping[str, Any], index: int, arguments_as_text: bool) -> dict[str, Any]:
    """A message as templates expect it: text content, mappings as arguments, reasoning_content."""
    given = dict(message)
    given["content"] = _content(message.get("content"), index)
    if "reasoning_content" not in given and isinstance(given.get("reasoning"), str):
        given["reasoning_content"] = given["reasoning"]
    if calls := given.pop("tool_calls", None):
        given["tool_calls"] = [_call(call, index, arguments_as_text) for call in calls]
    return given


def _content(content: Any, index: int) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence):
        raise TemplateError(f"message {index}: content is {type(content).__name__}; give text or a list of text parts")
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else part
        if not isinstance(text, str):
            kind = part.get("type") if isinstance(part, Mapping) else type(part).__name__
            raise TemplateError(f"message {index}: content has a part of type {kind!r}; only text parts can be read")
        texts.append(text)
    return "".join(texts)


def _call(call: Mapping[str, Any], index: int, as_text: bool) -> dict[str, Any]:
    function = call.get("function", call)
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str):
        raise TemplateError(f"message {index}: a tool call has no name; give function.name")
    if isinstance(arguments, str) and not as_text:
        try:
            arguments = json.loads(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise TemplateError(f"message {index}: the arguments of {name!r} are no JSON: {error}") from error
        if not isinstance(arguments, dict):
            raise TemplateError(f"message {index}: the arguments of {name!r} are no JSON object: {arguments!r}")
    return {**call, "function": {**function, "arguments": {} if arguments is None else arguments}}


def _shows(text: str, messages: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a prompt has most of the words that the user said last; a template may change some of them."""
    said = next((str(one["content"]) for one in reversed(messages) if one.get("role") == "user"), "")
    words = _WORD.findall(said)[:_LOOKED_AT]
    return 2 * sum(word in text for word in words) >= len(words)


def _accommodated(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation in the narrow form that some templates insist on: one system message, and a user."""
    narrow = [
        {**message, "role": "user"} if index and message.get("role") == "system" else message
        for index, message in enumerate(messages)
    ]
    if not any(message.get("role") == "user" for message in narrow):
        first = 1 if narrow and narrow[0].get("role") == "system" else 0
        narrow.insert(first, {"role": "user", "content": ""})
    return narrow


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None,
            sort_keys: bool = False) -> str:  # fmt: skip
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: object) -> NoReturn:
    raise _RefusalError(str(message))


def _now(format: str) -> str:
    return datetime.now().strftime(format)
