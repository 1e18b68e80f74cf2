"""Repair a repository: test, find suspects, search for a patch, verify it. Changes nothing of the user's.

Everything happens on a copy that is gone when `fix` returns, also after Ctrl-C. What is returned as verified made the
whole test command succeed, from a clean state, with no fewer tests than before. Applying it is the caller's business.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inhouse.client.types import ChatClient
from inhouse.repair import prompts
from inhouse.repair.budget import Budget, Interview
from inhouse.repair.events import Located, Noted, OnEvent, Prepared, Reproduction, Tested
from inhouse.repair.harness import Harness, check_baseline, open_harness
from inhouse.repair.localise import Evidence, suspects
from inhouse.repair.reproduction.writer import reproduce
from inhouse.repair.search import Case, Search
from inhouse.workspace.checkout import Checkout, Patch
from inhouse.workspace.code import functions
from inhouse.workspace.files import is_test_file
from inhouse.workspace.overview import overview
from inhouse.workspace.testing.calls import Calls
from inhouse.workspace.testing.report import Failure, TestReport
from inhouse.workspace.toolchains import UserEnvironment

Status = Literal["verified", "reproduced", "agreed", "nothing_fails", "no_patch"]

_ADD_A_TEST = "add a test that shows the problem"
_VOTED_ON = 3  # suspects, without any failure to tell them by
_AROUND = 20  # lines above and below one that a failure names
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
    `maps` is where maps are kept.
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


@dataclass(frozen=True)
class RepairResult:
    """How a repair ended.

    `patch` and `diff` are empty unless verified, reproduced or agreed on; `originals` are the bytes that the patch
    replaces. `reproduction` is a test of the model's that shows the problem; where it tells of a patch, that holds it.
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


@dataclass(frozen=True)
class _Task:
    """What the user wrote, and what is said of the repository besides; the same in all questions."""

    problem: str
    overview: str


def repair(
    client: ChatClient,
    repo: Path,
    problem: str,
    test: str | None,
    options: RepairOptions,
    on_event: OnEvent = lambda event: None,
) -> RepairResult:
    """Look for a patch that makes the tests of `repo` pass.

    `problem` says what is wrong, `test` is the command that tells (found when None). Raises WorkspaceError when the
    repository or its tests cannot be used, SandboxError when commands cannot be confined.
    """
    started = time.monotonic()
    deadline = started + 60 * options.minutes
    with Checkout(repo) as checkout:
        harness = open_harness(
            checkout, test, sandboxed=options.sandboxed, user=options.user, timeout=options.test_timeout
        )
        command = str(harness.command)
        on_event(Prepared(len(checkout.paths), command, options.sandboxed))
        if harness.notice:
            on_event(Noted(harness.notice))
        if said := checkout.remarks():
            on_event(Noted(said))
        checkout.put({})
        before = harness.run(harness.command, deadline)
        check_baseline(before, harness.command)
        on_event(Tested(tuple(sorted(before.failing)), before.ran, round(before.seconds, 2)))

        interview = Interview(
            client, Budget(deadline, options.attempts, options.seed, options.tokens), options.parallel
        )
        found: Reproduction | None = None

        def ended(status: Status, reason: str, patch: Patch | None = None, failing: Iterable[str] = ()) -> RepairResult:
            patch = patch or {}
            return RepairResult(
                status, reason, command, patch, checkout.diff(patch), checkout.originals(patch), tuple(sorted(failing)),
                interview.attempts, time.monotonic() - started, found,
            )  # fmt: skip

        if before.passed and not options.voters and not options.drafts:
            return ended("nothing_fails", f"all tests pass, so no patch could be verified; {_ADD_A_TEST}")
        task = _Task(problem, _overview(client, checkout.repository, problem, options, on_event))
        if before.passed and options.drafts:
            shown = reproduce(interview, harness, problem, task.overview, options.drafts, before, on_event)
            if shown is not None:
                harness, before, found = shown
        search, drafted = Search(interview, harness, on_event, options.line_answers), interview.attempts
        if before.passed:
            patch = _agreed(harness, search, task, before, options.voters, on_event) if options.voters else {}
            if patch:
                return ended(
                    "agreed", f"most answers agree on this patch, which no test verifies; {_ADD_A_TEST}", patch
                )
            return ended("nothing_fails", f"{_nothing_shown(drafted, interview.attempts - drafted)}; {_ADD_A_TEST}")
        patch, after = _repair(harness, search, interview, task, before, deadline, on_event)
        if not after.passed:
            return ended("no_patch", _why_not(interview, before, after), None, after.failing)
        if found is not None:
            said = f"with this patch a test passes that the model wrote ({found.path}), and so do all others"
            return ended("reproduced", said, {**patch, **harness.added})
        return ended("verified", "the tests pass with this patch", patch)


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
    deadline: float,
    on_event: OnEvent,
) -> tuple[Patch, TestReport]:
    """The best patch and the outcome with it. Each patch that repairs a part is the base for looking for the rest."""
    patch: Patch = {}
    while not before.passed and not interview.spent():
        texts = {**harness.texts(), **patch}
        evidence = _evidence(harness, task.problem, before, texts, patch, deadline)
        ranked = suspects(evidence)
        on_event(Located(tuple(suspect.label for suspect in ranked)))
        shown = [(failure, _test_source(harness, failure)) for failure in before.failures[:_SHOWN_FAILURES]]
        common = prompts.shared(task.problem, shown, task.overview)
        found = search.run(Case(task.problem, common, texts, patch, before), ranked)
        if found is None:
            break
        patch, before = found.patch, found.outcome
    return patch, before


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
    return Evidence(problem, before.failures, texts, sources, calls)


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
                return function.text(text)
    return _around(harness, failure)


def _around(harness: Harness, failure: Failure) -> str:
    """The lines of a test file that a failure names, where the test cannot be told: of scripts without a runner."""
    for place in failure.places:
        lines = harness.test_text(place.path).split("\n")
        if not place.path.endswith(".py") and place.line <= len(lines):
            first = max(0, place.line - _AROUND) if len(lines) > 2 * _AROUND else 0
            return "\n".join(lines[first : first + 2 * _AROUND]).strip("\n")
    return ""


def _nothing_shown(drafted: int, voted: int) -> str:
    said = f"of {drafted} drafts no two agree on a test that shows the problem" if drafted else "all tests pass"
    return f"{said}, and {voted} answers agree on no patch" if voted else f"{said}, so no patch could be verified"


def _why_not(interview: Interview, before: TestReport, after: TestReport) -> str:
    if interview.attempts == 0:
        return "nothing in the repository could be connected with what fails"
    limit = interview.spent() or "nothing is left to ask"
    part = (
        f"; a part of it was repaired ({len(before.failing) - len(after.failing)} tests)" if after is not before else ""
    )
    return f"{limit} after {interview.attempts} attempts, and no patch made all tests pass{part}"
