"""Runs a repository's tests on its copy, with or without a patch, and records what they call. Asks no model.

`Harness` is the one object that holds the copy, the sandbox and the command; it decides whether a patch is as good
as it looks: as many tests must run as before, so that a patch which makes tests vanish never passes for a repair.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from inhouse.workspace.testing.report import TestReport, renumbered, without
from inhouse.workspace.testing.run import run_tests
from inhouse.workspace.testing.runners import go_modules
from inhouse.workspace.toolchains import Toolchains, UserEnvironment, find_toolchains

QUICK = 1.0  # seconds; a suite that takes longer is tried on failing tests first
_TRIED_FIRST = 4  # failing tests
_TRACED = 40.0  # seconds; of a suite that takes longer the failing tests alone are traced
_SLOWEST_CANDIDATE = 5  # times as long as the unchanged program took: more is a loop without end
_MAX_PROGRAM_FILES = 2000
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
    ) -> TestReport:
        """Run the tests on the copy as it is now. `deadline` is of time.monotonic.

        `only` these of them are run, whatever the command, where they are pytest's or unittest's.
        """
        seconds = max(1.0, min(self.timeout, deadline - time.monotonic()))
        environment = {**self.environment, **(extra or {})}
        paths = self.checkout.paths | self.added.keys()
        modules = go_modules(self.checkout.root, paths) if command.kind == "other" else {}
        selection = Selection(None if only is None else frozenset(only), limits=self.limits)
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
        """The outcome with a patch on the user's files. Of a slow suite some tests that failed run first, alone."""
        self.put(patch)
        quicker = replace(self, timeout=min(self.timeout, max(10.0, _SLOWEST_CANDIDATE * before.seconds)))
        chosen = _spread(sorted(before.failing), _TRIED_FIRST)
        if before.seconds > QUICK and "" not in chosen and (first := quicker._alone(chosen, deadline)) is not None:
            if not first.passed and not first.failing < frozenset(chosen):
                return first
            self.put(patch)
        return quicker._settled(patch, quicker.run(self.command, deadline), before, deadline)

    def _alone(self, tests: Sequence[str], deadline: float) -> TestReport | None:
        """The outcome of these tests; None where they cannot be asked for."""
        if (some := self.command.only(tests)) is not None:
            return self.run(some, deadline)
        return None if self.command.kind == "other" else self.run(self.command, deadline, only=tests)

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
        command = self.command
        if before.seconds > _TRACED:  # passing tests only tell what is innocent; that may cost too much
            command = self.command.only(sorted(before.failing)) or command
        self.run(command, deadline, variables)
        calls, modules = self.notes.read(), go_modules(root, self.checkout.paths)
        return (
            calls
            if calls.covered
            else coverage.read(root, self.place, {**self.texts(), **patch}, before.failures, modules)
        )

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


def is_repaired(after: TestReport, before: TestReport) -> bool:
    """Whether everything passes and no test has vanished."""
    return after.passed and not _lost_tests(after, before)


def is_better(after: TestReport, before: TestReport) -> bool:
    """Whether some of the failing tests pass now and no other fails."""
    return after.failing < before.failing and after.stopped is None and not _lost_tests(after, before)


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
