"""Runs `inhouse fix` on a faulty project as a user would, and judges the patch without it.

The repair is a process of its own, by the command line; what counts is the project's own tests on a fresh copy with the
printed patch, run outside of the repair. Where there is no repair, why not is read from the events that were printed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from inhouse.errors import WorkspaceError
from inhouse.evals.projects.prepare import Prepared, copy
from inhouse.evals.projects.seeding import Bug, is_test
from inhouse.evals.projects.suites import is_as_good, run_suite
from inhouse.evals.tree_mutations import places
from inhouse.workspace.git import git
from inhouse.workspace.processes import kill_session, started

Miss = Literal["", "not localised", "model wrong", "time", "thrown away", "wrong reason", "wrong patch", "error"]

GRACE = 10.0  # seconds by which the time limit may be exceeded
_KILLED_AFTER = 120.0  # seconds beyond the limit; a repair that hangs must not end the measurement
_FAIR = 3  # answers on the faulty function, before a miss is the model's rather than the time's
_VERSIONS = 3  # of those that look right, how many are judged
_FOUND = ("verified", "reproduced", "agreed")  # how a result ends that holds a patch
_SILENT = ("nothing_fails",)  # said of a project with failing tests, it is wrong
_OUT_OF_TIME = re.compile(r"\b(?:minutes?|time)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Measure:
    """How one bug fared. `rank` of the faulty function among the suspects, from 1; `asked`: answers about it.

    `right_seen`: whether a version that the repair tested was right, None where it tested none. `late`: longer than
    the limit and GRACE. `events` are those that were printed, without what tests printed.
    """

    name: str
    half: str
    ecosystem: str
    short: bool
    lines: int
    repaired: bool
    same: bool  # the repaired file is the released one, whitespace aside
    status: str
    reason: str
    exit_code: int
    seconds: float
    late: bool
    attempts: int
    rank: int | None
    line_rank: int | None
    asked: int
    right_seen: bool | None
    miss: Miss
    diff: str
    stderr: str
    events: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Ended:
    """How a run of `inhouse fix` ended: the JSON lines that it printed, its exit code and the seconds it took."""

    exit_code: int
    lines: tuple[Mapping[str, Any], ...]
    stderr: str
    seconds: float

    @property
    def result(self) -> Mapping[str, Any]:
        """The last line, which says how it ended; empty where there is none."""
        return self.lines[-1] if self.lines and self.lines[-1].get("event") == "result" else {}


@dataclass(frozen=True)
class Plan:
    """What is measured: the model, the minutes for each bug, and further options of `inhouse fix`."""

    model: str
    minutes: float = 5.0
    options: tuple[str, ...] = ()


Fix = Callable[[Path, Bug], Ended]


def fixer(prepared: Prepared, plan: Plan) -> Fix:
    """`inhouse fix` of the very code that runs here, by the command line."""
    # -P: Python must not take its own packages from the project, which may be one of them.
    command = [
        sys.executable, "-P", "-m", "inhouse", "fix", "-", "--json", "--yes", "--minutes", f"{plan.minutes:g}",
        "--model", plan.model, *plan.options,
    ]  # fmt: skip
    if prepared.project.test:
        command += ["--test", prepared.project.test]
    limit = 60 * plan.minutes + _KILLED_AFTER

    def run(root: Path, bug: Bug) -> Ended:
        begun = time.monotonic()
        with started(
            [*command, "--repo", str(root)], cwd=root, env=os.environ.copy(),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                out, errors = process.communicate(bug.issue.encode("utf-8"), timeout=limit)
            except subprocess.TimeoutExpired:
                kill_session(process)
                out, errors = process.communicate()
        said = errors.decode("utf-8", "replace")[-4000:]
        if process.returncode == -signal.SIGKILL:
            said += f"\nended by the benchmark, {_KILLED_AFTER:.0f} s after the time limit"
        return Ended(process.returncode, tuple(_objects(out)), said, round(time.monotonic() - begun, 2))

    return run


def warm_up(model: str) -> None:
    """Load the model once: its packed copy is made by the first command of all, and is no part of a repair.

    Raises WorkspaceError when it cannot be loaded.
    """
    command = [sys.executable, "-P", "-m", "inhouse", "generate", model, "Hello", "--max-tokens", "1"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise WorkspaceError(f"{model} cannot be used: {done.stderr.strip().rpartition(chr(10))[2]}")


def measure(prepared: Prepared, bug: Bug, plan: Plan, folder: Path, fix: Fix | None = None) -> Measure:
    """Repair one bug and judge it. `folder` is for copies; they are gone afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="copy-") as name:
        root = Path(name).resolve() / prepared.root.parent.name
        copy(prepared, root, {bug.path: bug.text})
        ended = (fix or fixer(prepared, plan))(root, bug)
        shutil.rmtree(root)
        diff = str(ended.result.get("diff") or "")
        repaired, same = judged(prepared, bug, root / "patched", diff) if diff else (False, False)
        tested = any(event.get("event") == "judged" for event in ended.lines)
        seen = repaired or any(
            judged(prepared, bug, root / f"version-{number}", version)[0]
            for number, version in enumerate(likely_right(ended.lines, bug)[:_VERSIONS])
        )
    return _measured(prepared, bug, plan, ended, repaired=repaired, same=same, seen=seen if tested else None)


def judged(prepared: Prepared, bug: Bug, root: Path, diff: str) -> tuple[bool, bool]:
    """Whether a diff makes a fresh copy's tests end as those of the release, and gives the released file itself.

    A diff that edits a test, or cannot be applied, repairs nothing.
    """
    copy(prepared, root, {bug.path: bug.text})
    try:
        git(root, "apply", "--whitespace=nowarn", "-", stdin=diff)
    except WorkspaceError:
        return False, False
    changed = [path for path in git(root, "diff", "--name-only", "-z").split("\0") if path]
    if any(is_test(path) for path in changed):  # new files are no tests of the project's, and do not count either way
        return False, False
    same = "".join((root / bug.path).read_text(encoding="utf-8").split()) == "".join(bug.right.split())
    after = run_suite(prepared.project, root)
    return is_as_good(after, prepared.clean, prepared.flaky), same


def _measured(
    prepared: Prepared, bug: Bug, plan: Plan, ended: Ended, *, repaired: bool, same: bool, seen: bool | None
) -> Measure:
    events = ended.lines[: len(ended.lines) - bool(ended.result)]
    diff = str(ended.result.get("diff") or "")
    asked = sum(event.get("event") == "asked" and about(str(event.get("suspect")), bug) for event in events)
    status = str(ended.result.get("status") or "none")
    late = ended.seconds > 60 * plan.minutes + GRACE
    return Measure(
        name=bug.name,
        half=prepared.project.half,
        ecosystem=prepared.project.ecosystem,
        short=bug.short,
        lines=bug.last - bug.first + 1,
        repaired=repaired,
        same=same,
        status=status,
        reason=str(ended.result.get("reason") or ended.stderr.strip().rpartition("\n")[2]),
        exit_code=ended.exit_code,
        seconds=ended.seconds,
        late=late,
        attempts=int(ended.result.get("attempts") or 0),
        rank=rank(events, bug),
        line_rank=line_rank(events, bug),
        asked=asked,
        right_seen=seen,
        miss="" if repaired else miss(ended, asked, seen, diff),
        diff=diff,
        stderr=ended.stderr[-1000:],
        events=tuple(_shortened(event) for event in events),
    )


def miss(ended: Ended, asked: int, seen: bool | None, diff: str) -> Miss:
    """Why there is no repair.

    `asked`: how often the model was asked about the faulty function; `seen`: whether a right answer was among them.
    """
    status = ended.result.get("status")
    if status is None:
        return "error"
    if diff and status in _FOUND:
        return "wrong patch"
    if seen:
        return "thrown away"
    if status in _SILENT or status in _FOUND:
        return "wrong reason"
    if asked == 0:
        return "not localised"
    if asked < _FAIR and _OUT_OF_TIME.search(str(ended.result.get("reason", ""))):
        return "time"
    return "model wrong"


def rank(events: Iterable[Mapping[str, Any]], bug: Bug) -> int | None:
    """The faulty function's place among the first list of suspects, from 1; None where it is not on it."""
    for event in events:
        if event.get("event") == "located":
            suspects = event.get("suspects", ())
            return next((at for at, label in enumerate(suspects, 1) if about(_label(label), bug)), None)
    return None


def line_rank(events: Iterable[Mapping[str, Any]], bug: Bug) -> int | None:
    """The faulty line's place among the suspicious lines, given as "path:line"; None where none are printed."""
    for event in events:
        for at, line in enumerate(event.get("lines") or (), 1) if event.get("event") == "located" else ():
            if _label(line) == f"{bug.path}:{bug.line}":
                return at
    return None


def about(label: str, bug: Bug) -> bool:
    """Whether a suspect, "path::name" or "path::first-last", is the faulty function, or lines that hold the fault."""
    path, _, name = label.partition("::")
    if path != bug.path:
        return False
    if name in (bug.function, bug.function.rpartition(".")[2]) or name.rpartition(".")[2] == bug.function:
        return True
    span = re.search(r"(\d+)\D+(\d+)\D*$", name)
    if span is not None:
        return int(span[1]) <= bug.line <= int(span[2])
    # A function around or inside of the one that holds the fault is asked about as a whole.
    for place in places(bug.path, bug.text):
        if name in (place.name, place.name.rpartition(".")[2]) and place.first <= bug.line <= place.last:
            return True
    return False


def likely_right(events: Iterable[Mapping[str, Any]], bug: Bug) -> list[str]:
    """The versions that were tested, as diffs, which have the faulty line as it was released."""
    right, wrong = (" ".join(text.split("\n")[bug.line - 1].split()) for text in (bug.right, bug.text))
    found = []
    for event in events if right != wrong else ():
        diff = str(event.get("diff") or "") if event.get("event") == "judged" else ""
        added = [" ".join(line[1:].split()) for line in diff.split("\n") if line[:1] == "+"]
        if right in added and (not wrong or wrong not in added):
            found.append(diff)
    return list(dict.fromkeys(found))


def _label(value: Any) -> str:
    if isinstance(value, Mapping):
        if "line" in value:
            return f"{value.get('path', '')}:{value['line']}"
        return str(value.get("label") or f"{value.get('path', '')}::{value.get('name', '')}")
    return str(value)


def _objects(out: bytes) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for line in out.decode("utf-8", "replace").split("\n"):
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _shortened(event: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: value[:2000] if isinstance(value, str) else value for key, value in event.items()}


def as_record(result: Measure) -> dict[str, Any]:
    """A result as JSON's types."""
    return asdict(result)


def from_record(record: Mapping[str, Any]) -> Measure:
    """A result from what `as_record` gave."""
    return Measure(**{**record, "events": tuple(record["events"])})
