"""One tool call as Hermes (Qwen2.5, Qwen3) writes it, a JSON object, to a name and arguments. Knows no streams."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from inhouse.tokenizer.lenient_json import DECODER, loads
from inhouse.tokenizer.schemas import Schema

_BETWEEN_CALLS = re.compile(r"(?:\s|</?tool_call>|```(?:json)?)*")
_LAST_NUMBER = re.compile(r"[-+.\deE]+\Z")  # more digits may have been to come


def schemas(tools: Sequence[Mapping[str, Any]] | None) -> dict[str, Schema]:
    """Name to JSON schema of the parameters, of tools in OpenAI's shape, with or without the "function" around."""
    found: dict[str, Schema] = {}
    for tool in tools or ():
        function = tool.get("function", tool)
        parameters = function.get("parameters")
        if isinstance(function.get("name"), str):
            found[function["name"]] = parameters if isinstance(parameters, Mapping) else {}
    return found


def json_call(body: str) -> tuple[str, str] | None:
    """(name, JSON arguments) of a Hermes call, None where `body` is not one.

    Takes what small models write: raw newlines in strings, arguments as JSON in a string or under "parameters", and
    the doubled outer braces that some templates show by mistake.
    """
    body = body.strip()
    candidates = [body, body[1:-1]] if body.startswith("{{") and body.endswith("}}") else [body]
    for candidate in candidates:
        try:
            call = loads(candidate)
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
            value, position = DECODER.raw_decode(text, position)
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


def _named(call: Any) -> tuple[str, str] | None:
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        try:
            arguments = loads(arguments)
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
