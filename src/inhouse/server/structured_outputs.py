"""What binds the text of an answer, in every spelling that clients of OpenAI's APIs send. Knows no endpoint.

OpenAI's own `response_format`; vLLM's `structured_outputs` and the `guided_…` fields before it; llama.cpp's
`json_schema` and `grammar` (GBNF). Nothing of this may be dropped silently: it is honoured or refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from inhouse.client.openai_types import JsonSchema, ResponseFormat, StructuredOutputFields, StructuredOutputs
from inhouse.engine.constraints import Constraint
from inhouse.engine.gbnf import lark_of_any, lark_of_gbnf
from inhouse.errors import ParameterError
from inhouse.server.errors import bad_request

_OBJECT = {"type": "object"}


def constraint_of(body: StructuredOutputFields) -> Constraint:
    """What a request demands of the text of its answer. Raises ApiError, also where two fields demand something."""
    found = {field: shape for field, shape in _given(body) if shape != Constraint()}
    if len(found) > 1 and len({repr(shape) for shape in found.values()}) > 1:
        first, second = list(found)[:2]
        raise bad_request(f"{first} and {second} both say what the answer must look like: give one of them", second)
    return next(iter(found.values()), Constraint())


def response_format(format: ResponseFormat | None) -> Constraint:
    """What `response_format` demands. Raises ApiError."""
    if format is None or format.type == "text":
        return Constraint()
    if format.type in ("json_object", "json_schema"):
        given = format.json_schema or JsonSchema()
        schema = given.schema_ if given.schema_ is not None else format.schema_
        if schema is None and format.type == "json_schema":
            raise bad_request("response_format: give json_schema.schema", "response_format.json_schema")
        return Constraint(json_schema=_OBJECT if schema is None else schema)
    return spelled(format.type, format.regex if format.type == "regex" else format.grammar, "response_format")


def spelled(kind: str, text: object, where: str) -> Constraint:
    """A `kind` of constraint (regex or grammar) that field `where` spells out. Raises ApiError."""
    if not isinstance(text, str) or not text:
        raise bad_request(f"{where}: give {kind}", f"{where}.{kind}")
    return Constraint(regex=text) if kind == "regex" else Constraint(grammar=text)


def _given(body: StructuredOutputFields) -> Sequence[tuple[str, Constraint]]:
    found = [("response_format", response_format(body.response_format))]
    if body.json_schema is not None:
        found.append(("json_schema", Constraint(json_schema=body.json_schema)))
    if body.grammar:
        found.append(("grammar", Constraint(grammar=_lark("grammar", body.grammar, gbnf=True))))
    named = {name: getattr(body, f"guided_{name}") for name in ("json", "regex", "choice", "grammar")}
    guided = StructuredOutputs.model_validate(named)
    found += _structured(guided, "guided_")
    if body.structured_outputs is not None:
        found += _structured(body.structured_outputs, "structured_outputs.")
    return found


def _structured(given: StructuredOutputs, prefix: str) -> list[tuple[str, Constraint]]:
    found = []
    if given.json_ is not None:
        found.append((f"{prefix}json", Constraint(json_schema=_schema(given.json_, f"{prefix}json"))))
    if given.json_object:
        found.append((f"{prefix}json_object", Constraint(json_schema=_OBJECT)))
    if given.regex:
        found.append((f"{prefix}regex", Constraint(regex=given.regex)))
    if given.choice is not None:
        if not given.choice or not all(given.choice):
            raise bad_request(f"{prefix}choice: give at least one text, none of them empty", f"{prefix}choice")
        texts = " | ".join(json.dumps(text, ensure_ascii=False) for text in given.choice)
        found.append((f"{prefix}choice", Constraint(grammar=f"start: {texts}")))
    if given.grammar:
        found.append((f"{prefix}grammar", Constraint(grammar=_lark(f"{prefix}grammar", given.grammar, gbnf=False))))
    if given.structural_tag is not None:
        raise bad_request(f"{prefix}structural_tag: not known here; give json, regex, choice or grammar", prefix)
    return found


def _lark(field: str, text: str, *, gbnf: bool) -> str:
    try:
        return lark_of_gbnf(text) if gbnf else lark_of_any(text)
    except ParameterError as error:
        raise bad_request(f"{field}: {error}", field) from error


def _schema(given: dict[str, Any] | str, where: str) -> dict[str, Any]:
    """A JSON schema that some clients send as text. Raises ApiError."""
    if isinstance(given, dict):
        return given
    try:
        schema = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise bad_request(f"{where}: not valid JSON: {error}", where) from error
    if not isinstance(schema, dict):
        raise bad_request(f"{where}: a JSON schema is an object", where)
    return schema
