"""`/docs`: the OpenAPI document as one page of plain HTML that loads nothing from anywhere. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9em }
summary { cursor: pointer; padding: .4rem 0 } summary b { display: inline-block; min-width: 4.5rem }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top }
h2 { border-bottom: 1px solid; margin-top: 2rem }
"""


def routes(api: FastAPI) -> APIRouter:
    router = APIRouter()

    @router.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page(api.openapi()), headers=_HEADERS)

    return router


def page(document: Mapping[str, Any]) -> str:
    """The page for an OpenAPI document."""
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    body = "".join(_sections(document))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>'
        f"<h1>{title}</h1><p>Point a client of OpenAI at <code>/v1</code>, one of Anthropic at <code>/</code>. The "
        f'machine-readable description is <a href="openapi.json">openapi.json</a>.</p>{body}</html>'
    )


def _sections(document: Mapping[str, Any]) -> Iterator[str]:
    sections: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            for tag in operation.get("tags", ["Other"]):
                sections.setdefault(tag, []).append(_operation(document, path, method, operation))
    for tag, operations in sections.items():
        yield f"<h2>{escape(tag)}</h2>" + "".join(operations)


def _operation(document: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any]) -> str:
    told = escape(operation.get("description", ""))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code> {told}</summary>"
        f"{_fields(document, body, 0)}</details>"
    )


def _fields(document: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> str:
    """The fields of an object, those of objects inside folded."""
    schema = _resolved(document, schema)
    required = schema.get("required", ())
    rows = []
    for name, field in schema.get("properties", {}).items():
        inner = "".join(_fields(document, part, depth + 1) for part in _objects(document, field)) if depth < 4 else ""
        inner = f"<details><summary>fields</summary>{inner}</details>" if inner else ""
        needed = "required" if name in required else ""
        rows.append(
            f"<tr><td><code>{escape(name)}</code><td>{escape(_type(document, field))}<td>{needed}<td>{inner}</tr>"
        )
    return f"<table>{''.join(rows)}</table>" if rows else ""


def _objects(document: Mapping[str, Any], field: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The kinds of objects that a field, or an item of it, may be."""
    for choice in field.get("anyOf", [field]):
        if "items" in choice:
            yield from _objects(document, choice["items"])
        elif "$ref" in choice and "properties" in _resolved(document, choice):
            yield choice


def _type(document: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(document, choice) for choice in field["anyOf"] if choice.get("type") != "null")
    if "$ref" in field:
        return _type(document, _resolved(document, field))
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "const" in field:
        return str(field["const"])
    if field.get("type") == "array":
        return f"list of {_type(document, field.get('items', {}))}"
    return str(field.get("type", "any"))


def _resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
