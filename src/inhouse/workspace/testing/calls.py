"""What the tests of a Python project call, and with which values: puts the recorder in place and reads its notes.

The notes are written by code of the project's own process, so they are read as untrusted data: of limited size, and
anything misshapen is left out. Knows nothing of ranking or models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inhouse.workspace.lines import lines_of
from inhouse.workspace.testing import call_recorder

_NOTES = ".inhouse-calls"
_MAX_BYTES = 16 << 20


@dataclass(frozen=True)
class Call:
    """One call of a project's function during a test; values are reprs, shortened."""

    path: str
    line: int  # where the function begins, decorators included
    name: str
    arguments: Mapping[str, str]
    yields: tuple[str, ...] = ()
    result: str | None = None  # None: it raised, or never ended


@dataclass(frozen=True)
class Calls:
    """What each test (`path::name`) ran: functions by (path, first line), lines by (path, line); some' calls.

    `shares` is how suspicious lines are (0..1), where it is counted instead how often they ran, and not for each test.
    """

    covered: Mapping[str, frozenset[tuple[str, int]]] = field(default_factory=dict)
    calls: Mapping[str, tuple[Call, ...]] = field(default_factory=dict)
    lines: Mapping[str, frozenset[tuple[str, int]]] = field(default_factory=dict)
    shares: Mapping[tuple[str, int], float] = field(default_factory=dict)


class CallNotes:
    """Prepares a run with the recorder and reads its notes after.

    `folder` is outside the workspace and must be readable for the command (the notes themselves go into the workspace,
    the one place that it may write to); `place` is where the command sees the workspace `root`.
    """

    def __init__(self, folder: Path, root: Path, place: Path) -> None:
        self.folder, self._root, self._place = folder, root, place

    def prepare(self, watched: Sequence[str]) -> dict[str, str]:
        """Write the recorder for tests with these names. Returns the variables to run the tests with."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "inhouse_recorder.py").write_text(Path(call_recorder.__file__).read_text("utf-8"), "utf-8")
        settings = self.folder / "settings.json"
        wanted = {"root": str(self._place), "watched": list(watched), "output": str(self._place / _NOTES)}
        settings.write_text(json.dumps(wanted), "utf-8")
        begin = f"import inhouse_recorder\n\ninhouse_recorder.start({str(settings)!r})\n"
        (self.folder / "sitecustomize.py").write_text(begin, "utf-8")
        (self._root / _NOTES).unlink(missing_ok=True)
        return {"PYTHONPATH": str(self.folder)}

    def read(self) -> Calls:
        """What the last run noted; empty when it noted nothing that can be read."""
        notes = self._root / _NOTES
        covered: dict[str, set[tuple[str, int]]] = {}
        lines: dict[str, set[tuple[str, int]]] = {}
        calls: dict[str, list[Call]] = {}
        if notes.is_symlink() or not notes.is_file() or notes.stat().st_size > _MAX_BYTES:
            return Calls()
        for line in lines_of(notes.read_text("utf-8", errors="replace")):
            try:
                seen = json.loads(line)
                for test, places in seen["covered"].items():
                    covered.setdefault(test, set()).update(_place(text) for text in places)
                for test, files in seen.get("lines", {}).items():
                    ran = lines.setdefault(test, set())
                    ran.update((str(path), int(line)) for path, numbers in files.items() for line in numbers)
                for test, made in seen["calls"].items():
                    calls.setdefault(test, []).extend(_call(call) for call in made)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue
        return Calls(
            {test: frozenset(places) for test, places in covered.items()},
            {test: tuple(made) for test, made in calls.items()},
            {test: frozenset(places) for test, places in lines.items()},
        )


def _place(text: str) -> tuple[str, int]:
    path, _, line = text.rpartition(":")
    return path, int(line)


def _call(note: Mapping[str, Any]) -> Call:
    path, line = _place(note["place"])
    arguments = {str(name): str(value) for name, value in note["arguments"].items()}
    result = note["result"]
    yields = tuple(str(value) for value in note["yields"])
    return Call(path, line, str(note["name"]), arguments, yields, None if result is None else str(result))
