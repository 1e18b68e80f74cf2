"""Tools of Anthropic's API that come without a schema: the client runs them, and their schemas are known.

What would run on Anthropic's servers (searches, code) is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inhouse.client.anthropic_types import AnthropicTool

_PATH = {"type": "string", "description": "An absolute path."}
_RANGE = {"type": "array", "items": {"type": "integer"}, "description": "First and last line to show; -1: the end."}
_EDITS = {
    "path": _PATH,
    "view_range": _RANGE,
    "file_text": {"type": "string", "description": "Of create: the whole text of the file."},
    "old_str": {"type": "string", "description": "Of str_replace: text that the file has exactly once."},
    "new_str": {"type": "string", "description": "Of str_replace: what takes its place."},
    "insert_line": {"type": "integer", "description": "Of insert: the line after which; 0: at the beginning."},
    "insert_text": {"type": "string", "description": "Of insert: the text."},
}
_BASH = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "description": "The command to run."},
        "restart": {"type": "boolean", "description": "Instead of a command: start the shell anew."},
    },
}


def _edits(commands: list[str], more: Mapping[str, Any]) -> dict[str, Any]:
    command = {"type": "string", "enum": commands}
    return {"type": "object", "properties": {"command": command, **_EDITS, **more}, "required": ["command"]}


_EDITOR = _edits(["view", "create", "str_replace", "insert"], {})
_EDITOR_UNDO = _edits(["view", "create", "str_replace", "insert", "undo_edit"], {})
_MEMORY = _edits(
    ["view", "create", "str_replace", "insert", "delete", "rename"], {"old_path": _PATH, "new_path": _PATH}
)


def known(tool: AnthropicTool) -> tuple[str, dict[str, Any]] | None:
    """Description and schema of a tool that clients run themselves; None of any other."""
    kind = tool.type or ""
    if kind.startswith("bash_"):
        return "Runs commands in a shell that stays open, on the user's machine.", _BASH
    if kind.startswith("text_editor_"):
        undo = kind in ("text_editor_20241022", "text_editor_20250124")
        return "Shows, creates and edits files on the user's machine.", _EDITOR_UNDO if undo else _EDITOR
    if kind.startswith("memory_"):
        return "Keeps files under /memories from one conversation to the next.", _MEMORY
    return None
