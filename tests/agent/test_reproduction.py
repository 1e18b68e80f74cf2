"""That a failure is shown before it is repaired: what describes one, the word at the first change, the challenge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_kit import FINISH, REPAIR, Bench, MakeBench, answer, call, do, shop

from inhouse.agent.briefing import SYSTEM
from inhouse.agent.failure import CHALLENGE, WORD, describes_failure
from inhouse.agent.loop import AgentOptions
from inhouse.agent.session import Session
from inhouse.agent.state import state_of
from inhouse.agent.steps import Warned
from inhouse.client.types import Usage
from inhouse.workspace.testing.report import says_failed
from needed import git_program

ISSUE = "total() gives a negative number instead of the sum."
EDIT = do("str_replace", **REPAIR)
TESTS = do("run_tests")
SHOWS = do("bash", command="python3 -c 'from shop import total; assert total([1]) == 1'")
PIPED = do("bash", command=f"{sys.executable} -m pytest -q -p no:cacheprovider 2>&1 | tail -3")


def warned(one: Bench) -> list[str]:
    return [step.guard for step in one.of(Warned)]


class TestWords:
    @pytest.mark.parametrize(
        "text",
        [
            ISSUE,
            "The total is one too small.",
            "ZeroDivisionError when the list is empty",
            "Totals are wrong when an entry has two currencies",
            "the last page is missing",
            "parse('1,5') should be 1.5 but is 15",
            "tests/test_money.py fails since yesterday",
            "Fix the failing tests",
            "make the tests pass",
            "It crashes on Windows.",
            "It does not sort by date.",
            "Saving gives an error: disk full",
            "Please fix this:\n\nTraceback (most recent call last):\n  File \"a.py\", line 3, in f\nKeyError: 'x'",
            "Why does the import crash on an empty file? Fix it.",
        ],
    )
    def test_of_a_failure(self, text: str) -> None:
        assert describes_failure(text)

    @pytest.mark.parametrize(
        "text",
        [
            "Repair total().",
            "Add a feature: totals by currency",
            "Add a --strict option that raises ValueError instead of returning None",
            "Please implement retries for requests that fail",
            "Explain how total() works and what goes wrong on empty lists",
            "What does the error in parse() mean?",
            "Can you rename is_below to is_under?",
            "Use pathlib instead of os.path",
            "Improve the error messages of the parser",
            "Write a README.",
            "Sort by date. Do not touch the tests.",
            "Hi.",
        ],
    )
    def test_of_anything_else(self, text: str) -> None:
        assert not describes_failure(text)


class TestWord:
    def test_the_first_change_of_the_program_before_a_failing_run_is_answered_with_a_word_once(
        self, bench: MakeBench
    ) -> None:
        again = do("str_replace", path="shop.py", old_str="result = 0", new_str="result = 0.0")
        one = bench(EDIT, again, TESTS, FINISH, FINISH)
        one.turn(ISSUE)
        assert one.results()[0].endswith(WORD)
        assert WORD not in "".join(one.results()[1:])
        assert warned(one)[0] == "reproduction"

    def test_it_reaches_the_model_and_nothing_before_it_changes(self, bench: MakeBench) -> None:
        one = bench(EDIT, TESTS, FINISH, FINISH)
        one.turn(ISSUE)
        first, second = one.client.requests[:2]
        assert second.messages[-1].content.endswith(WORD)
        assert second.messages[: len(first.messages)] == first.messages
        assert first.messages[0].content == SYSTEM

    @pytest.mark.parametrize("shows", [TESTS, SHOWS, PIPED])
    def test_not_where_a_run_has_failed_before(self, bench: MakeBench, shows: object) -> None:
        one = bench(shows, EDIT, TESTS, FINISH, FINISH)
        one.turn(ISSUE)
        assert WORD not in "".join(one.results())

    @pytest.mark.parametrize(
        "looks",
        [
            "cat nowhere",
            "nonsense-command",
            f"{sys.executable} -m pytest -q nowhere/test_x.py; true",
            "git log nowhere",
        ],
    )
    def test_looking_and_commands_that_do_not_run_show_nothing(self, bench: MakeBench, looks: str) -> None:
        one = bench(do("bash", command=looks), EDIT, TESTS, FINISH, FINISH)
        one.turn(ISSUE)
        assert one.results()[1].endswith(WORD)

    def test_not_to_tests_new_files_and_notes(self, bench: MakeBench) -> None:
        one = bench(
            do("insert", path="test_shop.py", line=0, text="import os\n"),
            do("create", path="show.py", content="import shop\n"),
            do("create", path="NOTES.md", content="Notes\n"),
            FINISH, FINISH,
        )  # fmt: skip
        one.turn(ISSUE)
        assert WORD not in "".join(one.results())

    def test_not_to_a_request_for_something_new(self, bench: MakeBench) -> None:
        one = bench(EDIT, TESTS, FINISH)
        assert one.turn("Add totals of negative prices.").reason == "finished"
        assert warned(one) == []


class TestChallenge:
    def test_without_a_run_that_failed_before_and_passes_after(self, bench: MakeBench) -> None:
        one = bench(EDIT, TESTS, FINISH, FINISH)
        assert one.turn(ISSUE).reason == "finished"
        assert one.results()[2] == f"[not finished yet] {CHALLENGE}"
        assert warned(one) == ["reproduction", "evidence"]

    def test_an_answer_in_place_of_finish(self, bench: MakeBench) -> None:
        one = bench(EDIT, TESTS, "Done!", "Really.")
        assert one.turn(ISSUE).text == "Really."
        assert one.client.requests[3].messages[-1].content == f"[{CHALLENGE}]"

    def test_once_in_all_with_what_else_there_is_to_say(self, bench: MakeBench) -> None:
        one = bench(EDIT, FINISH, FINISH)
        one.turn(ISSUE)
        assert "Nothing was run after your last change" in one.results()[1]
        assert CHALLENGE in one.results()[1]
        assert one.results()[2] == "finished"

    @pytest.mark.parametrize("run", [TESTS, SHOWS, PIPED])
    def test_not_where_what_failed_passes(self, bench: MakeBench, run: object) -> None:
        one = bench(run, EDIT, run, FINISH)
        assert one.turn(ISSUE).reason == "finished"
        assert warned(one) == []

    def test_a_command_that_failed_must_itself_pass(self, bench: MakeBench) -> None:
        one = bench(SHOWS, EDIT, TESTS, FINISH, SHOWS, FINISH)
        one.turn(ISSUE)
        assert CHALLENGE in one.results()[3]

    def test_a_test_that_passes_because_it_was_changed_is_none(self, bench: MakeBench) -> None:
        weaker = do("str_replace", path="test_shop.py", old_str="== 3", new_str="== -3")
        noted = do("str_replace", path="shop.py", old_str="result = 0", new_str="result = 0  # so far")
        one = bench(noted, TESTS, weaker, TESTS, FINISH, FINISH)
        one.turn(ISSUE)
        assert CHALLENGE in one.results()[4]

    def test_a_test_written_later_and_seen_to_fail_on_the_state_before(self, bench: MakeBench, root: Path) -> None:
        new = "from shop import total\n\n\ndef test_sum():\n    assert total([2]) == 2\n"
        before = root.parent / "before"
        on_a_copy = f"mkdir {before}; git archive HEAD | tar -x -C {before}; cp test_new.py {before}; cd {before}"
        one = bench(
            EDIT, do("create", path="test_new.py", content=new),
            do("bash", command=f"{on_a_copy}; {sys.executable} -m pytest -q test_new.py"),
            do("bash", command=f"cd {root}"),
            TESTS, FINISH,
        )  # fmt: skip
        assert one.turn(ISSUE).reason == "finished"
        assert warned(one) == ["reproduction"]

    def test_taking_the_change_back_shows_it_as_well(self, bench: MakeBench) -> None:
        back = do("str_replace", path="shop.py", old_str="result += price", new_str="result -= price")
        one = bench(EDIT, back, TESTS, EDIT, TESTS, FINISH)
        assert one.turn(ISSUE).reason == "finished"
        assert warned(one) == ["reproduction"]

    def test_no_challenge_for_a_feature_request(self, bench: MakeBench) -> None:
        one = bench(EDIT, TESTS, FINISH)
        assert one.turn("Add a total of prices.").reason == "finished"

    def test_a_failure_stays_open_until_it_is_finished(self, bench: MakeBench) -> None:
        one = bench("Shall I repair it?", EDIT, TESTS, FINISH, FINISH, EDIT, "Well.", "Well.")
        one.turn(ISSUE)
        one.turn("Yes, go on.")
        assert CHALLENGE in one.results()[2]
        (one.root / "shop.py").write_text("def total(prices):\n    result -= price\n")
        one.turn("Now add a total.")
        assert warned(one).count("reproduction") == 1

    def test_a_failing_run_is_remembered_over_a_compaction(self, bench: MakeBench) -> None:
        big = answer(call("bash", command="echo more"), usage=Usage(7000, 0, 600))
        one = bench(TESTS, big, "It subtracts.", EDIT, TESTS, FINISH, options=AgentOptions(context=10_000))
        assert one.turn(ISSUE).reason == "finished"
        assert warned(one) == []


# Works on a failure and dies as the model is asked for its answer of a number.
KILLED = """
import os, signal, sys
sys.path[:0] = {tests!r}
from pathlib import Path
from agent_kit import Bench, answer, call
from test_reproduction import EDIT, ISSUE, TESTS
from inhouse.agent.session import Session

def die(request):
    os.kill(os.getpid(), signal.SIGKILL)

Bench(Path(sys.argv[1]), [*(eval(name) for name in sys.argv[3:]), die], session=Session(Path(sys.argv[2]))).turn(ISSUE)
"""


@pytest.fixture
def killed(tmp_path: Path, root: Path) -> Callable[..., Session]:
    """Makes a session whose process was killed after these steps."""

    def make(*steps: str) -> Session:
        with Session.create(tmp_path / "sessions", root, "scripted", SYSTEM) as session:
            folder = session.folder
        script = KILLED.format(tests=[str(folder) for folder in Path(__file__).parents[:2]])
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-c", script, root, folder, *steps], env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
        return Session(folder)

    return make


class TestResumed:
    def test_what_failed_before_the_kill_counts_after_it(self, killed: Callable[..., Session], root: Path) -> None:
        with killed("TESTS", "EDIT") as session:
            one = Bench(root, [TESTS, FINISH], session=session)
            assert one.turn(None).reason == "finished"
            assert warned(one) == []
            one.agent.close()

    def test_the_word_is_not_said_again_and_the_challenge_is(self, killed: Callable[..., Session], root: Path) -> None:
        with killed("EDIT") as session:
            more = do("str_replace", path="shop.py", old_str="result = 0", new_str="result = 0.0")
            one = Bench(root, [more, TESTS, FINISH, FINISH], session=session)
            assert one.turn(None).reason == "finished"
            assert WORD not in "".join(one.results())
            assert CHALLENGE in one.results()[2]
            one.agent.close()

    def test_a_challenge_before_the_kill_was_the_only_one(self, killed: Callable[..., Session], root: Path) -> None:
        with killed("EDIT", "TESTS", "answer(call('finish', summary='x'))") as session:
            one = Bench(root, [FINISH], session=session)
            assert one.turn(None).reason == "finished"
            one.agent.close()


def test_the_state_is_the_sum_of_the_records(bench: MakeBench) -> None:
    one = bench(SHOWS, EDIT, TESTS, "So far.", "So far.")
    one.turn(ISSUE)
    assert state_of(one.session.records).evidence == one.agent.journal.state.evidence


def test_without_git_the_word_is_the_same(tmp_path: Path) -> None:
    git_program()  # which keeps its checkpoints
    one = Bench(shop(tmp_path, git=False), [EDIT, TESTS, FINISH, FINISH])
    one.turn(ISSUE)
    assert one.results()[0].endswith(WORD)
    one.close()


@pytest.mark.parametrize(
    ("output", "failed"),
    [
        ("1 failed, 2 passed in 0.02s", True),
        ("==== 3 passed, 1 error in 1.20s ====", True),
        ("FAILED (failures=1)", True),
        ("test result: FAILED. 1 passed; 1 failed;", True),
        ("--- FAIL: TestTotal (0.00s)", True),
        ("3 passed in 0.02s", False),
        ("no request failed in this test\nOK", False),
    ],
)
def test_a_summary_says_whether_tests_failed(output: str, failed: bool) -> None:
    assert says_failed(output) is failed
