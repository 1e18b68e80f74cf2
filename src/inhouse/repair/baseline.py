"""What the tests say before any edit: which failing tests decide about a patch, and which are set apart, and why.

A command that tells nothing of the program ends here, diagnosed, before any model is asked. Knows nothing of suspects
or patches.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from inhouse.errors import BaselineError, ParameterError
from inhouse.repair.events import Diagnosed, OnEvent
from inhouse.repair.harness import Harness
from inhouse.workspace.testing.causes import OwnReason, Repository, own_reason
from inhouse.workspace.testing.diagnosis import Diagnosis, diagnose, tail
from inhouse.workspace.testing.report import Failure, TestReport, without

_QUICK = 2.0  # seconds; a suite that takes no longer runs whole a second time
_AFFORDABLE = 60.0  # seconds; one that takes longer is not run again to tell what fails by its order alone
_USUAL, _LEAST, _HUNG = (
    10,
    5.0,
    10.0,
)  # a test may take so many times as long as it did; seconds at least; of one that hung
_FLAKY = "flaky: two runs of the same program end differently"
_OWN_STEPS = {
    "fixture": "install the plugin that has it into the environment of the tests",
    "dependencies": "install it into the environment of the tests",
    "network": "give a command for the tests that need none with --test",
    "usage": "declare it in pytest's configuration",
    "file": "fetch what is missing, and run again",
    "permission": "allow it, or run with --unconfined",
    "read_only": "have it write below the repository or in $TMPDIR, or allow it with --unconfined",
    "command_not_found": "install it where the sandbox sees it",
}


@dataclass(frozen=True)
class Choice:
    """Which failing tests the user says decide: `only` these (empty: all), none of `ignored`.

    Each is a test's id, a file, a folder, or a part of an id.
    """

    only: Sequence[str] = ()
    ignored: Sequence[str] = ()


@dataclass(frozen=True)
class Baseline:
    """How the tests end before any edit, those set apart left out, and the harness that leaves them out hereafter.

    `named` are the failing tests that the problem's text names: those must pass, whatever others of another cause do.
    """

    harness: Harness
    report: TestReport
    named: frozenset[str]


def measured(harness: Harness, problem: str, choice: Choice, deadline: float, on_event: OnEvent) -> Baseline:
    """Run the tests on the unchanged copy. `deadline` is of time.monotonic.

    Raises BaselineError where that tells nothing of the program, ParameterError where `choice` names no failing test.
    """
    checkout = harness.checkout
    harness.put({})
    allowed = max(1.0, min(harness.timeout, deadline - time.monotonic()))
    first = harness.run(harness.command, deadline)
    folders = frozenset(path.name for path in checkout.repository.iterdir() if path.is_dir())
    repository = Repository(checkout.paths, checkout.text, harness.place, checkout.root, problem, folders)
    if (found := diagnose(first, harness.command, repository, allowed)) is not None:
        _refuse(found, on_event)
    reasons = {f.id: reason for f in first.failures if (reason := own_reason(f, repository)) is not None}
    apart = {id: reason.text for id, reason in reasons.items()}
    apart |= _unnamed(first)
    harness = replace(harness, limits=_limits(first))
    apart |= _flaky(harness, first, apart.keys(), deadline)
    apart |= _chosen(first, choice, apart.keys())
    report = without(first, apart)
    nothing_passed = not any(test.outcome == "passed" for test in first.tests.values())
    if report.passed and reasons and nothing_passed:
        _refuse(_of_own(first, reasons, harness), on_event)
    ordered = sorted(report.failures, key=lambda failure: -_explained(failure, problem))
    named = frozenset(failure.id for failure in ordered if _named(failure, problem))
    return Baseline(replace(harness, apart=apart), replace(report, failures=tuple(ordered)), named)


def _refuse(found: Diagnosis, on_event: OnEvent) -> None:
    on_event(Diagnosed(found.kind, found.reason, found.evidence, found.next_step))
    raise BaselineError(found.kind, found.reason, found.next_step)


def _of_own(first: TestReport, reasons: dict[str, OwnReason], harness: Harness) -> Diagnosis:
    """No test tells anything: all fail for reasons of their own. The first one's is told."""
    id, reason = next(iter(reasons.items()))
    more = f", and {len(reasons) - 1} more fail like that" if len(reasons) > 1 else ""
    said = f"no test of `{harness.command}` can tell whether a patch is right: {id} {reason.text}{more}"
    return Diagnosis(reason.kind, said, tail(first.output), _OWN_STEPS[reason.kind])


def _unnamed(first: TestReport) -> dict[str, str]:
    """A command that fails though all of its tests pass, such as by a share of lines that they must cover."""
    passed = [test for test in first.tests.values() if test.outcome == "passed"]
    if not passed or any(test.outcome == "failed" for test in first.tests.values()) or first.stopped:
        return {}
    if not any(failure.id == "" for failure in first.failures):
        return {}
    said = next(reversed(tail(first.output, 1)), "")
    return {"": f"the command ends with exit code {first.exit_code}, though all of its tests pass: {said}"}


def _limits(first: TestReport) -> dict[str, float]:
    """Seconds for each test, by what it took; one that hung gets less than the first time."""
    hung = {failure.id for failure in first.failures if failure.kind == "timeout"}
    known = dict.fromkeys(hung, _HUNG)
    for id, test in first.tests.items():
        if id not in hung and test.seconds is not None:
            known[id] = max(_LEAST, _USUAL * test.seconds)
    return known


def _flaky(harness: Harness, first: TestReport, apart: Iterable[str], deadline: float) -> dict[str, str]:
    """The tests that end otherwise when they are run again on the same program."""
    if not first.tests and first.failing - {""} and first.seconds <= _QUICK:  # of a runner that is not recorded
        harness.put({})
        again = harness.run(harness.command, deadline)
        return dict.fromkeys(first.failing - frozenset(apart) - again.failing, _FLAKY)
    known = {id for id in first.failing - frozenset(apart) if id in first.tests}
    dead = {failure.id for failure in first.failures if failure.kind in ("timeout", "crash", "collection")}
    failing = known - dead
    if not failing or time.monotonic() + 3 * first.seconds > deadline:
        return {}
    harness.put({})
    if first.seconds > _QUICK:
        again = harness.run(harness.command, deadline, only=failing, before=first)
    else:
        again = harness.run(harness.command, deadline, only=first.tests.keys() - dead)
    differs = {id for id in failing if id in again.tests and again.tests[id].outcome == "passed"}
    if differs and first.seconds > _QUICK:
        # Alone they pass: by luck, or because what others leave behind makes them fail, which is a fault to repair.
        if first.seconds > _AFFORDABLE:
            return {}
        harness.put({})
        again = harness.run(harness.command, deadline, only=first.tests.keys() - dead)
        differs = {id for id in differs if id in again.tests and again.tests[id].outcome == "passed"}
    differs |= {id for id, test in first.tests.items() if test.outcome == "passed" and id in again.failing}
    return dict.fromkeys(differs, _FLAKY)


def _chosen(first: TestReport, choice: Choice, apart: Iterable[str]) -> dict[str, str]:
    found = {id: "ignored, as you said" for id in {*first.tests, *first.failing} if _matches(id, choice.ignored)}
    if not choice.only or not first.failures:
        return found
    rest = first.failing - frozenset(apart) - found.keys()
    if not any(_matches(id, choice.only) for id in rest):
        failing = ", ".join(sorted(filter(None, first.failing))[:5]) or "none by name"
        raise ParameterError(f"--only {' '.join(choice.only)}: no such test fails; those that do: {failing}")
    return found | {id: "not among those that you named" for id in rest if not _matches(id, choice.only)}


def _matches(id: str, patterns: Sequence[str]) -> bool:
    return bool(id) and any(pattern and pattern.removeprefix("./").rstrip("/") in id for pattern in patterns)


def _named(failure: Failure, problem: str) -> bool:
    """Whether a problem names a failing test, by its id, its function or its file."""
    file = failure.id.split("::")[0]
    if not failure.id:
        return False
    names = [failure.id, failure.name if failure.name.startswith("test") and failure.name != "test" else ""]
    if file.endswith(".py"):
        names += [file, PurePosixPath(file).name]
    return any(re.search(rf"(?<![\w/]){re.escape(name)}(?![\w\[])", problem) for name in names if name)


def _explained(failure: Failure, problem: str) -> float:
    """How much of a failure the problem's text speaks of: its test, its exception, the values that it shows."""
    values = set(re.findall(r"'[^'\n]{2,}'|\"[^\"\n]{2,}\"|-?\d+(?:\.\d+)?|\[[^\]\n]+\]", problem))
    shared = sum(value in failure.message for value in values)
    exception = bool(failure.exception) and failure.exception in problem
    return 10.0 * _named(failure, problem) + 3.0 * exception + min(shared, 5)
