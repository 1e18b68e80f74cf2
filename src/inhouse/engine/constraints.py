"""What an answer must look like. Knows neither models nor any API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from inhouse.errors import ParameterError

ToolChoice = Literal["auto", "required", "none"]


@dataclass(frozen=True)
class Constraint:
    """At most one of `json_schema`, `regex` and `grammar` (Lark's notation) binds the text of an answer, after its
    reasoning. Calls of tools are bound by the tools' schemas in any case.

    `tool_choice`: whether the answer may, must or must not call tools; with `tool` it must be that one. Of a schema
    that cannot be enforced calls keep to a part, but those of `strict_tools` are refused then.
    Raises ParameterError.
    """

    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None
    grammar: str | None = None
    tool_choice: ToolChoice = "auto"
    tool: str | None = None
    parallel_tool_calls: bool = True
    strict_tools: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        given = [kind for kind in (self.json_schema, self.regex, self.grammar) if kind is not None]
        if len(given) > 1:
            raise ParameterError("an answer has one of json_schema, regex and grammar: give one")
        if given and (self.tool is not None or self.tool_choice == "required"):
            raise ParameterError("an answer that must call a tool has no other shape: drop one of the two")
