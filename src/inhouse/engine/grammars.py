"""How tool calls look in each dialect, as grammars in llguidance's Lark notation. Knows neither models nor requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from inhouse.tokenizer import Dialect

Schema = Mapping[str, Any]
Sound = Callable[[str], bool]  # whether a grammar can be enforced

BEGIN, END = "<tool_call>", "</tool_call>"
_PARAMETER_END = "\n</parameter>\n"
_ANY: Schema = {"type": "object"}
_SPACING = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False}  # as templates write it
_FREE_SPACING = {"whitespace_pattern": r"[ \n\t]{1,32}"}  # as the model likes, but it must go on
_GAP = r"/[ \n\t]{0,32}/"
_SOME = r"/[ \n\t]{1,32}/"
_BARE_HEAD = re.compile(
    rb"\s*(?P<fence>```(?:json)?[ \t]*\n\s*)?(?P<braces>\{\s*(?:\{\s*)?)"
    rb'"name"\s*:\s*"(?P<name>[^"\\]+)"\s*,\s*"(?:arguments|parameters)"\s*:'
)


def json_grammar(schema: Schema) -> str:
    """A text that is JSON of `schema`, and nothing else."""
    return "start: %json " + json.dumps({**schema, "x-guidance": _FREE_SPACING})


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


def call_grammar(dialect: Dialect, tools: Mapping[str, Schema], sound: Sound, *, begun: bool) -> str:
    """One call of any of `tools`; `begun`: its first marker is there already.

    A schema that cannot be enforced is replaced by that of any object.
    """
    write = _xml_call if dialect == "qwen3_xml" else _json_call
    rules, names = [], []
    for index, (name, schema) in enumerate(tools.items()):
        own = write(f"tool_{index}", name, schema)
        if not sound(f"start: tool_{index}\n{own}"):
            own = write(f"tool_{index}", name, _ANY)
        rules.append(own)
        names.append(f"tool_{index}")
    head = "" if begun else f"{_text(BEGIN)} "
    return f"start: {head}{_text(chr(10))} ({' | '.join(names)}) {_text(chr(10) + END)}\n" + "\n".join(rules)


def _json_call(rule: str, name: str, schema: Schema) -> str:
    head = f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": '
    return f"{rule}: {_text(head)} {_json({'type': 'object', **schema})} {_text('}')}"


def _xml_call(rule: str, name: str, schema: Schema) -> str:
    properties = schema.get("properties", {})
    required = set(schema.get("required", ()))
    parts, rules = [], []
    for index, (key, value) in enumerate(properties.items()):
        part = f"{rule}_{index}"
        parts.append(part if key in required else f"{part}?")
        rules += _xml_value(part, key, value if isinstance(value, Mapping) else {}, schema)
    if not properties and schema.get("additionalProperties", True) is not False:
        parts.append(f"{rule}_any*")
        rules += [
            f"{rule}_any: {_text('<parameter=')} /[A-Za-z_][A-Za-z0-9_]*/ {_text('>' + chr(10))} {rule}_any_text",
            f"{rule}_any_text[suffix={_text(_PARAMETER_END)}]: /(?s:.*)/",
        ]
    body = " ".join([_text(f"<function={name}>\n"), *parts, _text("</function>")])
    return "\n".join([f"{rule}: {body}", *rules])


def _xml_value(rule: str, key: str, schema: Schema, root: Schema) -> list[str]:
    """A parameter: text as it is, anything else as JSON."""
    head = _text(f"<parameter={key}>\n")
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
        return [f"{rule}: {head} ({' | '.join(map(_text, values))}) {_text(_PARAMETER_END)}"]
    if schema.get("type") in ("integer", "number", "boolean", "null", "array", "object"):
        shared = {name: root[name] for name in ("$defs", "definitions") if name in root}
        return [f"{rule}: {head} {_json({**schema, **shared})} {_text(_PARAMETER_END)}"]
    return [f"{rule}: {head} {rule}_text", f"{rule}_text[suffix={_text(_PARAMETER_END)}]: /(?s:.*)/"]


def _json(schema: Schema) -> str:
    return "%json " + json.dumps({**schema, "x-guidance": _SPACING})


def _bare_call(rule: str, name: str, schema: Schema) -> str:
    parts = ("{", '"name"', ":", json.dumps(name, ensure_ascii=False), ",", '"arguments"', ":")
    return f"{rule}: {f' {_GAP} '.join(map(_text, parts))} {_GAP} {_free_json(schema)} {_GAP} {_text('}')}"


def _free_json(schema: Schema) -> str:
    return "%json " + json.dumps({"type": "object", **schema, "x-guidance": _FREE_SPACING})


def _text(text: str) -> str:
    """A literal."""
    return json.dumps(text, ensure_ascii=False)
