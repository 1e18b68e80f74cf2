"""How tool calls look in each dialect, as grammars in llguidance's Lark notation. Knows neither models nor requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from inhouse.engine.xml_grammar import json_of, xml_call
from inhouse.tokenizer import Dialect
from inhouse.tokenizer.schemas import Schema, SchemaError

Problem = Callable[[str], str]  # why a grammar cannot be enforced; empty if it can
Sound = Callable[[str], bool]  # whether a grammar can be enforced

BEGIN, END = "<tool_call>", "</tool_call>"
_ANY: Schema = {"type": "object"}
_SPACING = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}  # as templates write it
_LENIENT = {"lenient": True, "coerce_one_of": True}  # what cannot be enforced of a schema is left out
_FREE_SPACING = {"whitespace_pattern": r"[ \n\t]{1,32}"}  # as the model likes, but it must go on
_GAP = r"/[ \n\t]{0,32}/"
_SOME = r"/[ \n\t]{1,32}/"
_BARE_HEAD = re.compile(
    rb"\s*(?P<fence>```(?:json)?[ \t]*\n\s*)?(?P<braces>\{\s*(?:\{\s*)?)"
    rb'"name"\s*:\s*"(?P<name>[^"\\]+)"\s*,\s*"(?:arguments|parameters)"\s*:'
)


def json_grammar(schema: Schema) -> str:
    """A text that is JSON of `schema`, and nothing else."""
    return f"start: {json_of(schema, _FREE_SPACING)}"


def joined(start: str, **grammars: str) -> str:
    """A grammar whose `start` names others as @name."""
    parts = [{"name": name, "lark_grammar": grammar} for name, grammar in grammars.items()]
    return json.dumps({"grammars": [{"lark_grammar": f"start: {start}"}, *parts]})


class BareHead(NamedTuple):
    """How an answer begins that is a JSON call without markers, up to its arguments."""

    name: str
    fenced: bool
    braces: int
    length: int  # bytes

    def grammar(self, tools: Mapping[str, Schema], sound: Sound, *, several: bool) -> str:
        """What must follow: the arguments, and with `several` perhaps more calls of any of `tools`."""
        end = f" {_GAP} {_text('}')}" * self.braces
        fence = f" {_text(chr(10) + '```')}" if self.fenced else ""
        rules, more = "", ""
        if several and self.braces == 1:
            # Having written one call with markers, a model may well close the next with one.
            close = "" if self.fenced else f" {_text(chr(10) + END)}?"
            more = f"{close} ({_SOME} more{close})*" + ("" if self.fenced else f" {_SOME}?")
            names = [f"tool_{index}" for index in range(len(tools))]
            rules = f"\nmore: {' | '.join(names)}\n" + "\n".join(map(_bare_call, names, tools, tools.values()))
        start = f"start: {_GAP} arguments{end}"
        whole = f"{start}{more}{fence}\narguments: {_free_json(tools[self.name])}{rules}"
        return whole if sound(whole) else f"{start}{fence}\narguments: {_free_json(_ANY)}"


def bare_head(text: bytes) -> BareHead | None:
    """The head of a bare call with which `text` begins, once it is whole. Models that were given tools write such."""
    found = _BARE_HEAD.match(text)
    if found is None:
        return None
    name = found["name"].decode("utf-8", "replace")
    return BareHead(name, found["fence"] is not None, found["braces"].count(b"{"), found.end())


class ToolGrammar(NamedTuple):
    """The body of a call of one tool, up to its end marker."""

    rules: str
    loosened: str  # what of its schema cannot be enforced; empty: all is


def tool_grammar(dialect: Dialect, rule: str, name: str, schema: Schema, problem: Problem) -> ToolGrammar:
    """`rule` for a call of tool `name`: of its schema as much as can be enforced."""
    write = xml_call if dialect == "qwen3_xml" else _json_call
    loosened = ""
    for options in (_SPACING, {**_SPACING, **_LENIENT}):
        try:
            own = write(rule, name, schema, options)
        except SchemaError as error:
            loosened = loosened or str(error)
            continue
        why = problem(f"start: {rule}\n{own}")
        if not why:
            return ToolGrammar(own, loosened)
        loosened = loosened or why
    return ToolGrammar(write(rule, name, _ANY, _SPACING), loosened)


def call_grammar(tools: Sequence[ToolGrammar], *, begun: bool) -> str:
    """One call of any of `tools`, whose rules are `tool_0` and so on; `begun`: its first marker is there already."""
    names = " | ".join(f"tool_{index}" for index in range(len(tools)))
    head = "" if begun else f"{_text(BEGIN)} "
    rules = "\n".join(tool.rules for tool in tools)
    return f"start: {head}{_text(chr(10))} ({names}) {_text(chr(10) + END)}\n{rules}"


def _json_call(rule: str, name: str, schema: Schema, options: Mapping[str, Any]) -> str:
    head = f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '
    arguments = json_of({"type": "object", **schema}, options)
    return f"{rule}: {_text(head)} {arguments} {_text('}')}"


def _bare_call(rule: str, name: str, schema: Schema) -> str:
    parts = ("{", '"name"', ":", json.dumps(name, ensure_ascii=False), ",", '"arguments"', ":")
    return f"{rule}: {f' {_GAP} '.join(map(_text, parts))} {_GAP} {_free_json(schema)} {_GAP} {_text('}')}"


def _free_json(schema: Schema) -> str:
    return json_of({"type": "object", **schema}, _FREE_SPACING)


def _text(text: str) -> str:
    """A literal."""
    return json.dumps(text, ensure_ascii=False)
