"""Repair a repository: test, find suspects, search for a patch, verify it. Changes nothing of the user's.

Everything happens on a copy that is gone when `fix` returns, also after Ctrl-C. What is returned as verified made the
whole test command succeed, from a clean state, with no fewer tests than before. Applying it is the caller's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inhouse.client.types import ChatClient
from inhouse.repair import prompts
from inhouse.repair.baseline import Baseline, Choice, measured
from inhouse.repair.budget import Budget, Interview
from inhouse.repair.events import Located, Noted, OnEvent, Prepared, Reproduction, Tested
from inhouse.repair.harness import Harness, is_unfinished, open_harness, repaired_tests
from inhouse.repair.localise import Evidence, Suspect, suspects
from inhouse.repair.reproduction.writer import reproduce
from inhouse.repair.search import Case, Search
from inhouse.workspace.checkout import Checkout, Patch
from inhouse.workspace.code import functions
from inhouse.workspace.code.imports import imported_files
from inhouse.workspace.files import is_test_file
from inhouse.workspace.overview import overview
from inhouse.workspace.testing.calls import Calls
from inhouse.workspace.testing.report import Failure, TestReport, without
from inhouse.workspace.toolchains import UserEnvironment

Status = Literal["verified", "partial", "reproduced", "agreed", "nothing_fails", "no_patch"]

_ADD_A_TEST = "add a test that shows the problem"
_VOTED_ON = 3  # suspects, without any failure to tell them by
_AROUND = 20  # lines above and below one that a failure names
_NAMED = 3  # tests in a sentence
_LINES_TOLD = 5  # of each suspect, to who watches
_SHOWN_FAILURES = 2  # to the model; more would only make its prompt long


@dataclass(frozen=True)
class RepairOptions:
    """`minutes` for all, `attempts` and computed `tokens` at most, `test_timeout` seconds.

    `user` is the shell whose programs run the tests.

    Where no test fails, the model is asked for `drafts` of one that shows the problem (0: never); where no two of them
    agree, or with 0, `voters` answers decide, unverified: more than half must agree (0: never).
    A question about single lines gets `line_answers` (0: whole functions alone are asked for), of which `parallel` are
    asked for at a time.
    `map_tokens` are for the map of a repository that is not small (0: no map), or tell them once there is a model;
    `maps` is where maps are kept. `choice` says which failing tests decide.
    """

    minutes: float = 10.0
    attempts: int = 60
    seed: int = 0
    tokens: int | None = None
    voters: int = 0
    drafts: int = 0
    line_answers: int = 0
    parallel: int = 1
    sandboxed: bool = True
    test_timeout: float = 300.0
    user: UserEnvironment = field(default_factory=UserEnvironment)
    map_tokens: int | Callable[[], int] = 0
    maps: Path | None = None
    choice: Choice = field(default_factory=Choice)


@dataclass(frozen=True)
class RepairResult:
    """How a repair ended.

    `patch` and `diff` are empty unless verified, partial, reproduced or agreed on; `originals` are the bytes that the
    patch replaces. `reproduction` is a test of the model's that shows the problem; where it tells of a patch, that
    holds it. "partial": of the tests that decide, the patch repairs `repaired` and breaks none, and `failing` still
    fail, as `reasons` say in their order. `apart` fail too, for the reason given, and do not decide.
    """

    status: Status
    reason: str
    command: str
    patch: Patch = field(default_factory=dict)
    diff: str = ""
    originals: Mapping[str, bytes | None] = field(default_factory=dict)
    failing: tuple[str, ...] = ()
    attempts: int = 0
    seconds: float = 0.0
    reproduction: Reproduction | None = None
    repaired: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    apart: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Task:
    """What the user wrote, and what is said of the repository besides; the same in all questions."""

    problem: str
    overview: str


@dataclass(frozen=True)
class _Work:
    """A repository's copy whose tests have run once: all that can be done before a model is needed."""

    checkout: Checkout
    baseline: Baseline
    problem: str
    options: RepairOptions
    on_event: OnEvent
    started: float  # of time.monotonic

    def run(self, client: ChatClient) -> RepairResult:
        """Look for a patch."""
        options, harness, before = self.options, self.baseline.harness, self.baseline.report
        budget = Budget(
            self.started + 60 * options.minutes, options.attempts, options.seed, options.tokens
        )  # fmt: skip
        if before.passed and not options.voters and not options.drafts:
            said = f"{_all_pass(before)}, so no patch could be verified; {_ADD_A_TEST}"
            return self._ended("nothing_fails", said, before, 0)
        interview = Interview(client, budget, options.parallel)
        drawn = _overview(client, self.checkout.repository, self.problem, options, self.on_event)
        task = _Task(self.problem, drawn)
        found: Reproduction | None = None
        if before.passed and options.drafts:
            shown = reproduce(interview, harness, self.problem, task.overview, options.drafts, before, self.on_event)
            if shown is not None:
                harness, before, found = shown
        search, drafted = Search(interview, harness, self.on_event, options.line_answers), interview.attempts
        if before.passed:
            patch = _agreed(harness, search, task, before, options.voters, self.on_event) if options.voters else {}
            if patch:
                said = f"most answers agree on this patch, which no test verifies; {_ADD_A_TEST}"
                return self._ended("agreed", said, before, interview.attempts, patch)
            said = f"{_nothing_shown(before, drafted, interview.attempts - drafted)}; {_ADD_A_TEST}"
            return self._ended("nothing_fails", said, before, interview.attempts)
        patch, after = _repair(
            harness, search, interview, task, before, self.baseline.named, budget.deadline, self.on_event
        )  # fmt: skip
        return self._judged(patch, before, after, interview, harness, found)

    def _judged(
        self, patch: Patch, before: TestReport, after: TestReport, interview: Interview, harness: Harness,
        found: Reproduction | None,
    ) -> RepairResult:  # fmt: skip
        """What the best patch is worth, by the tests that decide."""
        made = interview.attempts
        if not after.passed and patch:
            repaired = repaired_tests(after, before)
            said = f"this patch repairs {_tests(len(repaired))} of {len(before.failing)} and breaks none"
            if is_unfinished(after, before):
                said += " of those that were run before time was up: run all tests, or give more --minutes"
            else:
                said += f"; {_listed({failure.id: failure.reason for failure in after.failures})} still fail"
            return self._ended("partial", said, after, made, patch, repaired, found)
        if not after.passed:
            return self._ended("no_patch", _why_not(interview), after, made, found=found)
        others = f"; {_listed(after.apart)} still fail, as before" if after.apart else ""
        if found is not None:
            whose = "that the model wrote" if found.source == "model" else "of what the report states"
            said = f"with this patch a test passes {whose} ({found.path}), and so do all others{others}"
            return self._ended("reproduced", said, after, made, {**patch, **harness.added}, before.failing, found)
        said = "the tests pass with this patch" if not others else f"the tests that decide pass with this patch{others}"
        return self._ended("verified", said, after, made, patch, before.failing)

    def _ended(
        self, status: Status, reason: str, after: TestReport, attempts: int, patch: Patch | None = None,
        repaired: Iterable[str] = (), found: Reproduction | None = None,
    ) -> RepairResult:  # fmt: skip
        patch = patch or {}
        failing = sorted(after.failures, key=lambda failure: failure.id)
        return RepairResult(
            status, reason, str(self.baseline.harness.command), patch, self.checkout.diff(patch),
            self.checkout.originals(patch), tuple(failure.id for failure in failing), attempts,
            time.monotonic() - self.started, found, tuple(sorted(repaired)),
            tuple(failure.reason for failure in failing), after.apart,
        )  # fmt: skip


@contextmanager
def _opened(
    repo: Path, problem: str, test: str | None, options: RepairOptions, on_event: OnEvent = lambda event: None
) -> Iterator[_Work]:
    """The repository's copy, its tests run once, while this lasts."""
    started = time.monotonic()
    with Checkout(repo) as checkout:
        harness = open_harness(
            checkout, test, sandboxed=options.sandboxed, user=options.user, timeout=options.test_timeout
        )
        on_event(Prepared(len(checkout.paths), str(harness.command), options.sandboxed))
        if harness.notice:
            on_event(Noted(harness.notice))
        if said := checkout.remarks():
            on_event(Noted(said))
        baseline = measured(harness, problem, options.choice, started + 60 * options.minutes, on_event)
        report = baseline.report
        failing = sorted(report.failures, key=lambda failure: failure.id)
        on_event(
            Tested(
                tuple(failure.id for failure in failing), report.ran, round(report.seconds, 2),
                tuple(failure.reason for failure in failing), report.apart,
            )
        )  # fmt: skip
        yield _Work(checkout, baseline, problem, options, on_event, started)


def repair(
    client: ChatClient,
    repo: Path,
    problem: str,
    test: str | None,
    options: RepairOptions,
    on_event: OnEvent = lambda event: None,
) -> RepairResult:
    """Look for a patch that makes the tests of `repo` pass. Asks `client` nothing before the tests have run.

    `problem` says what is wrong, `test` is the command that tells (found when None). Raises WorkspaceError when the
    repository cannot be used, BaselineError when its tests tell nothing, SandboxError when commands cannot be confined.
    """
    with _opened(repo, problem, test, options, on_event) as work:
        return work.run(client)


def _overview(client: ChatClient, repo: Path, problem: str, options: RepairOptions, on_event: OnEvent) -> str:
    """The map of the repository; "" where there is none, or it cannot be drawn."""
    tokens = options.map_tokens if isinstance(options.map_tokens, int) else options.map_tokens()
    if tokens <= 0:
        return ""
    try:
        return overview(repo, problem, tokens, client.count_tokens, options.maps)
    except Exception as error:  # of a disk, a parser, a process that was killed: nothing that a repair needs
        on_event(Noted(f"there is no map of the repository: {error}"))
        return ""


def _repair(
    harness: Harness,
    search: Search,
    interview: Interview,
    task: _Task,
    before: TestReport,
    named: frozenset[str],
    deadline: float,
    on_event: OnEvent,
) -> tuple[Patch, TestReport]:
    """The best patch and the outcome with it. Each patch that repairs a part is the base for looking for the rest."""
    patch: Patch = {}
    while not before.passed and not interview.spent():
        texts = {**harness.texts(), **patch}
        evidence = _evidence(harness, task.problem, before, texts, patch, deadline)
        ranked = suspects(evidence)
        on_event(Located(tuple(suspect.label for suspect in ranked), _likeliest(ranked)))
        shown = [(failure, _test_source(harness, failure)) for failure in before.failures[:_SHOWN_FAILURES]]
        common = prompts.shared(task.problem, shown, task.overview)
        found = search.run(Case(task.problem, common, texts, patch, before), ranked)
        if found is None:
            break
        patch, before = found.patch, found.outcome
        if named and not named & before.failing and before.stopped is None:
            before = without(before, _of_another_cause(before, evidence.calls, texts, patch))
    return patch, before


def _likeliest(ranked: Sequence[Suspect]) -> tuple[str, ...]:
    """The first lines of each suspect that failing tests ran."""
    return tuple(f"{suspect.path}:{line}" for suspect in ranked for line in suspect.lines[:_LINES_TOLD])


def _of_another_cause(after: TestReport, calls: Calls, texts: Mapping[str, str], patch: Patch) -> dict[str, str]:
    """The tests still failing that run nothing of what a patch changed, once those that the problem names pass.

    `calls` and `texts` are of the program before the patch. Empty where one of them cannot be told: then it counts.
    """
    changed = set()
    for path, text in patch.items():
        new = {function.name: function.text(text) for function in functions.functions(path, text)}
        for function in functions.functions(path, texts[path]):
            if new.get(function.name) != function.text(texts[path]):
                changed.add((path, function.first))
    found = {}
    for failure in after.failures:
        ran = calls.covered.get(f"{failure.id.split('::')[0]}::{failure.name}")
        if not changed or ran is None or ran & changed:
            return {}
        found[failure.id] = f"not among the tests that the problem names: {failure.reason}"
    return found


def _agreed(harness: Harness, search: Search, task: _Task, before: TestReport, voters: int, on_event: OnEvent) -> Patch:
    """What most answers make of the likeliest place that they agree on; empty where there is none."""
    texts = harness.texts()
    ranked = suspects(Evidence(task.problem, (), texts, (), Calls()))[:_VOTED_ON]
    on_event(Located(tuple(suspect.label for suspect in ranked)))
    case = Case(task.problem, prompts.shared(task.problem, (), task.overview), texts, {}, before)
    for suspect in ranked:
        found = search.vote(case, suspect, voters)
        if found is not None:
            return found.patch
    return {}


def _evidence(
    harness: Harness, problem: str, before: TestReport, texts: Mapping[str, str], patch: Patch, deadline: float
) -> Evidence:
    names = [failure.name for failure in before.failures if failure.name]
    recorded = any(path.endswith((".py", ".js", ".cjs", ".mjs", ".go")) for path in texts)
    calls = harness.record(names, before, deadline, patch) if recorded else Calls()
    sources = [text for failure in before.failures if (text := _test_source(harness, failure))]
    files = {place.path for failure in before.failures for place in failure.places}
    imported = [imported_files(path, harness.test_text(path), texts) for path in sorted(files)]
    return Evidence(problem, before.failures, texts, sources, calls, frozenset().union(*imported))


def _test_source(harness: Harness, failure: Failure) -> str:
    """The source of the failing test alone; empty where it cannot be found."""
    named = failure.id.split("::")[0]
    files = [named, *(place.path for place in failure.places)]
    files += [
        path for path in sorted(harness.checkout.paths) if path.removesuffix(".py").replace("/", ".") in failure.id
    ]
    if failure.name and not failure.name.isidentifier():  # the title of a test, which the output may not place
        files += [path for path in sorted(harness.checkout.paths) if is_test_file(path) and not path.endswith(".py")]
    for path in dict.fromkeys(files):
        text = harness.test_text(path)
        for function in functions.test_functions(path, text):
            if failure.name and failure.name in (function.short_name, function.name):
                line = next((place.line for place in reversed(failure.places) if place.path == path), None)
                inside = line is not None and function.first <= line <= function.last
                return prompts.excerpt(function.text(text), line - function.first + 1 if line and inside else None)
    return _around(harness, failure)


def _around(harness: Harness, failure: Failure) -> str:
    """The lines of a test file that a failure names, where the test cannot be told: of scripts without a runner."""
    for place in failure.places:
        lines = harness.test_text(place.path).split("\n")
        if not place.path.endswith(".py") and place.line <= len(lines):
            first = max(0, place.line - _AROUND) if len(lines) > 2 * _AROUND else 0
            return "\n".join(lines[first : first + 2 * _AROUND]).strip("\n")
    return ""


def _nothing_shown(before: TestReport, drafted: int, voted: int) -> str:
    said = f"of {drafted} drafts no two agree on a test that shows the problem" if drafted else _all_pass(before)
    return f"{said}, and {voted} answers agree on no patch" if voted else f"{said}, so no patch could be verified"


def _all_pass(before: TestReport) -> str:
    return (
        f"all tests pass but those that do not decide ({_listed(before.apart)})" if before.apart else "all tests pass"
    )


def _why_not(interview: Interview) -> str:
    if interview.attempts == 0:
        return "nothing in the repository could be connected with what fails"
    limit = interview.spent() or ("time is up" if interview.hurried else "nothing is left to ask")
    return f"{limit} after {interview.attempts} attempts, and no patch made all tests pass"


def _listed(tests: Mapping[str, str]) -> str:
    """Tests and why they fail, the first few of them."""
    named = [f"{id or 'the command'} ({why})" for id, why in sorted(tests.items())[:_NAMED]]
    more = len(tests) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _tests(count: int) -> str:
    return f"{count} test" if count == 1 else f"{count} tests"
