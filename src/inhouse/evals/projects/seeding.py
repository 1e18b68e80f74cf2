"""Puts faults into a project, two of each, drawn by the seed alone; kept are those that the project's tests notice.

The first is in a function of at most 40 lines, the second at any line of the program. A fault counts when at least one
test fails with it and at most three in ten, within the time that a suite has.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from inhouse.errors import WorkspaceError
from inhouse.evals.projects.issue import issue_text
from inhouse.evals.projects.prepare import Prepared, copy
from inhouse.evals.projects.suites import PATIENCE, SECONDS, Outcome, run_suite
from inhouse.evals.tree_mutations import Fault, Place, faults, holds, is_known, is_sound, places
from inhouse.workspace.files import is_test_file
from inhouse.workspace.git import git

FAULTS = 2
SHORT = 40  # lines of a function that the first fault is in
_TRIES = 80
_INNER = 4  # named functions inside of a function
_SHARE = 0.3  # of the tests that may fail
_NOT_PROGRAM = frozenset(("docs", "doc", "examples", "example", "benchmark", "benchmarks", "dist", "build", "scripts"))
_TEST_NAMES = ("test.js", "tests.js", "test.py", "tests.py")


@dataclass(frozen=True)
class Bug:
    """A project with one fault. `text` is the faulty file, `right` the released one; `first`..`last` the function."""

    name: str
    project: str
    path: str
    function: str
    first: int
    last: int
    line: int
    kind: str
    before: str
    after: str
    text: str
    right: str
    issue: str
    test: str  # the failing test that the issue tells of
    failing: tuple[str, ...]
    tests: int
    seconds: float
    tried: int  # faults drawn until this one was noticed

    @property
    def short(self) -> bool:
        """Whether the faulty function has at most 40 lines."""
        return self.last - self.first + 1 <= SHORT


Run = Callable[[Path], Outcome]


def seed_bugs(prepared: Prepared, seed: int, place: Path, run: Run | None = None) -> list[Bug]:
    """The project's bugs; `place` is a folder for a copy that is changed and run.

    Raises WorkspaceError where too few faults are noticed.
    """
    if place.exists():
        shutil.rmtree(place)
    limit = min(PATIENCE * SECONDS, 20 + 4 * prepared.clean.seconds)
    run = run or (lambda root: run_suite(prepared.project, root, seconds=limit))
    copy(prepared, place, {})
    try:
        return list(_bugs(prepared, seed, place, run))
    finally:
        shutil.rmtree(place)


def program(root: Path, only: Sequence[str]) -> dict[str, str]:
    """The texts of the program's files: no tests, examples or built ones; those below `only` where that is given."""
    found: dict[str, str] = {}
    for path in git(root, "ls-files", "-z").split("\0"):
        parts = PurePosixPath(path).parts
        if not path or not is_known(path) or is_test(path) or _NOT_PROGRAM & set(parts[:-1]) or ".min." in path:
            continue
        if only and not any(path == part or path.startswith(f"{part}/") for part in only):
            continue
        found[path] = (root / path).read_bytes().decode("utf-8")
    return found


def is_test(path: str) -> bool:
    """Whether a path is part of the tests."""
    return is_test_file(path) or PurePosixPath(path).name.lower() in _TEST_NAMES


def _bugs(prepared: Prepared, seed: int, root: Path, run: Run) -> Iterator[Bug]:
    texts = program(root, prepared.project.program)
    functions = _functions(texts)
    taken: set[tuple[str, str]] = set()
    for number in range(1, FAULTS + 1):
        draw = random.Random(f"{seed} {prepared.project.name} {number}")
        drawn = islice(_drawn(draw, functions, texts, short=number == 1), _TRIES)
        for tried, (place, fault) in enumerate(drawn, 1):
            if (place.path, place.name) in taken:
                continue
            bug = _noticed(prepared, root, run, number, tried, place, fault, texts[place.path])
            if bug is not None:
                taken.add((place.path, place.name))
                yield bug
                break
        else:
            raise WorkspaceError(
                f"{prepared.project.name}: no fault in {len(functions)} functions is noticed as it should be; "
                "take another project, or another seed"
            )


def _functions(texts: dict[str, str]) -> list[Place]:
    """The program's functions; one around many others is how a JavaScript module is wrapped, and is left out."""
    found = [places(path, text) for path, text in texts.items()]
    return [one for some in found for one in some if sum(holds(one, other) for other in some) <= _INNER]


def _drawn(
    draw: random.Random, functions: Sequence[Place], texts: dict[str, str], *, short: bool
) -> Iterator[tuple[Place, Fault]]:
    """Faults without end: of the short functions each is as likely as another, else each line of the program is."""
    pool = [place for place in functions if place.lines <= SHORT] if short else list(functions)
    weights = [1 if short else place.lines for place in pool]
    seen: set[str] = set()
    for _ in range(50 * _TRIES if pool else 0):
        place = draw.choices(pool, weights)[0]
        found = faults(texts[place.path], place)
        if not found:
            continue
        kind = draw.choice(sorted({fault.kind for fault in found}))
        fault = draw.choice([fault for fault in found if fault.kind == kind])
        digest = hashlib.sha256(f"{place.path}\0{fault.text}".encode()).hexdigest()
        if digest not in seen and is_sound(place.path, fault.text):
            seen.add(digest)
            yield place, fault


def _noticed(
    prepared: Prepared, root: Path, run: Run, number: int, tried: int, place: Place, fault: Fault, right: str
) -> Bug | None:
    """The bug, if the tests notice the fault as they should."""
    target = root / place.path
    target.write_bytes(fault.text.encode("utf-8"))
    try:
        outcome = run(root)
    finally:
        target.write_bytes(right.encode("utf-8"))
    wanted = prepared.clean.passed - set(prepared.flaky)
    lost = wanted - outcome.passed
    told = [name for name in outcome.failed if name in lost and outcome.failed[name].strip()]
    if outcome.stopped or not told or len(lost) > max(1, _SHARE * len(wanted)):
        return None
    test = min(told, key=_is_doctest)  # the first one, of those that are no documentation if there are any
    said = outcome.failed[test]
    issue = issue_text(test, said, place.name.rpartition(".")[2], _test_source(root, test))
    return Bug(
        f"{prepared.project.name}-{number}", prepared.project.name, place.path, place.name, place.first, place.last,
        fault.line, fault.kind, fault.before, fault.after, fault.text, right, issue, test, tuple(sorted(lost)),
        len(wanted), outcome.seconds, tried,
    )  # fmt: skip


def _is_doctest(test: str) -> bool:
    name = test.rpartition("::")[2]
    return name.endswith((".rst", ".md", ".txt")) or ("::" in test and "." in name.partition("[")[0])


def _test_source(root: Path, test: str) -> str:
    """What the test itself says: the functions of its name, or all tests of the project where it has a title only."""
    names = [name for name in git(root, "ls-files", "-z").split("\0") if name and is_test(name) and is_known(name)]
    texts = {name: (root / name).read_text(encoding="utf-8", errors="replace") for name in names}
    short = test.rpartition("::")[2].partition(" (")[0].partition("[")[0].rpartition(".")[2]
    found = [
        "\n".join(text.split("\n")[place.first - 1 : place.last])
        for name, text in texts.items()
        for place in places(name, text)
        if place.name.rpartition(".")[2] == short
    ]
    return "\n".join(found or texts.values())
