"""What the output of a test run says: which tests failed, how, and where. Knows pytest's and unittest's formats.

Those of other languages are `runners`' affair. Any other output still yields the places in files that it names, and
its last lines.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile, zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from inhouse.workspace import CommandResult
from inhouse.workspace.files import is_test_file
from inhouse.workspace.lines import line_number
from inhouse.workspace.testing.command import TestKind
from inhouse.workspace.testing.outcomes import Ended, Frame, Raised
from inhouse.workspace.testing.runners import go_folder, named_failures, tests_ran

_PYTEST_FAILED = re.compile(r"^(?:FAILED|ERROR) (?P<id>\S.*?)(?: - .*)?$", re.MULTILINE)
_PYTEST_COUNTS = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)")
_PYTEST_SECTION = re.compile(r"^_{3,} (?:ERROR (?:at \w+ of|collecting) )?(?P<name>\S.*?) _{3,}$", re.MULTILINE)
_UNITTEST_SECTION = re.compile(r"^={70}\n(?:FAIL|ERROR): (?P<head>[^\n]+)\n(?:[^\n]+\n)*?-{70}$", re.MULTILINE)
_UNITTEST_RAN = re.compile(r"^Ran (\d+) tests?", re.MULTILINE)
_UNITTEST_SKIPPED = re.compile(r"skipped=(\d+)")
_SAYS_FAILED = re.compile(
    r"\b\d+ (?:failed|errors?)\b.* in \d[\d.]*s\b|^FAILED \((?:failures|errors)=|^test result: FAILED|^--- FAIL: |"
    r"^Tests: +\d+ failed",
    re.MULTILINE,
)
_PLACE = re.compile(r"(?P<path>[\w./\-\u0300-\u036f]+\.[A-Za-z]\w*)(?:\", line |:)(?P<line>\d+)")
_END_OF_SECTIONS = re.compile(r"^(?:={3,} .* ={3,}|-{70})$", re.MULTILINE)
_EXCEPTION = re.compile(
    r"^(?:\w+\.)*(?P<name>[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit|Failed))(?::|$)", re.MULTILINE
)
_NO_FIXTURE = re.compile(r"^fixture '[^'\n]+' not found", re.MULTILINE)

MAX_LINES = 30  # of one failure's message


@dataclass(frozen=True)
class Place:
    """A line of a file of the repository that a failure names, as in a traceback."""

    path: str
    line: int


FailureKind = Literal["assertion", "exception", "timeout", "crash", "collection", "fixture"]


@dataclass(frozen=True)
class Failure:
    """One failing test. `id` as its runner names it ("" when unknown), `name` of the function alone.

    `exception` is the class that was raised, without its module ("" when unknown). `innermost` is the innermost frame
    in the project's own program (not its tests): where the exception was raised, the test hung or the process died.
    `raised` is the whole exception, where the tests were recorded.
    """

    id: str
    name: str
    message: str
    places: tuple[Place, ...]  # outermost first
    kind: FailureKind = "exception"
    exception: str = ""
    innermost: Frame | None = None
    raised: Raised | None = None

    @property
    def reason(self) -> str:
        """Why it fails, in one line: `ZeroDivisionError: division by zero at src/x.py:12 in mean`."""
        said = next((line.strip() for line in self.message.splitlines() if line.strip()), "it fails without a word")
        at = self.innermost
        if at is None or self.kind in ("assertion", "fixture") or f"{at.path}:{at.line}" in said:
            return said
        return f"{said} at {at.path}:{at.line}" + (f" in {at.name}" if at.name.isidentifier() else "")


@dataclass(frozen=True)
class TestReport:
    """One run of the tests. `ran` counts those that ended in success or failure, None where the output does not say.

    `tests` tells of every test by itself, seconds included, where the tests were recorded. `apart` are failing tests
    that say nothing of a patch, with the reason; they are not among `failures`.
    """

    __test__ = False  # not a test itself, whatever pytest thinks of the name

    passed: bool
    failures: tuple[Failure, ...]
    ran: int | None
    exit_code: int
    seconds: float
    stopped: str | None
    output: str
    tests: Mapping[str, Ended] = field(default_factory=dict)
    apart: Mapping[str, str] = field(default_factory=dict)

    @property
    def failing(self) -> frozenset[str]:
        return frozenset(failure.id for failure in self.failures)

    @property
    def summary(self) -> str:
        """What went wrong, in short: the first failure's message, or why the run ended."""
        if self.stopped:
            return f"the tests were stopped: {self.stopped}"
        return self.failures[0].message if self.failures else ""


def read_report(
    result: CommandResult,
    kind: TestKind,
    place: Path,
    known: Container[str],
    modules: Mapping[str, str] = MappingProxyType({}),
) -> TestReport:
    """The outcome of a run.

    `place` is where the run saw the repository, `known` its files' relative paths, `modules` its Go modules' folders.
    """
    failures: tuple[Failure, ...] = ()
    ran: int | None = None
    if kind == "pytest":
        failures, ran = _pytest(result.output, place, known)
    elif kind == "unittest":
        failures, ran = _unittest(result.output, place, known)
    else:
        ran = tests_ran(result.output)
        failures = () if result.ok else _others(result.output, place, known, modules)
    if not result.ok and not failures:
        tail = "\n".join(result.output.rstrip().splitlines()[-MAX_LINES:])
        places = places_in(result.output, place, known, ("", *modules.values()))
        failures = (Failure("", "", tail, places),)
    return TestReport(
        result.ok, failures, ran, result.exit_code, result.duration, result.stopped, result.output[-20_000:]
    )


def renumbered(report: TestReport, text_of: Callable[[str], str]) -> TestReport:
    """A report whose lines are counted by "\\n" alone, as files are shown and edited; languages may count otherwise.

    `text_of` gives a file's text, "" where its lines are those of its language.
    """

    def line(path: str, number: int) -> int:
        return line_number(path, text_of(path), number)

    def numbered(failure: Failure) -> Failure:
        places = tuple(Place(place.path, line(place.path, place.line)) for place in failure.places)
        inner = failure.innermost
        return replace(failure, places=places, innermost=inner and replace(inner, line=line(inner.path, inner.line)))

    return replace(report, failures=tuple(map(numbered, report.failures)))


def without(report: TestReport, apart: Mapping[str, str]) -> TestReport:
    """The report with some failing tests set apart, by the reason for it; they do not decide whether it passed."""
    found = {failure.id: apart[failure.id] for failure in report.failures if failure.id in apart}
    if not found:
        return report
    left = tuple(failure for failure in report.failures if failure.id not in found)
    return replace(report, passed=not left and report.stopped is None, failures=left, apart={**report.apart, **found})


def says_failed(output: str) -> bool:
    """Whether a runner that is known says in its summary that tests failed, whatever the exit code."""
    return bool(_SAYS_FAILED.search(output))


def places_in(text: str, place: Path, known: Container[str], folders: Sequence[str] = ("",)) -> tuple[Place, ...]:
    """The places in known files that a text names, in order, each once. Paths are of the first folder that has them."""
    found: dict[Place, None] = {}
    for match in _PLACE.finditer(text):
        path = re.sub("^/+", "/", match["path"]).removeprefix(f"{place}/")  # file:///... of a URL
        below = (posixpath.normpath(posixpath.join(folder, path)) for folder in folders)
        if (file := next((path for path in below if path in known), None)) is not None:
            found[Place(file, int(match["line"]))] = None
    return tuple(found)


def _pytest(output: str, place: Path, known: Container[str]) -> tuple[tuple[Failure, ...], int | None]:
    sections: dict[str, str] = {}
    heads = list(_PYTEST_SECTION.finditer(output))
    for head, following in zip_longest(heads, heads[1:]):
        body = output[head.end() : following.start() if following else len(output)]
        ending = _END_OF_SECTIONS.search(body)
        sections.setdefault(head["name"], body[: ending.start()] if ending else body)
    failures = []
    for id in dict.fromkeys(match["id"] for match in _PYTEST_FAILED.finditer(output)):
        file, *inner = id.split("::")
        text = sections.get(".".join(inner) or file, "")
        name = inner[-1].split("[")[0] if inner else ""
        places = places_in(text, place, known)
        failures.append(parsed_failure(id, name, _pytest_message(text), places, collecting=not inner))
    summary = next((line for line in reversed(output.splitlines()) if _PYTEST_COUNTS.search(line)), "")
    counts = {what.rstrip("s"): int(count) for count, what in _PYTEST_COUNTS.findall(summary)}
    ran = sum(counts.get(what, 0) for what in ("passed", "failed", "error")) if counts else None
    return tuple(failures), ran


def _pytest_message(section: str) -> str:
    said = [line[1:].removeprefix("   ") for line in section.splitlines() if re.match(r"E(\s|$)", line)]
    # The values stand before pytest's full diff of them, which says the same once more at length.
    said = list(takewhile(lambda line: not line.strip().startswith("Full diff"), said))
    return shortened("\n".join(said).strip().splitlines() or section.strip().splitlines())


def _unittest(output: str, place: Path, known: Container[str]) -> tuple[tuple[Failure, ...], int | None]:
    failures = []
    heads = list(_UNITTEST_SECTION.finditer(output))
    for head, following in zip_longest(heads, heads[1:]):
        body = output[head.end() : following.start() if following else len(output)]
        ending = re.search(r"^-{70}\nRan ", body, re.MULTILINE)
        text = body[: ending.start()] if ending else body
        name, _, where = head["head"].partition(" ")
        owner = where.strip().strip("()")  # "module.Class.test" since Python 3.11, "module.Class" before
        id = owner if owner.endswith(f".{name}") else f"{owner}.{name}"
        message = re.split(r'^  File "[^\n]*\n(?:    [^\n]*\n)*', text.strip() + "\n", flags=re.MULTILINE)[-1]
        places = places_in(text, place, known)
        said = shortened(message.strip().splitlines())
        failures.append(parsed_failure(id, name, said, places, collecting="unittest.loader._FailedTest" in id))
    found = _UNITTEST_RAN.search(output)
    skipped = _UNITTEST_SKIPPED.search(output)
    return tuple(failures), int(found[1]) - (int(skipped[1]) if skipped else 0) if found else None


def _others(output: str, place: Path, known: Container[str], modules: Mapping[str, str]) -> tuple[Failure, ...]:
    failures = []
    for one in named_failures(output):
        folder = go_folder(one.package, modules)
        folders = ("",) if folder is None else (folder, "")  # Go's tests name files without their package's folder
        places = places_in(one.text, place, known, folders)[::-1]  # stacks begin with the innermost frame
        name = re.split(r"::|/| > | › ", one.id)[-1]
        failures.append(parsed_failure(one.id, name, shortened(one.text.splitlines()), places))
    return tuple(failures)


def parsed_failure(id: str, name: str, message: str, places: tuple[Place, ...], *, collecting: bool = False) -> Failure:
    """A failure of which no more is known than what the runner printed."""
    kind: FailureKind = "collection" if collecting else "exception"
    named = list(_EXCEPTION.finditer(message))
    exception = named[-1 if collecting else 0]["name"] if named else ""
    if not collecting and (message.startswith("assert ") or exception == "AssertionError"):
        kind, exception = "assertion", "AssertionError"
    elif _NO_FIXTURE.search(message):
        kind = "fixture"
    own = [place for place in places if not is_test_file(place.path)]
    innermost = Frame(own[-1].path, own[-1].line, "") if own else None
    return Failure(id, name, message, places, kind, exception, innermost)


def shortened(lines: list[str]) -> str:
    """At most MAX_LINES of a message, its last ones included."""
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES - 6], "...", *lines[-5:]]
    return "\n".join(line[:400] for line in lines)
