"""HumanEval: answers become programs, programs are judged confined, and an interrupted run goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confined import needs_sandbox

from inhouse.client.scripted import ScriptedClient
from inhouse.client.types import Answer, ChatRequest, FinishReason, Message, Sampling, Usage
from inhouse.errors import ParameterError, SandboxError
from inhouse.evals.humaneval import (
    Problem,
    by_chat,
    by_completion,
    by_prefill,
    completed,
    load_problems,
    module_of,
)
from inhouse.evals.humaneval_run import Progress, check, confined, run

PROBLEMS = load_problems()
GREEDY = Sampling(max_tokens=400)


def solution(problem: Problem) -> str:
    return f"```python\n{problem.prompt}{problem.canonical_solution}```"


def verdict(problem: Problem, module: str, timeout: float = 10) -> tuple[bool, str]:
    result = check(problem, module, confined, timeout)
    return result.ok and "all checks passed" in result.output, result.output


class TestProblems:
    def test_all_are_there(self) -> None:
        assert [problem.task_id for problem in PROBLEMS] == [f"HumanEval/{number}" for number in range(164)]
        assert all(f"def {problem.entry_point}(" in problem.prompt for problem in PROBLEMS)
        assert PROBLEMS[38].preamble.startswith("\n\ndef encode_cyclic(")

    @needs_sandbox
    def test_their_own_solutions_pass(self) -> None:
        failed = [p.task_id for p in PROBLEMS[::6] if not verdict(p, module_of(p, solution(p)))[0]]
        assert failed == []


class TestModule:
    FUNCTION = "def truncate_number(number):\n    return number % 1.0\n"
    PROBLEM = PROBLEMS[2]

    @pytest.mark.parametrize(
        "answer",
        [
            f"Sure!\n\n```python\n{FUNCTION}```\n\nIt takes the remainder.",
            f"```\n{FUNCTION}```",
            f"```Python\n{FUNCTION}",  # cut off, or ended without its fence
            FUNCTION,
            f"```python\ndef truncate_number(number):\n    return 0\n```\nNo, rather:\n```python\n{FUNCTION}```",
            f"```python\n{FUNCTION}```\nUse it so:\n```python\nprint(truncate_number(3.5))\n```",
            "```python\nreturn number % 1.0\n```",
            "    return number % 1.0",
            f"1. Write:\n   ```python\n   {FUNCTION.replace(chr(10), chr(10) + '   ')}\n   ```",
        ],
    )
    def test_is_found(self, answer: str) -> None:
        names: dict[str, Any] = {}
        exec(compile(module_of(self.PROBLEM, answer), "answer", "exec"), names)
        assert names["truncate_number"](3.5) == 0.5

    def test_keeps_helpers_of_the_prompt(self) -> None:
        answer = "```python\ndef decode_cyclic(s):\n    return encode_cyclic(encode_cyclic(s))\n```"
        assert "def encode_cyclic" in module_of(PROBLEMS[38], answer)

    def test_completion_is_cut_where_it_leaves_the_function(self) -> None:
        body = "    # the rest\n    return number % 1.0\n"
        expected = f"{self.PROBLEM.prompt}{body.rstrip()}\n"
        for beyond in (
            "\n\ndef other(:",
            "\nprint(1)",
            "\n# Test\n",
            "\nif __name__ == '__main__':\n    x",
            "\n```\nSo",
        ):
            assert completed(self.PROBLEM, body.rstrip() + beyond).rstrip() == expected.rstrip()


@needs_sandbox
class TestCheck:
    PROBLEM = PROBLEMS[2]

    def test_wrong_answer(self) -> None:
        passed, output = verdict(self.PROBLEM, "def truncate_number(number):\n    return 1\n")
        assert not passed
        assert "AssertionError" in output

    def test_no_function(self) -> None:
        passed, output = verdict(self.PROBLEM, "x = 1\n")
        assert not passed
        assert "ImportError" in output

    def test_ending_the_process_is_not_passing(self) -> None:
        for line in ("raise SystemExit(0)", "import os; os._exit(0)"):
            assert not verdict(self.PROBLEM, f"def truncate_number(number):\n    {line}\n")[0]

    def test_main_part_stays_asleep(self) -> None:
        module = TestModule.FUNCTION + "\nif __name__ == '__main__':\n    raise SystemExit(input())\n"
        assert verdict(self.PROBLEM, module)[0]

    def test_endless_loop(self) -> None:
        module = "def truncate_number(number):\n    while True: pass\n"
        assert check(self.PROBLEM, module, confined, 0.5).timed_out

    def test_cannot_touch_the_disk(self, tmp_path: Path) -> None:
        target = tmp_path / "written"
        passed, output = verdict(self.PROBLEM, f"open({str(target)!r}, 'w')\n")
        assert not passed
        assert "FileNotFoundError" in output or "PermissionError" in output
        assert not target.exists()


def measure(client: ScriptedClient, results: Path, **options: Any) -> tuple[Any, list[Progress]]:
    heard: list[Progress] = []
    report = run(
        by_chat(client, GREEDY),
        PROBLEMS[:3],
        results=results,
        settings={"model": "toy"},
        progress=heard.append,
        **options,
    )
    return report, heard


@needs_sandbox
class TestRun:
    def test_report(self, tmp_path: Path) -> None:
        endless = f"```python\n{PROBLEMS[1].prompt}    while True: pass\n```"
        cut = Answer(Message("assistant", "Let me think"), "length", Usage(10, 0, 400))
        client = ScriptedClient([solution(PROBLEMS[0]), endless, cut])
        report, heard = measure(client, tmp_path / "results.jsonl", timeout=4.0)
        assert (report.problems, report.passed, report.pass_at_1) == (3, 1, 1 / 3)
        assert (report.timed_out, report.failed, report.cut_off) == (
            ("HumanEval/1",),
            ("HumanEval/2",),
            ("HumanEval/2",),
        )
        assert report.tokens > 400
        assert [(p.done, p.total, p.passed, p.resumed) for p in heard] == [
            (1, 3, 1, False),
            (2, 3, 1, False),
            (3, 3, 1, False),
        ]
        said = json.loads(json.dumps(report.to_json()))
        assert (said["pass_at_1"], said["settings"]["model"]) == (1 / 3, "toy")

    def test_resumes_after_an_interruption(self, tmp_path: Path) -> None:
        def interrupt(_: ChatRequest) -> str:
            raise KeyboardInterrupt

        results = tmp_path / "new" / "results.jsonl"
        with pytest.raises(KeyboardInterrupt):
            measure(ScriptedClient([solution(PROBLEMS[0]), interrupt]), results)
        with results.open("ab") as file:
            file.write(b'{"key": "HumanEval/1", "resul')  # the machine went down in mid-line
        client = ScriptedClient([solution(PROBLEMS[1]), solution(PROBLEMS[2])])
        report, heard = measure(client, results)
        assert (report.passed, client.remaining) == (3, 0)
        assert [progress.resumed for progress in heard] == [True, False, False]
        again, heard = measure(ScriptedClient([]), results)
        assert again == report
        assert all(progress.resumed for progress in heard)

    def test_other_settings_do_not_mix(self, tmp_path: Path) -> None:
        results = tmp_path / "results.jsonl"
        measure(ScriptedClient([solution(problem) for problem in PROBLEMS[:3]]), results)
        with pytest.raises(ParameterError, match=r"results\.jsonl holds results of other settings"):
            measure(ScriptedClient([]), results, timeout=3.0)

    @pytest.mark.parametrize("contents", ["hello", "hello\n", "[1]\n", '{"settings": {}}\n{"x": 1}\n'])
    def test_other_files_are_left_alone(self, tmp_path: Path, contents: str) -> None:
        results = tmp_path / "notes.txt"
        results.write_text(contents)
        with pytest.raises(ParameterError, match="name another file"):
            measure(ScriptedClient([]), results)
        assert results.read_text() == contents
        with pytest.raises(ParameterError, match="name another file"):
            measure(ScriptedClient([]), tmp_path)  # a directory


class TestSolvers:
    def test_chat_shows_the_prompt(self) -> None:
        client = ScriptedClient([solution(PROBLEMS[0])])
        attempt = by_chat(client, GREEDY)(PROBLEMS[0])
        (request,) = client.requests
        assert PROBLEMS[0].prompt in request.messages[-1].content
        assert request.sampling == GREEDY
        assert attempt.module.rstrip().endswith("return False")

    def test_prefill_begins_the_answer(self) -> None:
        problem = PROBLEMS[0]
        client = ScriptedClient([problem.canonical_solution])
        attempt = by_prefill(client, GREEDY)(problem)
        (request,) = client.requests
        assert request.prefill == f"```python\n{problem.prompt}"
        assert request.sampling == replace(GREEDY, stop=("\n```",))
        assert attempt.module.strip().endswith((problem.prompt + problem.canonical_solution).strip())

    def test_completion_gets_the_bare_prompt(self) -> None:
        problem = PROBLEMS[0]

        def generate(prompt: str, sampling: Sampling) -> tuple[str, FinishReason, int]:
            assert prompt == problem.prompt
            assert "\ndef " in sampling.stop
            return problem.canonical_solution, "stop", 7

        attempt = by_completion(generate, GREEDY)(problem)
        assert attempt.tokens == 7
        assert attempt.module.strip() == (problem.prompt + problem.canonical_solution).strip()


def test_fails_before_asking_where_nothing_confines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    client = ScriptedClient(["never asked"])
    with pytest.raises(SandboxError):
        measure(client, tmp_path / "results.jsonl")
    assert client.remaining == 1
