"""Runs a test command with the recorder in the tests: a test that hangs or kills its process is a failure like others.

Where the process of the tests dies, the rest is run again without those that ended and the one that died. Where the
recorder cannot work, what the runner prints has to do. Knows nothing of patches.
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path

from inhouse.workspace import CommandResult, Runner
from inhouse.workspace.testing.command import TestCommand
from inhouse.workspace.testing.outcomes import Ended, OutcomeNotes, Outcomes, Selection
from inhouse.workspace.testing.recorded import died, failures_of
from inhouse.workspace.testing.report import TestReport, read_report

_MAX_DEATHS = 5  # of the tests' process, in one run
ALL = Selection()
_OURS = ("inhouse_pytest_recorder", "inhouse_outcome_recorder")


def run_tests(
    runner: Runner,
    command: TestCommand,
    notes: OutcomeNotes,
    *,
    timeout: float,
    environment: Mapping[str, str],
    known: Container[str],
    modules: Mapping[str, str],
    place: Path,
    cwd: Path | None = None,
    selection: Selection = ALL,
) -> TestReport:
    """Run a command. `timeout` is seconds for all, `known` the repository's files, `modules` its Go modules.

    `place` is where the command sees the repository, `cwd` where in the workspace it runs.
    """
    deadline = time.monotonic() + timeout
    tests: dict[str, Ended] = {}
    spent, partial = 0.0, selection.only is not None
    for _ in range(_MAX_DEATHS):
        left = max(1.0, deadline - time.monotonic())
        result = runner.run(command.argv, timeout=left, environment=notes.prepare(selection, environment), cwd=cwd)
        outcomes = notes.read()
        spent += result.duration
        if outcomes is None and any(name in result.output for name in _OURS):
            result = runner.run(command.argv, timeout=left, environment=environment, cwd=cwd)
        if outcomes is None:
            break
        tests |= outcomes.tests
        if not outcomes.unended:
            break
        hung = result.timed_out or (result.stopped is None and not outcomes.fault and bool(outcomes.stack))
        tests |= died(outcomes, _cause(result, hung=hung), hung=hung)
        if result.timed_out or time.monotonic() >= deadline:
            break
        selection = replace(selection, skipped=selection.skipped | tests.keys())
    report = read_report(result, command.kind, place, known, modules)
    if not tests:
        return report
    return _told(report, result, outcomes, tests, spent, known, place, partial=partial)


def _told(
    report: TestReport, result: CommandResult, outcomes: Outcomes | None, tests: Mapping[str, Ended], seconds: float,
    known: Container[str], place: Path, *, partial: bool,
) -> TestReport:  # fmt: skip
    """The report of the last run with what was recorded in all of them."""
    failures = failures_of(tests, known, str(place))
    ran = sum(test.outcome != "skipped" for test in tests.values())
    stopped = result.stopped if result.timed_out or outcomes is None or not outcomes.unended else None
    # Of a part of the tests, what is said of the whole (the share of lines that they cover) cannot be true.
    passed = not failures and stopped is None and (result.ok or (partial and ran > 0))
    if not failures and not passed:
        failures = report.failures
    return replace(
        report, passed=passed, failures=failures, ran=ran, seconds=seconds, stopped=stopped, tests=tests
    )  # fmt: skip


def _cause(result: CommandResult, *, hung: bool) -> str:
    if hung:
        return "the test was still running when its time was over"
    if result.stopped == "memory":
        return "the tests' process was ended in this test: it used more memory than it may"
    if result.stopped is not None:
        return f"the tests' process was ended in this test: limit of {result.stopped}"
    signal = f", exit code {result.exit_code}"
    return f"the tests' process died in this test{signal}"
