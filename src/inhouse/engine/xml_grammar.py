"""One call of a tool in the XML dialect, as rules in llguidance's Lark notation. Knows neither models nor requests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from inhouse.tokenizer.schemas import Schema, SchemaError, alternatives, with_known_formats
from inhouse.tokenizer.xml_values import Written, written

_PARAMETER_END = "\n</parameter>\n"
_ANY_TEXT = "/(?s:.*)/"  # of characters: what is only not something else may be bytes that are none
# Text in which a reader would see the value end before it does.
_NO_END = r"~/(?s:.*)<\/parameter>\s*(<parameter=|<\/function>|<\/tool_call>)(?s:.*)/"
_KNOWN = frozenset(
    ("type", "properties", "required", "additionalProperties", "title", "description", "default", "examples", "strict",
     "$comment", "$schema", "$id", "$defs", "definitions", "deprecated", "nullable", "readOnly", "writeOnly",
     "discriminator")
)  # fmt: skip
_KEY = re.compile(r"[^\s>](?:[^>\n]*[^\s>])?")


def xml_call(rule: str, name: str, schema: Schema, json_options: Mapping[str, Any]) -> str:
    """`rule` for a call of tool `name`. Raises SchemaError where a call cannot be bound to `schema`."""
    bodies, rules = [], []
    for index, form in enumerate(_forms(schema, bound="lenient" not in json_options)):
        body, own = _body(f"{rule}_{index}", form, schema, json_options)
        bodies.append(f"({body})")
        rules += own
    head, end = _text(f"<function={name}>\n"), _text("</function>")
    return "\n".join([f"{rule}: {head} ({' | '.join(bodies)}) {end}", *rules])


def _forms(schema: Schema, *, bound: bool) -> list[Schema]:
    """The objects of which arguments may be one; not `bound`: what cannot be bound is left out."""
    try:
        forms = alternatives(schema, schema)
    except SchemaError:
        if bound:
            raise
        forms = [{key: value for key, value in schema.items() if key in _KNOWN}]
    found = []
    for form in forms:
        if bound and (other := sorted(form.keys() - _KNOWN)):
            raise SchemaError(f"{', '.join(other)} of a tool's parameters cannot be held in this model's dialect")
        if form.get("type", "object") == "object" or "object" in form["type"]:
            found.append(form)
    if not found:
        raise SchemaError("a tool's parameters must be an object")
    return found


def _body(rule: str, form: Schema, root: Schema, json_options: Mapping[str, Any]) -> tuple[str, list[str]]:
    properties = form.get("properties", {})
    required = set(form.get("required", ()))
    extra = form.get("additionalProperties", True)
    parts, rules = [], []
    for index, key in enumerate(dict.fromkeys([*properties, *sorted(required)])):
        if not _KEY.fullmatch(key):
            raise SchemaError(f"a parameter cannot be named {key!r} in this model's dialect")
        part = f"{rule}_{index}"
        try:
            ways = written(properties.get(key, extra), root)
        except SchemaError as error:
            if key in required:
                raise SchemaError(f"parameter {key!r}: {error}") from None
            continue
        parts.append(part if key in required else f"{part}?")
        rules += _parameter(part, _text(f"<parameter={key}>\n"), ways, json_options)
    if not properties and not required and extra is not False:
        parts.append(f"{rule}_any*")
        head = f"{_text('<parameter=')} /[A-Za-z_][A-Za-z0-9_]*/ {_text('>' + chr(10))}"
        rules += _parameter(f"{rule}_any", head, written(extra, root), json_options)
    return " ".join(parts) or _text(""), rules


def _parameter(rule: str, head: str, ways: Written, json_options: Mapping[str, Any]) -> list[str]:
    """A parameter whose value is written in any of the `ways`."""
    if ways.patterns:
        each = (" & ".join(map(_regex, pattern)) for pattern in ways.patterns if pattern)
        text = _ANY_TEXT if () in ways.patterns else f"({' | '.join(each)})"
        terminal = rule.upper()
        return [
            f"{rule}: {head} {rule}_text",
            f"{rule}_text[suffix={_text(_PARAMETER_END)}]: {terminal}",
            f"{terminal}: {text} & {_NO_END}",
        ]
    choices = list(map(_text, ways.words))
    if ways.json is not None:
        choices.append(json_of(ways.json, json_options))
    return [f"{rule}: {head} ({' | '.join(choices)}) {_text(_PARAMETER_END)}"]


def json_of(schema: Schema, options: Mapping[str, Any]) -> str:
    """JSON of `schema`, as a part of a rule. `options` are llguidance's."""
    return "%json " + json.dumps({**with_known_formats(schema), "x-guidance": dict(options)})


def _regex(pattern: str) -> str:
    """A regular expression as Lark writes it."""
    escaped = re.sub(r"(\\.)|(/)", lambda found: found[1] or r"\/", pattern, flags=re.DOTALL)
    return f"/{escaped}/".replace("\n", r"\n").replace("\r", r"\r")


def _text(text: str) -> str:
    """A literal."""
    return json.dumps(text, ensure_ascii=False)
