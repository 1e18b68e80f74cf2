"""Runs a repository's tests on its copy, with or without a patch, and records what they call. Asks no model.

`Harness` is the one object that holds the copy, the sandbox and the command; it decides whether a patch is as good
as it looks: as many tests must run as before, so that a patch which makes tests vanish never passes for a repair.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace import Runner, Sandbox, Unconfined
from inhouse.workspace.checkout import Checkout, Patch
from inhouse.workspace.environment import candidates, open_runner, prober
from inhouse.workspace.files import is_program_file, is_test_file, read_text
from inhouse.workspace.snapshot import BUILT
from inhouse.workspace.testing import coverage
from inhouse.workspace.testing.calls import CallNotes, Calls
from inhouse.workspace.testing.command import TestCommand, given_command
from inhouse.workspace.testing.detection import Detected, detect, with_script
from inhouse.workspace.testing.outcomes import OutcomeNotes, Selection
from inhouse.workspace.testing.report import Failure, TestReport, renumbered, without
from inhouse.workspace.testing.run import run_tests
from inhouse.workspace.testing.runners import go_modules
from inhouse.workspace.toolchains import Toolchains, UserEnvironment, find_toolchains

QUICK = 1.0  # seconds; a suite that takes longer is tried on failing tests first
_TRIED_FIRST = 4  # failing tests
_TRACED = 5.0  # seconds of passing tests that are traced, which takes two to three times as long
_TRACING = 4  # times as long a test may take when it is traced
_TRACED_FAILING = 25  # failing tests that are traced
_SLOWEST_CANDIDATE = 5  # times as long as the unchanged program took: more is a loop without end
_MAX_PROGRAM_FILES = 2000
_LONGER = 6.0  # seconds after the deadline for all tests, once those that failed pass: such a patch is not given up
_FEW = 5  # tests that may newly fail and be looked at again: more are no accident


@dataclass(frozen=True)
class Harness:
    """The copy, how commands run in it, and which command tells whether it works. `timeout` is seconds per run.

    `apart` are tests that failed before and say nothing of a patch, with the reason; `limits` are seconds for single
    tests, by how long they usually take.
    """

    checkout: Checkout
    runner: Runner
    place: Path  # where commands see the copy
    command: TestCommand
    notes: CallNotes
    outcomes: OutcomeNotes
    environment: Mapping[str, str]
    timeout: float
    apart: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, float] = field(default_factory=dict)
    added: Patch = field(default_factory=dict)  # tests that are there beside the user's own
    notice: str = ""  # what the user is to know of how the tests are run

    def put(self, patch: Patch) -> None:
        """Make the copy the user's files with a patch on top, and the added tests."""
        self.checkout.put({**self.added, **patch})

    def run(
        self,
        command: TestCommand,
        deadline: float,
        extra: Mapping[str, str] | None = None,
        only: Collection[str] | None = None,
        before: TestReport | None = None,
    ) -> TestReport:
        """Run the tests on the copy as it is now. `deadline` is of time.monotonic.

        `only` these of them are run, whatever the command, where they are pytest's or unittest's. With an outcome
        `before` they end once too many others fail for it to be better.
        """
        seconds = max(1.0, min(self.timeout, deadline - time.monotonic()))
        environment = {**self.environment, **(extra or {})}
        paths = self.checkout.paths | self.added.keys()
        modules = go_modules(self.checkout.root, paths) if command.kind == "other" else {}
        known = None if before is None else before.failing | self.apart.keys()
        selection = Selection(
            None if only is None else frozenset(only), limits=self.limits, known=known, new_failures=_FEW
        )
        report = run_tests(
            self.runner, command, self.outcomes, timeout=seconds, environment=environment, known=paths,
            modules=modules, place=self.place, cwd=Path(self.checkout.prefix), selection=selection,
        )  # fmt: skip
        return renumbered(without(report, self.apart), self._text_now)

    def _text_now(self, path: str) -> str:
        """The text of a file as the tests saw it; "" of Python's, whose lines are counted as Python does."""
        try:
            return "" if path.endswith((".py", ".pyi")) else read_text(self.checkout.root, path)
        except WorkspaceError:
            return ""

    def test(self, patch: Patch, before: TestReport, deadline: float) -> TestReport:
        """The outcome with a patch on the user's files. Of a slow suite some tests that failed run first, alone.

        The rest may take a little longer than the deadline.
        """
        self.put(patch)
        quicker = replace(self, timeout=min(self.timeout, max(10.0, _SLOWEST_CANDIDATE * before.seconds)))
        if before.seconds > QUICK and (first := quicker._first(before, deadline)) is not None:
            report, asked = first
            if not report.passed and not report.failing < asked:
                return report
            self.put(patch)
        deadline += _LONGER
        return quicker._settled(patch, quicker.run(self.command, deadline, before=before), before, deadline)

    def _first(self, before: TestReport, deadline: float) -> tuple[TestReport, frozenset[str]] | None:
        """The outcome of some of the tests that failed, and which; None where they cannot be asked for, or none ran."""
        chosen = _spread(sorted(before.failing), _TRIED_FIRST)
        if "" in chosen:
            return None
        asked = frozenset(chosen)
        if (some := self.command.only(chosen)) is not None:
            report = self.run(some, deadline, before=before)
        elif (some := self._files_of(before.failures)) is not None:
            report, asked = self.run(some, deadline, before=before), before.failing
        elif self.command.kind != "other":
            report = self.run(self.command, deadline, only=chosen, before=before)
        else:
            return None
        return (report, asked) if report.failing - {""} or report.passed else None

    def _files_of(self, failures: Sequence[Failure]) -> TestCommand | None:
        """The command for the files of failing tests, of a runner that cannot be asked for tests but for files."""
        files = [{place.path for place in failure.places if is_test_file(place.path)} for failure in failures]
        return self.command.only(sorted(set().union(*files))) if files and all(files) else None

    def _settled(self, patch: Patch, after: TestReport, before: TestReport, deadline: float) -> TestReport:
        """The outcome without tests that are shown to be flaky: a patch that helps must not be lost by an accident.

        That they newly fail counts unless they pass when the same program is run again, or fail without the patch.
        """
        new = after.failing - before.failing
        if not new or len(new) > _FEW or not before.failing - after.failing or not new <= after.tests.keys():
            return after
        self.put(patch)
        again = self.run(self.command, deadline)
        flaky = {id for id in new if id in again.tests and again.tests[id].outcome == "passed"}
        if new - flaky:
            self.put({})
            flaky |= new & self.run(self.command, deadline, only=new - flaky).failing
        return without(after, dict.fromkeys(flaky, "flaky: two runs of the same program end differently"))

    def record(self, names: Sequence[str], before: TestReport, deadline: float, patch: Patch) -> Calls:
        """What the tests run with a patch, with values in those named in `names`; empty when it cannot be told.

        Nothing is lost but insight when the recorder upsets the tests, so their outcome does not matter here.
        """
        self.put(patch)
        root = self.checkout.root
        variables = {**coverage.prepare(root, self.place, before.failures), **self.notes.prepare(names)}
        if given := self.environment.get("PYTHONPATH"):
            variables["PYTHONPATH"] += os.pathsep + given
        traced = replace(self, limits={id: _TRACING * seconds for id, seconds in self.limits.items()})
        traced.run(self.command, deadline, variables, only=_sampled(before))
        calls, modules = self.notes.read(), go_modules(root, self.checkout.paths)
        if calls.covered:
            return calls
        texts = {**self.texts(), **patch}
        found = coverage.read(root, self.place, texts, before.failures, modules)
        together = coverage.counts(root, self.place, texts)
        some = self.command.only(sorted(before.failing)) or self._files_of(before.failures) if together else None
        if some is None:
            return found
        self.put(patch)
        self.run(some, deadline, {**variables, **coverage.prepare(root, self.place, before.failures)})
        counts = coverage.counts(root, self.place, texts)
        alone = coverage.read(root, self.place, texts, before.failures, modules)
        if not counts:
            return found
        return replace(alone, shares=coverage.shares(counts, together, len(before.failing), before.ran or 0))

    def texts(self) -> dict[str, str]:
        """The program's text files that may be edited: neither tests nor what decides which tests run."""
        found: dict[str, str] = {}
        for path in sorted(self.checkout.paths):
            if not is_program_file(path) or len(found) >= _MAX_PROGRAM_FILES:
                continue
            try:
                found[path] = self.checkout.text(path)
            except WorkspaceError:  # not text, too large, or a link
                continue
        return found

    def test_text(self, path: str) -> str:
        """The text of a test file; empty where there is none."""
        if path in self.added:
            return self.added[path]
        try:
            return self.checkout.text(path) if path in self.checkout.paths and is_test_file(path) else ""
        except WorkspaceError:
            return ""


def _spread(tests: Sequence[str], count: int) -> list[str]:
    """So many of the tests, evenly spread: neighbours often fail for one reason."""
    if len(tests) <= count:
        return list(tests)
    return [tests[round(at * (len(tests) - 1) / (count - 1))] for at in range(count)]


def _sampled(before: TestReport) -> frozenset[str] | None:
    """The tests that are traced, of a suite that takes long: those that fail, then by turns neighbours and others.

    Passing tests only tell what is innocent, and neighbours of failing ones the most of that.
    """
    if before.seconds <= _TRACED or not before.failing or not before.failing <= before.tests.keys():
        return None
    files = {id.split("::")[0] for id in before.failing}
    passing = sorted(id for id, test in before.tests.items() if test.outcome == "passed" and id not in before.failing)
    random.Random(0).shuffle(passing)
    near = [id for id in passing if id.split("::")[0] in files]
    far = [id for id in passing if id.split("::")[0] not in files]
    chosen, seconds = _spread(sorted(before.failing), _TRACED_FAILING), 0.0
    usual = before.seconds / len(before.tests)
    for id in chain.from_iterable(zip_longest(near, far)):
        if seconds > _TRACED:
            break
        if id is not None:
            chosen.append(id)
            seconds += max(usual, before.tests[id].seconds or 0.0)
    return frozenset(chosen)


def is_repaired(after: TestReport, before: TestReport) -> bool:
    """Whether everything passes and no test has vanished."""
    return after.passed and not _lost_tests(after, before)


def is_better(after: TestReport, before: TestReport) -> bool:
    """Whether some of the failing tests pass now and no other fails."""
    return after.failing < before.failing and after.stopped is None and not _lost_tests(after, before)


def repaired_tests(after: TestReport, before: TestReport) -> frozenset[str]:
    """The tests that failed and pass now; of tests that are not known one by one, those that fail no more."""
    if not after.tests:
        return before.failing - after.failing
    return before.failing & {id for id, test in after.tests.items() if test.outcome == "passed"}


def is_unfinished(after: TestReport, before: TestReport) -> bool:
    """Whether the run was ended while some of the tests that had failed passed, and no other had failed yet."""
    cut = {failure.id for failure in after.failures if failure.kind == "timeout"}
    helped = bool(repaired_tests(after, before)) and after.failing - cut <= before.failing
    return after.stopped == "timeout" and helped


def _lost_tests(after: TestReport, before: TestReport) -> bool:
    return before.ran is not None and (after.ran is None or after.ran < before.ran)


def open_harness(
    checkout: Checkout, test: str | None, *, sandboxed: bool, user: UserEnvironment, timeout: float
) -> Harness:
    """A harness for a copy. `test` is the user's command, `user` the shell whose programs run the tests.

    Raises SandboxError when commands cannot be confined and `sandboxed` is wanted; WorkspaceError when no tests are
    found or their command cannot run.
    """
    given = given_command(test) if test is not None else None
    toolchains = find_toolchains(user, checkout.top, checkout.repository)
    pythons = candidates(toolchains, checkout.repository, checkout.top)
    folder = checkout.tree.parent / "recorder"
    folder.mkdir(exist_ok=True)
    runner = _runner(checkout, toolchains, next(iter(pythons), None), folder, sandboxed=sandboxed)
    if isinstance(runner, Sandbox):
        runner.probe()
    if runner.place != checkout.top:
        checkout.link_borrowed()
    notice = ""
    if given is None:
        found = _detected(checkout, pythons, runner, toolchains.stand_in)
        runner = _runner(checkout, toolchains, found.python or next(iter(pythons), None), folder, sandboxed=sandboxed)
        command, notice = found.command, found.notice
    else:
        command = with_script(given, _reader(checkout))
    place = runner.place / checkout.prefix
    paths = [str(place / "src")] if (checkout.root / "src").is_dir() else []
    if place != checkout.repository:
        paths.append(str(place))  # an editable install would otherwise lead back to the user's own files
    environment = {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
    if "go.mod" in checkout.paths:  # what is compiled once serves all runs
        environment["GOCACHE"] = str(place / BUILT / "go")
    if "Cargo.toml" in checkout.paths:
        environment |= {"RUST_BACKTRACE": "1", "CARGO_TARGET_DIR": str(place / BUILT / "cargo")}
    notes = CallNotes(folder, checkout.root, place)
    outcomes = OutcomeNotes(folder / "outcomes", checkout.root, place)
    return Harness(checkout, runner, place, command, notes, outcomes, environment, timeout, notice=notice)


def _reader(checkout: Checkout) -> Callable[[str], str]:
    """The text of a file, "" where it has none."""

    def read(path: str) -> str:
        try:
            return checkout.text(path)
        except WorkspaceError:
            return ""

    return read


def _detected(checkout: Checkout, pythons: Sequence[Path], runner: Runner, stand_in: Path | None) -> Detected:
    try:
        return detect(checkout.paths, _reader(checkout), pythons, prober(runner), stand_in=stand_in)
    except WorkspaceError as error:
        raise WorkspaceError(f"{checkout.repository}: {error}") from None


def _runner(
    checkout: Checkout, toolchains: Toolchains, python: Path | None, folder: Path, *, sandboxed: bool
) -> Sandbox | Unconfined:
    """Confined, the copy is seen where the user's repository is, if it can be: editable installs expect it there."""
    return open_runner(
        checkout.tree, checkout.top, toolchains, python, sandboxed=sandboxed,
        readable=(folder, *checkout.borrowed_objects), mounts=checkout.mounts(checkout.top),
    )  # fmt: skip
