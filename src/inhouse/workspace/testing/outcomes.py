"""How each test of a run ended, as the recorder inside the tests wrote it down: puts it in place and reads its notes.

Covers pytest and unittest however they are started (also by make or tox). The notes are written by code of the
project's own process, so they are read as untrusted data: of limited size, and anything misshapen is left out. Knows
nothing of what a runner prints.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inhouse.workspace.testing import outcome_recorder

TEST_SECONDS = 20.0  # for one test, where nothing is known of it
_NOTES, _STACKS = ".inhouse-tests", ".inhouse-stacks"
_MAX_BYTES = 64 << 20
_MAX_PLACES = 100
_MEMORY = 2 << 30  # bytes of private memory after which a test gets a MemoryError
_SITECUSTOMIZE = """\
import importlib.util, os, sys

_here = os.path.dirname(os.path.abspath(__file__))
try:
    import inhouse_outcome_recorder

    inhouse_outcome_recorder.watch_unittest()
except Exception:
    pass
for _folder in [path for path in sys.path if os.path.abspath(path or ".") != _here]:
    _file = os.path.join(_folder, "sitecustomize.py")
    if os.path.isfile(_file):  # the one that this file hides
        _spec = importlib.util.spec_from_file_location("sitecustomize", _file)
        _spec.loader.exec_module(importlib.util.module_from_spec(_spec))
        break
"""
_FRAME = re.compile(r'^  File "(?P<path>[^"\n]+)", line (?P<line>\d+) in (?P<name>\S+)', re.MULTILINE)
_FAULT = re.compile(r"^(?:Fatal Python error: (?P<fault>.+)|Timeout \(.*\)!)$", re.MULTILINE)


@dataclass(frozen=True)
class Selection:
    """Which tests to run: `only` these (None: all) but those `skipped`; those in `first` before the others.

    `limits` are seconds for single tests, `limit` those for any other. With `known`, the tests that fail anyhow, the
    run ends once more than `new_failures` others fail; and no tracebacks are printed, which can take longer than tests.
    """

    only: frozenset[str] | None = None
    skipped: frozenset[str] = frozenset()
    first: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    limit: float = TEST_SECONDS
    known: frozenset[str] | None = None
    new_failures: int = 0


@dataclass(frozen=True)
class Frame:
    """One line of a traceback; `path` is relative in the repository and absolute elsewhere."""

    path: str
    line: int
    name: str


@dataclass(frozen=True)
class Raised:
    """What ended a test: the exception's class and text, where from, and in which phase (collect, setup, call, ...).

    `name` is the missing module of an ImportError, `filename` and `errno` are an OSError's; `source` is the line that
    raised an exception without a text.
    """

    exception: str
    module: str
    message: str
    frames: tuple[Frame, ...]  # outermost first
    phase: str
    name: str = ""
    filename: str = ""
    errno: int | None = None
    source: str = ""


@dataclass(frozen=True)
class Ended:
    """How one test ended: passed, failed or skipped; `seconds` is None where it never did."""

    id: str
    outcome: str
    seconds: float | None
    raised: Raised | None = None


@dataclass(frozen=True)
class Outcomes:
    """One run. `unended` are the tests that were running when their process died; `finished`: none did.

    `stack` is what was written down when it died, innermost frame first; `fault` says of what it died.
    """

    tests: Mapping[str, Ended]
    unended: tuple[str, ...] = ()
    finished: bool = True
    stack: tuple[Frame, ...] = ()
    fault: str = ""

    @property
    def ran(self) -> int:
        """How many ended in success or failure."""
        return sum(test.outcome != "skipped" for test in self.tests.values())

    @property
    def failed(self) -> tuple[Ended, ...]:
        return tuple(test for test in self.tests.values() if test.outcome == "failed")


class OutcomeNotes:
    """Prepares a run with the recorder and reads its notes after.

    `folder` is outside the workspace and must be readable for the command (the notes themselves go into the workspace
    `root`, the one place that it may write to); `place` is where the command sees the workspace.
    """

    def __init__(self, folder: Path, root: Path, place: Path) -> None:
        self.folder, self._root, self._place = folder, root, place

    def prepare(self, selection: Selection, environment: Mapping[str, str]) -> dict[str, str]:
        """Write the recorder down. Returns `environment` with what the tests must be run with to be recorded."""
        self.folder.mkdir(exist_ok=True)
        sources = Path(outcome_recorder.__file__).parent
        for name in ("outcome_recorder", "pytest_recorder"):
            target = self.folder / f"inhouse_{name}.py"
            if not target.exists():
                target.write_text((sources / f"{name}.py").read_text("utf-8"), "utf-8")
        (self.folder / "sitecustomize.py").write_text(_SITECUSTOMIZE, "utf-8")
        settings = self.folder / "settings.json"
        wanted = {
            "root": str(self._place),
            "output": str(self._place / _NOTES),
            "stacks": str(self._place / _STACKS),
            "only": None if selection.only is None else sorted(selection.only),
            "skipped": sorted(selection.skipped),
            "first": list(selection.first),
            "limits": dict(selection.limits),
            "limit": selection.limit,
            "known": None if selection.known is None else sorted(selection.known),
            "new_failures": selection.new_failures,
            "memory": _MEMORY,
        }
        settings.write_text(json.dumps(wanted), "utf-8")
        for name in (_NOTES, _STACKS):
            (self._root / name).unlink(missing_ok=True)
        paths = [str(self.folder), *filter(None, [environment.get("PYTHONPATH")])]
        options = [*filter(None, [environment.get("PYTEST_ADDOPTS")]), "-p inhouse_pytest_recorder"]
        return {
            **environment,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTEST_ADDOPTS": " ".join(options),
            outcome_recorder.SETTINGS: str(settings),
        }

    def read(self) -> Outcomes | None:
        """What the last run noted; None when it noted nothing that can be read."""
        events = list(_events(_text(self._root / _NOTES)))
        if not any(event.get("event") == "begin" for event in events):
            return None
        tests: dict[str, Ended] = {}
        running: dict[tuple[int, str], None] = {}
        begun: set[int] = set()
        for event in events:
            process, what, id = int(event.get("pid", 0)), event.get("event"), str(event.get("id", ""))
            if what == "begin":
                begun.add(process)
            elif what == "finish":
                begun.discard(process)
            elif what == "start":
                running[process, id] = None
            elif what == "end":
                running.pop((process, id), None)
                if id in tests:
                    tests[id] = _timed(tests[id], event.get("seconds"))
            elif what == "result":
                tests[id] = _merged(tests.get(id), _ended(id, event))
        unended = tuple(dict.fromkeys(id for process, id in running if process in begun))
        stacks = _text(self._root / _STACKS)
        fault = _FAULT.search(stacks)
        place = f"{self._place}/"
        stack = tuple(
            Frame(frame["path"].removeprefix(place), int(frame["line"]), frame["name"])
            for frame in _FRAME.finditer(_main_thread(stacks))
        )
        said = (fault["fault"] or "") if fault else ""
        return Outcomes(tests, unended, not begun, stack[:_MAX_PLACES], said)


def _text(path: Path) -> str:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return ""
    return path.read_text("utf-8", errors="replace")


def _events(text: str) -> Iterable[Mapping[str, Any]]:
    for line in text.split("\n"):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("pid", 0), int):
            yield event


def _ended(id: str, event: Mapping[str, Any]) -> Ended:
    outcome = event.get("outcome")
    failure = event.get("failure")
    raised = _raised(failure) if isinstance(failure, dict) else None
    return Ended(id, outcome if outcome in ("passed", "skipped") else "failed", None, raised)


def _raised(failure: Mapping[str, Any]) -> Raised:
    frames = []
    places = failure.get("places")
    for place in places[:_MAX_PLACES] if isinstance(places, list) else ():
        match place:
            case [str(path), int(line), str(name)]:
                frames.append(Frame(path, line, name))
    texts = {name: str(failure.get(name, "")) for name in ("exception", "module", "message", "phase")}
    errno = failure.get("errno")
    return Raised(
        texts["exception"], texts["module"], texts["message"], tuple(frames), texts["phase"],
        str(failure.get("name", "")), str(failure.get("filename", "")), errno if isinstance(errno, int) else None,
        str(failure.get("line", "")),
    )  # fmt: skip


def _merged(before: Ended | None, now: Ended) -> Ended:
    """A test speaks several times (setting up, calling, tearing down): its first failure counts, else a success."""
    if before is None or before.outcome == "skipped" or (before.outcome == "passed" and now.outcome == "failed"):
        return now
    return before


def _timed(test: Ended, seconds: object) -> Ended:
    known = float(seconds) if isinstance(seconds, (int, float)) else None
    return Ended(test.id, test.outcome, known, test.raised)


def _main_thread(stacks: str) -> str:
    """The stack to look at of those that were written down: the current thread's, else the last (the main thread's)."""
    parts = re.split(r"^(?=(?:Current thread|Thread) 0x)", stacks, flags=re.MULTILINE)
    current = [part for part in parts if part.startswith("Current thread")]
    return current[0] if current else parts[-1]
