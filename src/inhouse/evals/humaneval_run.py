"""Measure pass@1 on HumanEval: ask, run the tests of each answer confined, keep every result, report.

Knows neither engines nor terminals: a `Solver` answers, a `Runner` in a fresh directory runs, a callback hears of the
progress.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from inhouse.evals.humaneval import Problem, Solver
from inhouse.evals.records import Records
from inhouse.workspace import CommandResult, Limits, Runner, Sandbox, python_paths

TestReport = Literal["passed", "failed", "timeout"]

_MARK = "all checks passed"
_LIMITS = Limits(memory=1 << 30, processes=32, file_size=16 << 20, scratch=64 << 20, output=4 << 10)


@dataclass(frozen=True)
class Verdict:
    """How one answer fared. `output` is the end of what its tests printed; times are seconds."""

    task_id: str
    outcome: TestReport
    answer: str
    output: str
    finish: str
    tokens: int
    answer_seconds: float
    check_seconds: float

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"


@dataclass(frozen=True)
class Progress:
    """A problem is done: the `done`-th of `total`; `resumed` if its verdict was there from an earlier run."""

    done: int
    total: int
    passed: int
    verdict: Verdict
    resumed: bool


@dataclass(frozen=True)
class Report:
    """The measurement. `settings` say what was measured and how; times are seconds over all problems."""

    settings: Mapping[str, Any]
    problems: int
    passed: int
    failed: tuple[str, ...]
    timed_out: tuple[str, ...]
    cut_off: tuple[str, ...]  # answers that reached the limit of tokens
    tokens: int
    answer_seconds: float

    @property
    def pass_at_1(self) -> float:
        return self.passed / self.problems if self.problems else 0.0

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON's types."""
        return {**asdict(self), "pass_at_1": self.pass_at_1}


def run(
    solve: Solver,
    problems: Sequence[Problem],
    *,
    results: Path,
    settings: Mapping[str, Any],
    timeout: float = 10.0,
    progress: Callable[[Progress], None] = lambda _: None,
    confine: Callable[[Path], Runner] | None = None,
) -> Report:
    """Solve and check every problem that `results` does not hold yet; report on all.

    `settings` (model, mode, sampling ...) must be what the file was begun with, else ParameterError. `timeout` is
    seconds for the tests of one answer. `confine` makes the runner for a directory (default: the sandbox). Raises
    SandboxError when commands cannot be confined here, before the model is asked anything.
    """
    confine = confine or confined
    with tempfile.TemporaryDirectory(prefix="inhouse-humaneval-") as name:
        runner = confine(Path(name))
        if isinstance(runner, Sandbox):
            runner.probe()
    records = Records(results, {**settings, "timeout": timeout})
    verdicts: list[Verdict] = []
    for problem in problems:
        resumed = problem.task_id in records
        if resumed:
            verdict = Verdict(**records[problem.task_id])
        else:
            verdict = judge(problem, solve, confine, timeout)
            records.add(problem.task_id, asdict(verdict))
        verdicts.append(verdict)
        passed = sum(verdict.passed for verdict in verdicts)
        progress(Progress(len(verdicts), len(problems), passed, verdict, resumed))
    return _report(settings, verdicts)


def judge(problem: Problem, solve: Solver, confine: Callable[[Path], Runner], timeout: float) -> Verdict:
    """One problem: the model's answer and what its tests say."""
    started = time.monotonic()
    attempt = solve(problem)
    answered = time.monotonic()
    result = check(problem, attempt.module, confine, timeout)
    return Verdict(
        task_id=problem.task_id,
        outcome=_outcome(result),
        answer=attempt.answer,
        output=result.output[-1000:],
        finish=attempt.finish,
        tokens=attempt.tokens,
        answer_seconds=round(answered - started, 3),
        check_seconds=round(result.duration, 3),
    )


def check(problem: Problem, module: str, confine: Callable[[Path], Runner], timeout: float) -> CommandResult:
    """Run a problem's tests on `module` in a directory of its own.

    The answer is a module apart, so that its `if __name__ == "__main__"` part stays asleep; its names are imported,
    because some tests use the prompt's helpers.
    """
    with tempfile.TemporaryDirectory(prefix="inhouse-humaneval-") as name:
        root = Path(name)
        (root / "solution.py").write_text(module, encoding="utf-8", errors="replace")
        (root / "check.py").write_text(
            f"from solution import *\nfrom solution import {problem.entry_point}\n"
            f"{problem.test}\n\ncheck({problem.entry_point})\nprint({_MARK!r})\n",
            encoding="utf-8",
        )
        return confine(root).run([sys.executable, "check.py"], timeout=timeout)


def confined(root: Path) -> Sandbox:
    """This Python, no network, nothing but `root` to write in, little memory."""
    return Sandbox(root, readable=python_paths(Path(sys.executable)), limits=_LIMITS, disposable=True)


def _outcome(result: CommandResult) -> TestReport:
    if result.timed_out:
        return "timeout"
    # An answer that ends the process by itself, with success, has passed nothing: only the last line tells.
    return "passed" if result.ok and result.output.rstrip().endswith(_MARK) else "failed"


def _report(settings: Mapping[str, Any], verdicts: Sequence[Verdict]) -> Report:
    count = Counter(verdict.outcome for verdict in verdicts)
    return Report(
        settings=dict(settings),
        problems=len(verdicts),
        passed=count["passed"],
        failed=tuple(verdict.task_id for verdict in verdicts if verdict.outcome == "failed"),
        timed_out=tuple(verdict.task_id for verdict in verdicts if verdict.outcome == "timeout"),
        cut_off=tuple(verdict.task_id for verdict in verdicts if verdict.finish == "length"),
        tokens=sum(verdict.tokens for verdict in verdicts),
        answer_seconds=round(sum(verdict.answer_seconds for verdict in verdicts), 3),
    )
