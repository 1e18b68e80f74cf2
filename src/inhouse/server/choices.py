"""Which tools an answer may or must call, in every spelling of `tool_choice` that clients send. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from inhouse.server.errors import ApiError, bad_request

Given: TypeAlias = str | Mapping[str, Any] | None
Demand = Literal["none", "auto", "required"]

_DEMANDS: Mapping[str, Demand] = {"none": "none", "auto": "auto", "required": "required", "any": "required"}
_NAMING = ("function", "custom", "tool")  # kinds of a choice that name one tool


@dataclass(frozen=True)
class Choice:
    """Whether tools may be called; the one `tool` that must be; the only ones that are `allowed` (None: all)."""

    demand: Demand = "auto"
    tool: str | None = None
    allowed: frozenset[str] | None = None

    def offered(self, tools: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
        """The tools that are shown: those allowed. Raises ApiError for one that is not there."""
        if self.allowed is None or tools is None:
            return [dict(tool) for tool in tools] if tools is not None else None
        names = {tool["function"]["name"] for tool in tools}
        if unknown := sorted(self.allowed - names):
            raise bad_request(f"tool_choice: there is no tool {unknown[0]!r}", "tool_choice")
        return [dict(tool) for tool in tools if tool["function"]["name"] in self.allowed]


def choice(given: Given) -> Choice:
    """A request's `tool_choice`: OpenAI's own forms, flat ones, Anthropic's. Raises ApiError."""
    if given is None:
        return Choice()
    if isinstance(given, str):
        return Choice(_demand(given))
    kind = str(given.get("type") or "function")
    if kind == "allowed_tools":
        inner = given.get("allowed_tools")
        inner = inner if isinstance(inner, Mapping) else given
        names = [_name(tool) for tool in inner.get("tools") or () if isinstance(tool, Mapping)]
        if not names or not all(names):
            raise bad_request("tool_choice: allowed_tools names no tools", "tool_choice.allowed_tools.tools")
        return Choice(_demand(str(inner.get("mode") or "auto")), allowed=frozenset(map(str, names)))
    if kind in _NAMING:
        name = _name(given)
        if not name:
            raise bad_request(f"tool_choice: a choice of type {kind!r} names a tool", "tool_choice.name")
        return Choice(tool=name)
    return Choice(_demand(kind))


def _demand(word: str) -> Demand:
    if word not in _DEMANDS:
        raise _unknown(word)
    return _DEMANDS[word]


def _unknown(word: str) -> ApiError:
    said = "give none, auto, required, a function by its name, or allowed_tools"
    return bad_request(f"tool_choice: {word[:100]!r} is not known; {said}", "tool_choice")


def _name(tool: Mapping[str, Any]) -> str | None:
    """The name of a tool, which stands inside of the kind or beside it."""
    for kind in _NAMING:
        inner = tool.get(kind)
        if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
            return str(inner["name"])
    name = tool.get("name")
    return name if isinstance(name, str) else None
