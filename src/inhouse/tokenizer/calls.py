"""One tool call as a model writes it, to a name and JSON arguments. Knows nothing of streams.

Two dialects: Qwen3.x and Qwen3-Coder write XML-like blocks whose values are bare text, typed by the tool's JSON schema;
Hermes (Qwen2.5, Qwen3) writes a JSON object.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

# A value may itself contain "</parameter>": it ends where another parameter, or the end of the function, follows.
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>(.*?)</parameter>(?=\s*(?:<parameter=|\Z))", re.DOTALL)
# Without its end marker a value ends at the next parameter or the end of the function.
_OPEN_PARAMETER = re.compile(
    r"\s*<parameter=([^>\n]+)>(.*?)(?:</parameter>(?=\s*(?:<parameter=|\Z))|(?=\n<parameter=)|\Z)", re.DOTALL
)
_TYPES = ("null", "boolean", "integer", "number", "array", "object", "string")  # the order in which they are tried

_BETWEEN_CALLS = re.compile(r"(?:\s|</?tool_call>|```(?:json)?)*")
_LAST_NUMBER = re.compile(r"[-+.\deE]+\Z")  # more digits may have been to come
_DECODER = json.JSONDecoder(strict=False)

Schema = Mapping[str, Any]


def schemas(tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Schema]:
    """Name to JSON schema of the parameters, of tools in OpenAI's shape, with or without the "function" around."""
    found: dict[str, Schema] = {}
    for tool in tools or ():
        function = tool.get("function", tool)
        parameters = function.get("parameters")
        if isinstance(function.get("name"), str):
            found[function["name"]] = parameters if isinstance(parameters, Mapping) else {}
    return found


def xml_arguments(body: str, schema: Schema, *, lenient: bool = False) -> str | None:
    """The arguments in `<parameter=KEY>VALUE</parameter>...` as a JSON object, None where `body` is not (yet) that.

    `lenient` forgives missing end markers, for when nothing more can come.
    """
    pattern = _OPEN_PARAMETER if lenient else _PARAMETER
    arguments: dict[str, Any] = {}
    position = 0
    while match := pattern.match(body, position):
        key, value = match[1].strip(), match[2]
        value = value.removeprefix("\n").removesuffix("\n")
        arguments[key] = typed(value, schema.get("properties", {}).get(key), schema)
        position = match.end()
    return None if body[position:].strip() else json.dumps(arguments, ensure_ascii=False)


def json_call(body: str) -> tuple[str, str] | None:
    """(name, JSON arguments) of a Hermes call, None where `body` is not one.

    Takes what small models write: raw newlines in strings, arguments as JSON in a string or under "parameters", and
    the doubled outer braces that some templates show by mistake.
    """
    body = body.strip()
    candidates = [body, body[1:-1]] if body.startswith("{{") and body.endswith("}}") else [body]
    for candidate in candidates:
        try:
            call = json.loads(candidate, strict=False)
        except (ValueError, RecursionError):
            continue
        return _named(call)
    return None


def bare_calls(text: str, names: Collection[str]) -> list[tuple[str, str]]:
    """(name, JSON arguments) of the Hermes calls without markers that `text` consists of; empty where it is not that.

    Fences and stray markers around them are forgiven. Each must be of one of `names` and have arguments: other JSON
    has a name, too.
    """
    found: list[tuple[str, str]] = []
    position = _BETWEEN_CALLS.match(text).end()  # type: ignore[union-attr]  # it matches nothing, too
    if doubled := json_call(text[position:]) if text.startswith("{{", position) else None:
        return [doubled] if doubled[0] in names else []
    while position < len(text):
        try:
            value, position = _DECODER.raw_decode(text, position)
        except (ValueError, RecursionError):
            return []
        call = _named(value) if isinstance(value, dict) and value.keys() & {"arguments", "parameters"} else None
        if call is None or call[0] not in names:
            return []
        found.append(call)
        position = _BETWEEN_CALLS.match(text, position).end()  # type: ignore[union-attr]
    return found


def cut_json_call(body: str, names: Collection[str]) -> tuple[str, str] | None:
    """(name, JSON arguments) of a Hermes call to one of `names` that breaks off: the members that are whole.

    None where not even the name is.
    """
    start = _BETWEEN_CALLS.match(body).end()  # type: ignore[union-attr]  # it matches nothing, too
    try:
        call = from_json(_LAST_NUMBER.sub("", body[start:]), allow_partial=True)
    except ValueError:
        return None
    if not isinstance(call, dict) or call.get("name") not in names:
        return None
    arguments = call.get("arguments", call.get("parameters"))
    return call["name"], json.dumps(arguments if isinstance(arguments, dict) else {}, ensure_ascii=False)


def cut_xml_arguments(body: str, schema: Schema) -> str:
    """The arguments of an XML call that breaks off, as a JSON object: those that are whole."""
    whole = body[: body.rfind("</parameter>") + len("</parameter>")] if "</parameter>" in body else ""
    return xml_arguments(whole, schema) or "{}"


def _named(call: Any) -> tuple[str, str] | None:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False)
        except (ValueError, RecursionError):
            return None
    return (call["name"], json.dumps(arguments, ensure_ascii=False)) if isinstance(arguments, dict) else None


def ends_in_string(text: str) -> bool:
    """Whether JSON `text` breaks off inside a string literal."""
    inside = False
    characters = iter(text)
    for character in characters:
        if character == "\\" and inside:
            next(characters, None)
        elif character == '"':
            inside = not inside
    return inside


def typed(text: str, schema: Any, root: Schema) -> Any:
    """A bare value as the type that its JSON schema asks for; text where it fits none of them, or has no schema."""
    allowed = _allowed(schema, root, depth=0)
    for name in _TYPES:
        if name in allowed:
            found, value = _as_type(text, name)
            if found:
                return value
    return text


def _allowed(schema: Any, root: Schema, depth: int) -> frozenset[str]:
    """The types a schema allows, through unions, enumerations and references within its tool."""
    if not isinstance(schema, Mapping) or depth > 8:
        return frozenset()
    if isinstance(reference := schema.get("$ref"), str) and reference.startswith("#/"):
        target: Any = root
        for step in reference[2:].split("/"):
            target = target.get(step) if isinstance(target, Mapping) else None
        return _allowed(target, root, depth + 1)
    names = schema.get("type", ())
    found = {names} if isinstance(names, str) else {name for name in names if isinstance(name, str)}
    if not found and isinstance(values := schema.get("enum", [schema["const"]] if "const" in schema else None), list):
        found = {_type_of(value) for value in values}
    for union in ("anyOf", "oneOf", "allOf"):
        for member in schema.get(union, ()):
            found |= _allowed(member, root, depth + 1)
    return frozenset(found)


def _type_of(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _as_type(text: str, name: str) -> tuple[bool, Any]:
    """(True, value) if `text` can be read as a JSON type; Python's spelling of constants is taken too."""
    if name == "string":
        return True, text
    word = text.strip()
    if name == "null":
        return word in ("null", "None"), None
    if name == "boolean":
        return word.lower() in ("true", "false"), word.lower() == "true"
    try:
        value = json.loads(word, parse_constant=_no_constant, strict=False)
    except (ValueError, RecursionError):
        return False, None
    if name in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            return False, None
        if name == "integer" and value != int(value):
            return False, None
        return True, int(value) if name == "integer" else value
    return isinstance(value, list if name == "array" else dict), value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")
