"""Measure the agent against its own model alone: the same bugs, once as a single question and once with our agent.

The baseline is one greedy answer to a question that holds the issue and the right file. The agent gets the repository
and the issue. Either is judged by the repository's own tests, as they were, run confined on its file as it was left.
Knows a chat client; nothing of engines or terminals. Results are kept as they come (`records`).
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inhouse.client.types import ChatClient, ChatRequest, Sampling, complete
from inhouse.evals.bugs import PACKAGE, Bug, make_bugs, write_files
from inhouse.evals.humaneval import Problem
from inhouse.evals.records import Records
from inhouse.evals.symptoms import examiner
from inhouse.repair import RepairOptions, RepairResult, patching, repair
from inhouse.repair.events import Event, Tried
from inhouse.repair.prompts import plain
from inhouse.repair.strategy import PLAIN_TOKENS
from inhouse.workspace import Limits, Sandbox, python_paths
from inhouse.workspace.edits import EditError
from inhouse.workspace.git import git
from inhouse.workspace.toolchains import UserEnvironment

_LIMITS = Limits(memory=2 << 30, processes=64, file_size=16 << 20, scratch=64 << 20, output=64 << 10)
_TEST_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """What is measured. `seed` draws the bugs; `minutes` and `attempts` limit the agent, for each bug."""

    bugs: int = 40
    seed: int = 0
    minutes: float = 2.0
    attempts: int = 60


@dataclass(frozen=True)
class Result:
    """How one bug fared. Tokens: read are those of prompts that were computed; cached ones are not counted."""

    name: str
    repaired: bool
    note: str  # how it ended, in words
    turns: int
    read: int
    written: int
    seconds: float
    answer: str = ""  # the baseline's words, or the agent's patch
    tried: tuple[Mapping[str, Any], ...] = ()  # the agent's turns


Progress = Callable[[str, int, int], None]


def collect_bugs(problems: Sequence[Problem], plan: Plan, kept: Path, progress: Progress) -> list[Bug]:
    """The plan's bugs, from the file or made and put there. Each repository is run both ways by its own tests."""
    records = Records(kept, {"benchmark": "agent", "bugs": plan.bugs, "seed": plan.seed})
    if "bugs" not in records:
        bugs: list[Bug] = []
        for bug in make_bugs(problems, plan.bugs, plan.seed, examiner()):
            if passes(bug, {}) or not passes(bug, {bug.path: bug.right}):
                raise AssertionError(f"{bug.name}: its tests do not tell the right program from the wrong one")
            bugs.append(bug)
            progress("bugs", len(bugs), plan.bugs)
        records.add("bugs", {"all": [asdict(bug) for bug in bugs]})
    return [Bug(**fields) for fields in records["bugs"]["all"]]


def passes(bug: Bug, patch: Mapping[str, str]) -> bool:
    """Whether a bug's own tests all pass with a patch of its program; of other files, a patch counts for none."""
    with tempfile.TemporaryDirectory(prefix="inhouse-bugs-") as name:
        root = Path(name).resolve()
        bug.write(root)
        write_files(root, {path: text for path, text in patch.items() if path.startswith(f"{PACKAGE}/")})
        sandbox = Sandbox(root, readable=python_paths(Path(sys.executable)), limits=_LIMITS, disposable=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = sandbox.run(command, timeout=_TEST_SECONDS)
        wanted = sum(text.count("\ndef test_") for text in bug.tests.values())
        # A program that ends the process, or skips tests, has passed nothing: the count tells.
        return done.ok and f"{wanted} passed" in done.output and "skipped" not in done.output


def measure(
    bugs: Sequence[Bug],
    solve: Callable[[Bug], Result],
    kept: Path,
    settings: Mapping[str, Any],
    progress: Callable[[Result, int, int], None],
    stop: Callable[[], bool] = lambda: False,
) -> list[Result]:
    """Every bug's result that `kept` has or `solve` gives; fewer when `stop` says so between two bugs.

    Raises ParameterError when the file was begun with other settings.
    """
    records = Records(kept, settings)
    results: list[Result] = []
    for bug in bugs:
        if bug.name not in records:
            if stop():
                break
            records.add(bug.name, asdict(solve(bug)))
        results.append(Result(**records[bug.name]))
        progress(results[-1], len(results), len(bugs))
    return results


def alone(client: ChatClient, bug: Bug) -> Result:
    """The baseline: one greedy answer, given the right file; asked as our agent asks where it shows no test."""
    started = time.monotonic()
    text = bug.files[bug.path]
    request = ChatRequest(plain(bug.issue, bug.path, text), sampling=Sampling(max_tokens=PLAIN_TOKENS))
    answer = complete(client, request)
    seconds = time.monotonic() - started
    said, usage = answer.message.content, answer.usage
    try:
        new = patching.rewritten_file(bug.path, text, said)
        repaired = passes(bug, {bug.path: new})
        note = "repaired" if repaired else "unchanged" if new == text else "tests fail"
    except EditError as error:
        repaired, note = False, str(error).splitlines()[0]
    return Result(
        bug.name, repaired, note, 1, usage.prompt_tokens - usage.cached_tokens, usage.completion_tokens,
        round(seconds, 2), said,
    )  # fmt: skip


def with_agent(client: ChatClient, bug: Bug, plan: Plan, seed: int) -> Result:
    """Our agent on the bug's repository."""
    tried: list[Tried] = []

    def note(event: Event) -> None:
        if isinstance(event, Tried):
            tried.append(event)

    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="inhouse-bugs-") as name:
        root = Path(name).resolve() / "repository"
        bug.write(root)
        git(root, "init", "--quiet")
        git(root, "add", "--all")
        user = UserEnvironment(pythons=(Path(sys.executable),))
        options = RepairOptions(plan.minutes, plan.attempts, seed=seed, line_answers=6, parallel=3, user=user)
        result = repair(client, root, bug.issue, None, options, note)
    seconds = time.monotonic() - started
    return Result(
        bug.name, *_judged(bug, result), len(tried),
        sum(event.prompt_tokens - event.cached_tokens for event in tried),
        sum(event.answer_tokens for event in tried),
        round(seconds, 2), result.diff, tuple(asdict(event) for event in tried),
    )  # fmt: skip


def _judged(bug: Bug, result: RepairResult) -> tuple[bool, str]:
    """Whether the bug is repaired by the tests as they were, and the agent's own word."""
    touched = [path for path in result.patch if path in bug.tests]
    if touched:
        return False, f"edited the tests: {', '.join(touched)}"
    repaired = result.status == "verified" and passes(bug, result.patch)
    return repaired, result.status if repaired == (result.status == "verified") else f"{result.status}, tests fail"
