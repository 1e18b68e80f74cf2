"""How a value of a JSON schema is written in the XML dialect of tool calls: a string as it is, anything else as JSON.

What binds a call and what reads it share this, so that a value that can be drawn means what its schema says. A string
beside which other values cannot be told apart is written as JSON, with its quotes.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as InvalidSchema

from inhouse.tokenizer.schemas import TYPES, Schema, SchemaError, alternatives, types_of, values_of

_ENDS = re.compile(r"</parameter>\s*(?:<parameter=|</function>|</tool_call>)")  # where a reader sees the value end
_UNWRITTEN = ("not", "if", "$dynamicRef")  # of a string written as it is no grammar can say these
_TEXT_OF = {
    "null": "null",
    "boolean": "(true|false)",
    "integer": "-?(0|[1-9][0-9]{0,17})",
    "number": r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][-+]?[0-9]{1,2})?",
}
_PLAIN = frozenset(("type", "title", "description", "default", "examples", "format", "nullable"))
_FORMATS = {
    "date": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])",
    "time": r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])",
    "uuid": r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    "email": r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,8}",
    "ipv4": r"((25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])",
}
_FORMATS["date-time"] = f"{_FORMATS['date']}T{_FORMATS['time']}"


@dataclass(frozen=True)
class Written:
    """The ways to write a value of one schema, any of which may be used."""

    words: tuple[str, ...] = ()  # texts as they are
    patterns: tuple[tuple[str, ...], ...] = ()  # regular expressions, all of one tuple for a whole text
    json: Schema | None = None  # JSON of this schema
    quoted: bool = False  # strings are JSON, too


def written(schema: Any, root: Schema) -> Written:
    """How values of `schema`, a part of `root`, are written. Raises SchemaError for one that has none."""
    try:
        leaves = alternatives(schema, root)
    except SchemaError:
        leaves = None
    if leaves == []:
        raise SchemaError("no value fits it")
    if leaves is not None and (ways := _bare(leaves, root)) is not None:
        return ways
    return Written(json=self_contained(schema, root), quoted=True)


def _bare(leaves: list[Schema], root: Schema) -> Written | None:
    """Strings as they are; None where they could not be told from what is written beside them."""
    words: list[str] = []
    strings: list[tuple[str, ...]] = []
    others: list[Schema] = []
    for leaf in leaves:
        types = types_of(leaf)
        if (values := values_of(leaf)) is not None:
            values = [value for value in values if valid(value, leaf, root)]
            words += [value for value in values if isinstance(value, str)]
            if rest := [value for value in values if not isinstance(value, str)]:
                others.append({"enum": rest})
            continue
        if not types or "string" in types:
            if (found := _patterns(leaf)) is None:
                return None
            strings.append(found)
        if rest := [name for name in TYPES if name in types and name != "string"]:
            others.append({**leaf, "type": rest[0] if len(rest) == 1 else rest})
    if any(map(_ENDS.search, words)):
        return None
    if () in strings:
        return Written(patterns=((),))  # any text, which may be that of another type as well
    if strings:
        # A lexer that reads a number to its end could not go back to a string that begins with one: all is one text.
        texts = [_scalar(each) for each in others]
        if None in texts:
            return None
        return Written(patterns=(*strings, *((text,) for text in texts if text), *_literal(words)))
    return Written(tuple(words), json=self_contained(_union(others), root) if others else None)


def _union(schemas: list[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _literal(words: list[str]) -> Iterator[tuple[str]]:
    return ((re.escape(word).replace("\n", r"\n"),) for word in words)


def _scalar(schema: Schema) -> str | None:
    """A regular expression for JSON of a schema without limits; None for any other."""
    if (values := values_of(schema)) is not None:
        texts = [json.dumps(value, ensure_ascii=False) for value in values]
        return None if any(text[0] in "[{" for text in texts) else "|".join(map(re.escape, texts))
    if schema.keys() - _PLAIN or not types_of(schema) <= _TEXT_OF.keys():
        return None
    return "|".join(_TEXT_OF[name] for name in types_of(schema))


def _patterns(leaf: Schema) -> tuple[str, ...] | None:
    """Regular expressions that a string of `leaf` matches from end to end; None where there are none for it."""
    if any(key in leaf for key in _UNWRITTEN):
        return None
    found = []
    if "pattern" in leaf:
        pattern = whole_pattern(leaf["pattern"])
        if pattern is None:
            return None
        found.append(pattern)
    least, most = int(leaf.get("minLength", 0)), leaf.get("maxLength")
    if least or most is not None:
        found.append(f"(?s:.{{{least},{'' if most is None else int(most)}}})")
    if leaf.get("format") in _FORMATS:
        found.append(_FORMATS[leaf["format"]])
    return tuple(found)


def whole_pattern(pattern: object) -> str | None:
    """What a whole text matches in which JSON Schema's `pattern` is found somewhere; None if that is not known.

    Anchors are understood at the ends of the pattern and of its outermost choices.
    """
    if not isinstance(pattern, str):
        return None
    choices = []
    for choice in _choices(pattern):
        start, stop = choice.startswith("^"), choice.endswith("$") and not choice.endswith("\\$")
        inner = choice[start : len(choice) - stop]
        if _anchored(inner):
            return None
        choices.append(f"{'' if start else '(?s:.*)'}(?:{_ascii(inner)}){'' if stop else '(?s:.*)'}")
    return choices[0] if len(choices) == 1 else "|".join(f"(?:{choice})" for choice in choices)


def _tokens(pattern: str) -> Iterator[str]:
    """Escapes, character classes and single characters, one after the other."""
    return (match[0] for match in re.finditer(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", pattern, re.DOTALL))


def _ascii(pattern: str) -> str:
    r"""`pattern` with JavaScript's `\d` and `\w`, which other languages find letters and digits of all scripts in."""
    ranges = {r"\d": "0-9", r"\w": "A-Za-z0-9_"}
    parts = []
    for token in _tokens(pattern):
        inside = len(token) > 1 and token[0] == "["
        for escape, range_ in ranges.items():
            token = token.replace(escape, range_ if inside else f"[{range_}]")
        parts.append(token)
    return "".join(parts)


def _choices(pattern: str) -> list[str]:
    found, depth = [""], 0
    for token in _tokens(pattern):
        depth += (token == "(") - (token == ")")
        if token == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += token
    return found


def _anchored(pattern: str) -> bool:
    """Whether there is an anchor in `pattern`, or a look around."""
    return any(token in ("^", "$", r"\b", r"\B", r"\A", r"\Z", r"\z") for token in _tokens(pattern)) or bool(
        re.search(r"\(\?(?:[=!]|<[=!])", pattern)
    )


def self_contained(schema: Any, root: Schema) -> Schema:
    """`schema` with all that its references lead to. Raises SchemaError for what is no schema."""
    if not isinstance(schema, Mapping):
        raise SchemaError(f"{str(schema)[:80]!r} is no schema")
    moved: dict[str, Any] = _moved(schema)
    if '"$ref"' in json.dumps(schema):
        moved["$defs"] = {"root": _moved(root)}
    return moved


def _moved(node: Any) -> Any:
    """A schema whose references begin from its `$defs/root`."""
    if isinstance(node, Mapping):
        return {
            key: f"#/$defs/root{value[1:]}" if key == "$ref" and isinstance(value, str) else _moved(value)
            for key, value in node.items()
        }
    return [_moved(each) for each in node] if isinstance(node, list) else node


def valid(value: Any, schema: Any, root: Schema) -> bool:
    """Whether `value` fits `schema`, a part of `root`; not if that is no schema."""
    try:
        return bool(_validator(json.dumps(self_contained(schema, root))).is_valid(value))
    except (SchemaError, InvalidSchema, ValueError, RecursionError, re.error):
        return False
    except Exception as error:  # what a schema from afar may raise: unresolvable references among them
        if type(error).__module__.partition(".")[0] in ("jsonschema", "referencing"):
            return False
        raise


@functools.lru_cache(maxsize=256)
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads(schema))
