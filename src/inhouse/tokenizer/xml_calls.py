"""One tool call as Qwen3.x and Qwen3-Coder write it: XML-like blocks whose values are bare text. Knows no streams."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from inhouse.tokenizer.lenient_json import loads
from inhouse.tokenizer.schemas import TYPES, Schema, SchemaError, alternatives, types_of
from inhouse.tokenizer.xml_values import valid, written

# A value may itself contain "</parameter>": it ends where another parameter, or the end of the function, follows.
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>(.*?)</parameter>(?=\s*(?:<parameter=|\Z))", re.DOTALL)
# Without its end marker a value ends at the next parameter or the end of the function.
_OPEN_PARAMETER = re.compile(
    r"\s*<parameter=([^>\n]+)>(.*?)(?:</parameter>(?=\s*(?:<parameter=|\Z))|(?=\n<parameter=)|\Z)", re.DOTALL
)


def xml_arguments(body: str, schema: Schema, *, lenient: bool = False) -> str | None:
    """The arguments in `<parameter=KEY>VALUE</parameter>...` as a JSON object, None where `body` is not (yet) that.

    `lenient` forgives missing end markers, for when nothing more can come.
    """
    pattern = _OPEN_PARAMETER if lenient else _PARAMETER
    texts: list[tuple[str, str]] = []
    position = 0
    while match := pattern.match(body, position):
        texts.append((match[1].strip(), match[2].removeprefix("\n").removesuffix("\n")))
        position = match.end()
    return None if body[position:].strip() else json.dumps(_read(texts, schema), ensure_ascii=False)


def cut_xml_arguments(body: str, schema: Schema) -> str:
    """The arguments of an XML call that breaks off, as a JSON object: those that are whole."""
    whole = body[: body.rfind("</parameter>") + len("</parameter>")] if "</parameter>" in body else ""
    return xml_arguments(whole, schema) or "{}"


def _read(texts: Sequence[tuple[str, str]], schema: Schema) -> dict[str, Any]:
    """Parameters as `schema` means them; of a union as the first of its members that they fit."""
    try:
        forms = alternatives(schema, schema) or [schema]
    except SchemaError:
        forms = [schema]
    found = [{key: typed(text, schema_of(key, form), schema) for key, text in texts} for form in forms]
    if len(found) == 1:
        return found[0]
    return next((arguments for arguments in found if valid(arguments, schema, schema)), found[0])


def schema_of(key: str, form: Schema) -> Any:
    """The schema of a parameter, of a tool's schema without references or unions at its top."""
    return form.get("properties", {}).get(key, form.get("additionalProperties", {}))


def typed(text: str, schema: Any, root: Schema) -> Any:
    """A bare value as what its JSON schema, a part of `root`, asks for.

    Where nothing that it can be read as fits the schema: as one of its types; text where it is none of them either.
    """
    readings = list(_readings(text, schema, root))
    return next((value for value in readings if valid(value, schema, root)), readings[0])


def _readings(text: str, schema: Any, root: Schema) -> Iterator[Any]:
    """What `text` may mean, the likeliest first; at least one."""
    allowed, quoted = _allowed(schema, root)
    if quoted:
        yield from _as_json(text)
    for name in TYPES:
        if name in allowed and name != "string":
            found, value = _as_type(text, name)
            if found:
                yield value
    yield text
    if text.startswith('"'):
        yield from _as_json(text)


def _allowed(schema: Any, root: Schema) -> tuple[frozenset[str], bool]:
    """The types that a schema allows, and whether its strings are written as JSON."""
    try:
        types = map(types_of, alternatives(schema, root))
        return frozenset().union(*types), written(schema, root).quoted
    except SchemaError:
        return frozenset(TYPES if schema else ()), False


def _as_json(text: str) -> Iterator[Any]:
    try:
        yield loads(text)
    except (ValueError, RecursionError):
        return


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
        value = loads(word)
    except (ValueError, RecursionError):
        return False, None
    if name in ("integer", "number"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False, None
        if name == "integer" and (value != int(value) or abs(value) == sys.float_info.max):
            return False, None
        return True, int(value) if name == "integer" else value
    return isinstance(value, list if name == "array" else dict), value
