"""JSON and server-sent events as bytes. Knows no API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def to_json(value: Any) -> bytes:
    """Compact UTF-8. Halves of characters, which JSON can name and UTF-8 cannot, become question marks."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


class JsonResponse(Response):
    """A response whose body is `to_json` of its content."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return to_json(content)


def sse(data: Mapping[str, Any], event: str | None = None) -> bytes:
    """One event."""
    name = b"" if event is None else b"event: " + event.encode() + b"\n"
    return name + b"data: " + to_json(data) + b"\n\n"


def sse_comment(data: Mapping[str, Any]) -> bytes:
    """A line that event readers skip: a sign of life, readable by those who look."""
    return b": inhouse " + to_json(data) + b"\n\n"


def too_deep(body: bytes, limit: int) -> bool:
    """Whether JSON's brackets nest deeper than about `limit`, found without parsing and without recursion."""
    if body.count(b"[") + body.count(b"{") <= limit:
        return False
    brackets = _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS)
    for _ in range(limit):
        # Each turn takes at least the innermost level away.
        inner = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(inner) == len(brackets):
            return inner.count(b"[") + inner.count(b"{") > limit  # no JSON, or all gone
        brackets = inner
    return bool(brackets)
