"""Runs a project's own tests and says how each of them ended. Knows the runners' outputs; nothing of faults or repairs.

This is the judge of a repair, so it shares no code with what repairs: output is read here anew.
"""

from __future__ import annotations

import re
import shutil
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.evals.projects.catalog import Project, Runner
from inhouse.workspace import CommandResult, Limits, Sandbox, Unconfined, python_paths

SECONDS = 60.0  # that a suite may take on a machine that does nothing else
PATIENCE = 4  # times as long is waited, for machines that do
SCRATCH = ".inhouse-benchmark"  # in the copy, out of git's sight: reports and compiled packages
_LIMITS = Limits(memory=3 << 30, processes=256, file_size=256 << 20, scratch=512 << 20, output=4 << 20)
_REPORT = f"{SCRATCH}/report.xml"
_USUAL: Mapping[Runner, str] = {
    "pytest": ".venv/bin/python -m pytest -q -p no:cacheprovider",
    "unittest": ".venv/bin/python -m unittest -v",
    "go": "go test -v ./...",
}


@dataclass(frozen=True)
class Outcome:
    """How the tests ended: names of those that passed, names of those that failed with what was printed of them."""

    passed: frozenset[str]
    failed: Mapping[str, str]
    seconds: float
    stopped: str = ""  # by which limit, if by one
    output: str = field(default="", repr=False)

    @property
    def clean(self) -> bool:
        """Whether tests ran, and all passed."""
        return bool(self.passed) and not self.failed and not self.stopped


def run_suite(project: Project, root: Path, *, confined: bool = True, seconds: float = PATIENCE * SECONDS) -> Outcome:
    """Run the tests of the project as it lies in `root`."""
    (root / SCRATCH).mkdir(exist_ok=True)
    report = root / _REPORT
    report.unlink(missing_ok=True)
    line = project.suite or _USUAL[project.runner]
    if project.runner == "pytest":
        line += f" --junitxml={_REPORT}"
    runner = _sandbox(root) if confined else Unconfined(root, path=_tool_folders(), limits=_LIMITS)
    done = runner.run(line, timeout=seconds, environment=_environment(project, root))
    if project.runner == "pytest":
        passed, failed = _junit(report.read_bytes() if report.is_file() else b"")
    else:
        passed, failed = READERS[project.runner](done.output)
    return Outcome(frozenset(passed), failed, round(done.duration, 2), _stopped(done), done.output)


def is_as_good(after: Outcome, before: Outcome, undecided: Iterable[str] = ()) -> bool:
    """Whether every test passes that passed `before`, but for those that do not decide."""
    return not after.stopped and before.passed - set(undecided) <= after.passed


def _stopped(done: CommandResult) -> str:
    return done.stopped or ""


def _sandbox(root: Path) -> Sandbox:
    return Sandbox(root, readable=python_paths(Path(python())), path=_tool_folders(), limits=_LIMITS)


def _tool_folders() -> tuple[Path, ...]:
    """Where the toolchains lie that PATH names, links resolved by nobody: shims must stay shims."""
    found = [shutil.which(name) for name in ("node", "go")]
    return tuple(dict.fromkeys(Path(path).parent for path in found if path))


def _environment(project: Project, root: Path) -> dict[str, str]:
    scratch = root / SCRATCH
    found = {"PYTHONDONTWRITEBYTECODE": "1", "CI": "1", "NO_COLOR": "1"}
    if project.runner == "go":
        found |= {"GOCACHE": str(scratch / "go-build"), "GOFLAGS": "-mod=mod", "GOPROXY": "off", "GOPATH": str(scratch)}
    return found


Read = tuple[list[str], dict[str, str]]


def _junit(data: bytes) -> Read:
    try:
        cases = list(ElementTree.fromstring(data).iter("testcase")) if data else []
    except ElementTree.ParseError:
        return [], {}
    names = _Names()
    passed, failed = [], {}
    for case in cases:
        name = names.new(f"{case.get('classname', '')}::{case.get('name', '')}".strip(":"))
        wrong = next((part for part in case if part.tag in ("failure", "error")), None)
        if wrong is not None:
            failed[name] = _message(wrong.get("message") or "", wrong.text or "")
        elif case.find("skipped") is None:
            passed.append(name)
    return passed, failed


def _message(message: str, text: str) -> str:
    """What pytest says of a failure; where that is an exception's name alone, the statement that raised it as well."""
    raised = re.findall(r"^>\s+(.+)$", text, re.MULTILINE)
    if not message:
        return text
    return f"{message}\n{raised[-1]}" if raised and re.fullmatch(r"[\w.]+", message) else message


_UNITTEST = re.compile(r"^(?P<id>\w+ \([\w.]+\)).*?\.\.\. (?:.*?)(?P<end>ok|FAIL|ERROR|expected failure)$", re.M | re.S)
_UNITTEST_HEAD = re.compile(r"^(?:FAIL|ERROR): (?P<id>\w+ \([\w.]+\)).*$", re.M)


def read_unittest(output: str) -> Read:
    """`python -m unittest -v`."""
    bodies: dict[str, str] = {}
    for part in output.split("=" * 70)[1:]:
        head = _UNITTEST_HEAD.search(part)
        if head:
            body = part[head.end() :].partition("-" * 70 + "\n")[2]
            lines = body.partition("\n" + "-" * 70)[0].rstrip().splitlines()
            # The last lines that are not indented are the exception and its message.
            start = max((at for at, line in enumerate(lines) if line.startswith("  File ")), default=-1)
            rest = [line for line in lines[start + 1 :] if not line.startswith("    ")]
            bodies.setdefault(head["id"], "\n".join(rest).strip())
    results = {one["id"]: one["end"] for one in _UNITTEST.finditer(output.partition("=" * 70)[0])}
    failed = {name: bodies.get(name, "") for name in {*bodies, *(n for n, end in results.items() if _bad(end))}}
    return [name for name, end in results.items() if not _bad(end) and name not in failed], failed


def _bad(end: str) -> bool:
    return end in ("FAIL", "ERROR")


_TAP = re.compile(r"^(?P<indent> *)(?P<not>not )?ok \d+(?: -)? ?(?P<name>.*)$")
_TAP_TITLE = re.compile(r"^ *# (?:Subtest: )?(?P<title>.+)$")
_TAP_IGNORED = re.compile(r"# (?:SKIP|TODO)\b", re.I)


def read_tap(output: str) -> Read:
    """TAP, of tape, mocha and node: one line a check or test, details in an indented block below."""
    names, title = _Names(), ""
    passed: list[str] = []
    failed: dict[str, str] = {}
    current: list[str] | None = None
    last = ""
    for line in output.splitlines():
        found = _TAP.match(line)
        if found is None:
            heading = _TAP_TITLE.match(line)
            if heading:
                title = heading["title"]
            if current is not None and line.startswith(" " * 2):
                current.append(line)
                failed[last] = "\n".join(current)
            elif not line.startswith(" "):
                current = None
            continue
        current = None
        if _TAP_IGNORED.search(found["name"]):
            continue
        text = found["name"].strip()
        name = names.new(text if title in ("", text) else f"{title}: {text}")
        if found["not"]:
            current, last = [], name
            failed[name] = ""
        else:
            passed.append(name)
    return passed, failed


_GO = re.compile(r"^(?P<indent> *)--- (?P<end>PASS|FAIL): (?P<name>\S+) \(")
_GO_PACKAGE = re.compile(r"^(?:ok|FAIL)\s+(?P<package>\S+)\t")


def read_go(output: str) -> Read:
    """`go test -v`: what a test prints stands before its end, and in old versions after it; both are taken."""
    passed: list[str] = []
    failed: dict[str, str] = {}
    waiting: list[tuple[str, str, str]] = []
    printed: list[str] = []
    for line in output.splitlines():
        package = _GO_PACKAGE.match(line)
        found = _GO.match(line)
        if found:
            waiting.append((found["name"], found["end"], "\n".join(printed)))
            printed = []
        elif package:
            for name, end, text in waiting:
                key = f"{package['package']}.{name}"
                if end == "PASS":
                    passed.append(key)
                else:
                    failed[key] = text
            waiting, printed = [], []
        elif line.startswith("=== "):
            printed = [] if line.startswith("=== RUN") else printed
        elif line.startswith(" "):
            if printed or not waiting or waiting[-1][1] == "PASS" or waiting[-1][2]:
                printed.append(line)
            else:
                name, end, _ = waiting.pop()
                waiting.append((name, end, line))
    return passed, failed


READERS = {"unittest": read_unittest, "tap": read_tap, "go": read_go}


class _Names:
    """Gives every test a name of its own: the second of a name is called `name #2`."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def new(self, name: str) -> str:
        self._seen[name] = count = self._seen.get(name, 0) + 1
        return name if count == 1 else f"{name} #{count}"


def python() -> str:
    """The interpreter that environments are made with: the one that we ourselves were made with."""
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(base) if base.is_file() else sys.executable
