"""JSON schemas taken apart: references followed, unions spread, the types that a value may have. Knows no dialect."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

TYPES = ("null", "boolean", "integer", "number", "array", "object", "string")
_DEEPEST = 16  # references and unions within one another, before a schema is taken for endless
_ANNOTATIONS = frozenset(
    ("title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "nullable",
     "$comment", "$schema", "$id", "$defs", "definitions", "discriminator", "strict")
)  # fmt: skip
_VALUES = frozenset(("enum", "const", "default", "examples"))  # hold no schemas
_FORMATS = frozenset(("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"))
_LARGEST = frozenset(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"))
_SMALLEST = frozenset(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"))
_OF_TYPE = {
    "object": ("properties", "additionalProperties", "patternProperties", "required", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "string": ("pattern", "minLength", "maxLength", "format"),
}


class SchemaError(ValueError):
    """Why a schema cannot be taken apart, or a value of it not be written; for the one who wrote the schema."""


def alternatives(schema: Any, root: Schema, depth: int = 0) -> list[Schema]:
    """Schemas without a reference, union or conjunction at their top, of which a value of `schema` fits one.

    `root` is what references begin from. Raises SchemaError where that cannot be said.
    """
    if schema is True or schema is False:
        return [{}] if schema else []
    if not isinstance(schema, Mapping):
        raise SchemaError(f"{str(schema)[:80]!r} is no schema")
    if depth > _DEEPEST:
        raise SchemaError("its references and unions have no end")
    if "$ref" in schema:
        target = resolve(schema["$ref"], root)
        rest = _without(schema, "$ref")
        return _spread(target, rest, root, depth)
    if isinstance(members := schema.get("allOf"), Sequence):
        rest = _without(schema, "allOf")
        for member in members:
            whole = alternatives(member, root, depth + 1)
            if len(whole) != 1:
                raise SchemaError("allOf has a union in it")
            rest = merged(rest, whole[0])
        return alternatives(rest, root, depth + 1)
    for union in ("anyOf", "oneOf"):
        if isinstance(members := schema.get(union), Sequence):
            rest = _without(schema, union)
            branches = [_spread(member, rest, root, depth) for member in members]
            if union == "oneOf" and not _all_disjoint(branches, root):
                raise SchemaError("a value may fit more than one member of oneOf")
            return list(itertools.chain.from_iterable(branches))
    return [schema]


def _spread(member: Any, rest: Schema, root: Schema, depth: int) -> list[Schema]:
    """The alternatives of `member` and `rest` together."""
    found: list[Schema] = []
    for each in alternatives(member, root, depth + 1):
        found += alternatives(merged(rest, each), root, depth + 1)
    return found


def _without(schema: Schema, key: str) -> Schema:
    return {name: value for name, value in schema.items() if name != key}


def with_known_formats(schema: Any) -> Any:
    """`schema` without the formats that are no part of JSON Schema, such as OpenAPI's int64: they are remarks."""
    if isinstance(schema, list):
        return [with_known_formats(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: value if key in _VALUES else with_known_formats(value)
        for key, value in schema.items()
        if not (key == "format" and isinstance(value, str) and value not in _FORMATS)
    }


def resolve(reference: object, root: Schema) -> Any:
    """What a reference within `root` points to. Raises SchemaError."""
    if reference == "#":
        return root
    if not isinstance(reference, str) or not reference.startswith("#/"):
        raise SchemaError(f"the reference {reference!r} leads out of the schema")
    target: Any = root
    for step in reference[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~").replace("%24", "$").replace("%25", "%")
        if isinstance(target, Mapping) and name in target:
            target = target[name]
        elif isinstance(target, list) and name.isdigit() and int(name) < len(target):
            target = target[int(name)]
        else:
            raise SchemaError(f"the reference {reference!r} leads nowhere")
    return target


def merged(first: Schema, second: Schema) -> Schema:
    """A schema for what fits both. Raises SchemaError where no simple one says that."""
    _check_extra(first, second)
    _check_extra(second, first)
    out = dict(first)
    for key, value in second.items():
        if key not in out or out[key] == value or key in _ANNOTATIONS:
            out[key] = value
        elif key == "required":
            out[key] = list(dict.fromkeys([*out[key], *value]))
        elif key == "properties":
            both = {name: {"allOf": [out[key][name], value[name]]} for name in out[key].keys() & value.keys()}
            out[key] = {**out[key], **value, **both}
        elif key == "type":
            out[key] = [name for name in TYPES if name in _named(out[key]) & _named(value)]
        elif key == "enum":
            out[key] = [one for one in out[key] if one in value]
        elif key in _LARGEST:
            out[key] = max(out[key], value)
        elif key in _SMALLEST:
            out[key] = min(out[key], value)
        else:
            raise SchemaError(f"two different {key} at once")
    return out


def _check_extra(first: Schema, second: Schema) -> None:
    """`additionalProperties` speaks of its neighbours in the schema alone: merging would change what it says."""
    if first.get("additionalProperties", True) in (True, {}):
        return
    if second.get("properties", {}).keys() - first.get("properties", {}).keys():
        raise SchemaError("additionalProperties beside properties that a union or reference brings")


def _named(types: Any) -> set[str]:
    """The names in `type`; an integer is a number."""
    names = {types} if isinstance(types, str) else {name for name in types if isinstance(name, str)}
    return names | {"integer"} if "number" in names else names


def values_of(schema: Schema) -> list[Any] | None:
    """The values that `schema` lists, or None."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return values if isinstance(values, list) else None


def types_of(schema: Schema) -> frozenset[str]:
    """The types a schema without unions names, or that its keywords speak of; empty: it says nothing of them."""
    if "type" in schema:
        types = schema["type"]
        return frozenset({types} if isinstance(types, str) else {name for name in types if isinstance(name, str)})
    if (values := values_of(schema)) is not None:
        return frozenset(map(type_of, values))
    return frozenset(name for name, keys in _OF_TYPE.items() if any(key in schema for key in keys))


def type_of(value: Any) -> str:
    """The name of a JSON value's type."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _all_disjoint(branches: Sequence[Sequence[Schema]], root: Schema) -> bool:
    return all(
        _disjoint(one, other, root, 0)
        for first, second in itertools.combinations(branches, 2)
        for one, other in itertools.product(first, second)
    )


def _disjoint(one: Schema, other: Schema, root: Schema, depth: int) -> bool:
    """Whether no value can fit both."""
    first, second = types_of(one), types_of(other)
    if first and second and not _named(first) & _named(second):
        return all(each.keys() & {"type", "enum", "const"} for each in (one, other))  # other keywords exclude no type
    if (ours := values_of(one)) is not None and (theirs := values_of(other)) is not None:
        return not any(value in theirs for value in ours)
    shared = set(_names(one.get("required"))) & set(_names(other.get("required")))
    if first == second == {"object"} and depth < 2:
        return any(_apart(one, other, name, root, depth) for name in shared)
    return False


def _apart(one: Schema, other: Schema, name: str, root: Schema, depth: int) -> bool:
    """Whether a member that both must have tells two objects apart."""
    try:
        ours, theirs = (alternatives(each["properties"][name], root) for each in (one, other))
    except (KeyError, TypeError, SchemaError):
        return False
    return all(_disjoint(a, b, root, depth + 1) for a, b in itertools.product(ours, theirs))


def _names(required: Any) -> Iterable[str]:
    return required if isinstance(required, list) else ()
