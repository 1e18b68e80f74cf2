"""The text of what messages consist of, in all the forms that clients of any API send. Knows no endpoint.

A model that reads text only refuses what a user shows it now: an answer that ignores a picture would be worthless.
What else a conversation holds (pictures in a tool's result or in earlier turns, references, searches that ran
elsewhere) comes with every later request, so a refusal would end it; a line says what was there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from inhouse.server.errors import bad_request

Part: TypeAlias = str | Mapping[str, Any]
Content: TypeAlias = str | Sequence[Part] | Mapping[str, Any] | None


def text_of(content: Content, where: str, *, asked: bool) -> str:
    """The text of a content at field `where`. Raises ApiError where it is `asked` now and holds more than text."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, Mapping):  # a tool's result as an object
        return json.dumps(content, ensure_ascii=False)
    texts = []
    for index, part in enumerate(content):
        text = part if isinstance(part, str) else part_text(part)
        if text is None:
            kind = part.get("type") if isinstance(part, Mapping) else "part"
            if asked:
                at = f"{where}.content[{index}]"
                raise bad_request(f"{at}: this model reads text only, not {kind!r}", at)
            text = left_out(kind)
        texts.append(text)
    return "".join(texts)


def left_out(kind: object) -> str:
    """The line that stands for what a text model cannot read."""
    return f"[{str(kind)[:40]}: left out, this model reads text only]\n"


def part_text(part: Mapping[str, Any]) -> str | None:
    """The text of one part of a content; None of what is none."""
    for field in ("text", "refusal"):
        if isinstance(part.get(field), str):
            return str(part[field])
    kind, title = str(part.get("type")), part.get("title")
    if kind == "document":
        return _document(part, f"{title}\n" if isinstance(title, str) and title else "")
    if kind == "search_result":
        inner = text_of(part.get("content"), "", asked=False)
        return f"{title or ''} ({part.get('source') or ''})\n{inner}\n"
    if kind == "tool_reference":
        return f"[tool: {part.get('tool_name')}]\n"
    if kind in ("server_tool_use", "mcp_tool_use"):
        return f"[{part.get('name')} was called with {json.dumps(part.get('input'), ensure_ascii=False)}]\n"
    if kind.endswith("_tool_result"):
        return _found(part.get("content"))
    return None


def _document(part: Mapping[str, Any], head: str) -> str | None:
    source = part.get("source")
    if not isinstance(source, Mapping):
        return None
    if source.get("type") == "text" and isinstance(source.get("data"), str):
        return f"{head}{source['data']}\n"
    if source.get("type") == "content":
        return f"{head}{text_of(source.get('content'), '', asked=False)}\n"
    return None


def _found(content: object) -> str:
    """What a tool that ran elsewhere gave, as far as it can be read."""
    if not isinstance(content, list):
        return f"[result: {json.dumps(content, ensure_ascii=False, default=str)[:2000]}]\n"
    lines = []
    for item in content:
        if isinstance(item, Mapping):
            lines.append(part_text(item) or " ".join(str(item[name]) for name in ("title", "url") if item.get(name)))
    return "".join(f"{line.rstrip()}\n" for line in lines if line.strip()) or "[result: nothing that can be read]\n"
