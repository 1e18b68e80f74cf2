"""The agent's measurement: bugs that their tests notice, issues that give nothing away, a judge that is not fooled."""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from confined import needs_sandbox
from confined import problem as sandbox_problem

from inhouse.client.scripted import ScriptedClient
from inhouse.client.types import Answer, ChatRequest, Message, Usage
from inhouse.errors import ParameterError
from inhouse.evals.agent_bench import Plan, Result, alone, collect_bugs, measure, passes, with_agent
from inhouse.evals.agent_report import row, to_markdown
from inhouse.evals.bugs import Bug, make_bugs, usable
from inhouse.evals.humaneval import Problem, load_problems
from inhouse.evals.symptoms import Symptom, examiner, split_tests
from inhouse.evals.symptoms import Test as Single
from inhouse.workspace.source import functions
from needed import git_program

PROBLEMS = load_problems()


def problem(task: int) -> Problem:
    return next(p for p in PROBLEMS if p.task_id == f"HumanEval/{task}")


def unexamined(module: str, tests: Sequence[Single], function: str) -> Symptom | None:
    """Takes every mutation for one that shows, and every solution for right, without running it."""
    right = any(p.canonical_solution.strip() in module for p in PROBLEMS if p.entry_point == function)
    return None if right else Symptom(((tests[0], "returns 7"),))


@pytest.fixture(scope="module")
def bug() -> Bug:
    if sandbox_problem():
        pytest.skip(sandbox_problem())
    return next(make_bugs(PROBLEMS, 1, 0, examiner()))


def function_of(bug: Bug, text: str) -> str:
    """The bug's function in a version of its file."""
    return next(f for f in functions("", text) if f.name == bug.function).text(text)


def scripted(code: str, count: int = 1) -> ScriptedClient:
    """A model that answers with this function, however its answer is begun."""

    def answer(request: ChatRequest) -> Answer:
        whole = f"```python\n{code}\n```"
        text = whole.removeprefix(request.prefill) if whole.startswith(request.prefill) else "    pass\n```"
        return Answer(Message("assistant", text), "stop", Usage(100, 40, 20))

    return ScriptedClient([answer] * count)


class TestBugs:
    def test_the_same_seed_makes_the_same_bugs_and_another_seed_others(self) -> None:
        first, again, other = ([*make_bugs(PROBLEMS, 5, seed, unexamined)] for seed in (0, 0, 1))
        assert first == again
        assert {b.task_id for b in first} != {b.task_id for b in other}

    def test_a_repository_has_many_files_and_one_fault(self) -> None:
        for bug in make_bugs(PROBLEMS, 10, 3, unexamined):
            programs = [path for path in bug.files if path.startswith("toolbox/")]
            assert len(programs) == 5
            assert len(bug.tests) == 4
            pairs = zip(bug.files[bug.path].splitlines(), bug.right.splitlines(), strict=True)
            assert sum(wrong != right for wrong, right in pairs) == 1
            names = [f.name for path in programs for f in functions(path, bug.files[path])]
            assert len(names) == len(set(names)) >= 12
            for path, text in bug.files.items():
                if path.endswith(".py"):
                    ast.parse(text)

    def test_the_kinds_of_faults_take_turns(self) -> None:
        kinds = [bug.kind for bug in make_bugs(PROBLEMS, 40, 0, unexamined)]
        assert min(kinds.count(kind) for kind in set(kinds)) >= 5
        assert len(set(kinds)) == 5

    def test_problems_with_other_checks_or_helpers_are_left_out(self) -> None:
        names = {p.task_id for p in usable(PROBLEMS)}
        assert len(names) >= 140
        assert not names & {"HumanEval/32", "HumanEval/10", "HumanEval/151"}

    @needs_sandbox
    def test_the_tests_tell_the_right_program_from_the_wrong_one(self, bug: Bug) -> None:
        assert not passes(bug, {})
        assert passes(bug, {bug.path: bug.right})

    def test_an_issue_names_no_file_and_no_line(self, bug: Bug) -> None:
        assert bug.function in bug.issue
        assert "should" in bug.issue
        assert not any(hint in bug.issue for hint in ("toolbox", ".py", "line", bug.change.partition(": ")[2]))


class TestSymptoms:
    def test_a_check_is_split_into_its_asserts(self) -> None:
        tests = split_tests(problem(0))
        assert len(tests) == 7
        assert tests[0].text == "assert has_close_elements([1.0, 2.0, 3.9, 4.0, 5.0, 2.2], 0.3) == True"
        assert tests[0].expected == "True"
        assert split_tests(problem(32)) == []

    @needs_sandbox
    def test_what_a_failing_call_shows_is_told_the_shortest_first(self) -> None:
        tests = [
            Single("assert f([1, 2]) == 3", "f([1, 2])", "3"),
            Single("assert f(1) == 1", "f(1)", "1"),
            Single("assert abs(f(2)) < 2", "f(2)", ""),
            Single("assert f('x') == 'x!'", "f('x')", "'x!'"),
        ]
        module = "def f(x):\n    if x == 'x':\n        return 'x!'\n    return x + 1\n"
        found = examiner()(module, tests, "f")
        assert found is not None
        assert [test.call for test, _ in found.examples] == ["f(1)", "f(2)", "f([1, 2])"]
        issue = found.issue("f")
        assert "`f(1)` returns 2; it should return 1." in issue
        assert "`f(2)` returns 3; this should hold: `abs(f(2)) < 2`." in issue
        assert "raises TypeError" in replace(found, examples=found.examples[2:]).issue("f")

    @needs_sandbox
    @pytest.mark.parametrize(
        "module",
        ["def f(x):\n    return x\n", "import os\n\ndef f(x):\n    os._exit(0)\n", "def f(x:\n"],
        ids=["right", "ends the process", "no Python"],
    )
    def test_nothing_is_said_of_a_program_that_is_right_or_does_not_run(self, module: str) -> None:
        assert examiner()(module, [Single("assert f(1) == 1", "f(1)", "1")], "f") is None


@needs_sandbox
class TestMeasuring:
    def test_the_model_alone_sees_the_right_file_and_no_test(self, bug: Bug) -> None:
        client = scripted(function_of(bug, bug.right))
        result = alone(client, bug)
        assert (result.repaired, result.turns, result.read, result.written) == (True, 1, 60, 20)
        text = "".join(message.content for message in client.requests[0].messages)
        assert bug.files[bug.path] in text
        assert bug.issue in text
        assert "def test_" not in text
        assert client.requests[0].sampling.temperature == 0

    def test_an_answer_that_repairs_nothing_is_a_miss(self, bug: Bug) -> None:
        result = alone(scripted(function_of(bug, bug.files[bug.path])), bug)
        assert (result.repaired, result.note) == (False, "unchanged")

    def test_the_agent_is_judged_by_the_tests_as_they_were(self, bug: Bug) -> None:
        git_program()
        client = scripted(function_of(bug, bug.right), 60)
        result = with_agent(client, bug, Plan(minutes=1, attempts=8), 0)
        assert result.repaired
        assert result.note == "verified"
        assert result.turns == len(result.tried) >= 1
        assert result.read > 100 * result.turns
        assert result.written > 0

    def test_a_patch_of_the_tests_or_the_settings_counts_for_nothing(self, bug: Bug) -> None:
        assert not passes(bug, dict.fromkeys(bug.tests, "def test_nothing():\n    assert True\n"))
        assert not passes(bug, {"pytest.ini": "[pytest]\ntestpaths = docs\n"})

    def test_a_program_that_ends_the_tests_early_has_passed_nothing(self, bug: Bug) -> None:
        assert not passes(bug, {bug.path: f"import os\nos._exit(0)\n{bug.right}"})


class TestKeeping:
    BUGS = tuple(Bug(f"bug-{n}", "", "", "call", "", "", "", {}, "") for n in range(4))

    def test_an_interrupted_run_goes_on(self, tmp_path: Path) -> None:
        asked: list[str] = []

        def solve(bug: Bug) -> Result:
            asked.append(bug.name)
            return Result(bug.name, True, "repaired", 1, 2, 3, 4.0)

        def run(limit: int) -> list[Result]:
            return measure(
                self.BUGS, solve, tmp_path / "r.jsonl", {"a": 1}, lambda *_: None, lambda: len(asked) >= limit
            )

        assert len(run(2)) == 2
        assert len(run(9)) == 4
        assert asked == [bug.name for bug in self.BUGS]
        with pytest.raises(ParameterError, match="other settings"):
            measure(self.BUGS, solve, tmp_path / "r.jsonl", {"a": 2}, lambda *_: None)

    def test_bugs_are_made_once(self, tmp_path: Path, bug: Bug) -> None:
        kept = tmp_path / "bugs.jsonl"
        said: list[int] = []
        first = collect_bugs(PROBLEMS, Plan(bugs=1), kept, lambda what, done, total: said.append(done))
        assert first == collect_bugs([], Plan(bugs=1), kept, lambda *_: None) == [bug]
        assert said == [1]
        assert len(kept.read_text().splitlines()) == 2

    def test_the_table_says_what_was_won_and_lost(self) -> None:
        def result(name: str, repaired: bool) -> Result:
            return Result(name, repaired, "", 2, 100, 50, 30.0)

        baseline = [result("a", True), result("b", True), result("c", False), result("d", False)]
        one = row(7, baseline, [result("a", True), result("b", False), result("c", True)])
        assert (one.bugs, one.hits, one.repaired, one.won, one.missed, one.lost) == (3, 2, 2, 1, 1, ("b",))
        assert (one.turns, one.read, one.written, one.minutes) == (6, 300, 150, 1.5)
        table = to_markdown(baseline, [one], {"model": "m", "minutes": 2})
        assert "| agent, seed 7 | 3 | 2 | 1 of 1 | 1 (b) | 6 (2) | 300 | 150 | 1.5 |" in table
        assert json.dumps(table)
