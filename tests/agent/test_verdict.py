"""How a turn is judged that has ended: what changed, what was run after it, whether tests were weakened."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from agent_kit import FINISH, REPAIR, Bench, MakeBench, do

from inhouse.agent.failure import allows_changed_tests, asks_for_code, asks_for_tests
from inhouse.agent.loop import AgentOptions
from inhouse.agent.session import Session
from inhouse.agent.steps import as_json
from inhouse.agent.verdict import survey
from inhouse.agent.weakening import weakened

ISSUE = "total() gives a negative number instead of the sum."
EDIT = do("str_replace", **REPAIR)
TESTS = do("run_tests")
WEAKER = do("str_replace", path="test_shop.py", old_str="== 3", new_str="== -3")


class TestStatus:
    def test_a_passing_run_after_the_last_change_verifies_it(self, bench: MakeBench) -> None:
        ended = bench(TESTS, EDIT, TESTS, FINISH).turn(ISSUE)
        assert ended.verdict.status == "verified"
        assert ended.verdict.statement.startswith("changed shop.py; `")
        assert ended.verdict.statement.endswith("` passed after the last change")
        (run,) = ended.verdict.runs
        assert (run.ok, run.tests, run.exit_code, run.failing) == (True, True, 0, ())
        assert json.loads(json.dumps(as_json(ended)))["verdict"]["runs"][0]["command"] in ended.verdict.statement

    def test_nothing_was_run(self, bench: MakeBench) -> None:
        ended = bench(EDIT, FINISH, FINISH).turn()
        assert (ended.verdict.status, ended.verdict.runs) == ("unverified", ())
        assert ended.verdict.statement == "changed shop.py; nothing was run after the last change"

    def test_a_run_before_the_last_change_is_none_after_it(self, bench: MakeBench) -> None:
        again = do("str_replace", path="shop.py", old_str="result = 0", new_str="result = 0.0")
        ended = bench(EDIT, TESTS, again, FINISH, FINISH).turn()
        assert ended.verdict.status == "unverified"

    def test_a_failing_run(self, bench: MakeBench) -> None:
        ended = bench(do("str_replace", **{**REPAIR, "new_str": "result *= price"}), TESTS, FINISH, FINISH).turn()
        assert ended.verdict.status == "failing"
        assert "the last test run failed (test_shop.py::test_total)" in ended.verdict.statement

    @pytest.mark.parametrize(
        ("command", "status"),
        [
            ("python3 -c 'import shop'", "verified"),
            ("python3 -c 'import nowhere'", "unverified"),
            ("echo it works", "unverified"),
            (f"{sys.executable} -m unittest nowhere_at_all", "failing"),
            (f"cd $(mktemp -d) && {sys.executable} -m unittest discover -s {{root}} -p nothing; true", "unverified"),
        ],
    )
    def test_commands(self, bench: MakeBench, root: Path, command: str, status: str) -> None:
        ended = bench(EDIT, do("bash", command=command.format(root=root)), FINISH, FINISH).turn()
        assert ended.verdict.status == status, ended.verdict

    def test_a_question_needs_nothing(self, bench: MakeBench) -> None:
        ended = bench("It subtracts.").turn("What does total() do?")
        assert (ended.verdict.status, ended.verdict.statement) == ("nothing_to_verify", "nothing was changed")

    def test_a_repair_that_changed_nothing(self, bench: MakeBench) -> None:
        ended = bench("I cannot see it.").turn(ISSUE)
        assert (ended.verdict.status, ended.verdict.statement) == (
            "unverified", "nothing was changed; nothing was run in this turn",
        )  # fmt: skip

    def test_a_change_that_was_taken_back(self, bench: MakeBench) -> None:
        back = do("str_replace", path="shop.py", old_str="result += price", new_str="result -= price")
        ended = bench(EDIT, back, FINISH, FINISH).turn(ISSUE)
        assert ended.changed == ()
        assert ended.verdict.statement.startswith("nothing was changed")

    def test_a_limit(self, bench: MakeBench) -> None:
        ended = bench(EDIT, TESTS, options=AgentOptions(turns=2)).turn(ISSUE)
        assert ended.verdict.status == "stopped"
        assert ended.verdict.statement.endswith("passed after the last change")

    def test_it_outlives_a_kill(self, bench: MakeBench, root: Path) -> None:
        one = bench(EDIT, TESTS)
        with pytest.raises(AssertionError, match="used up"):
            one.turn(ISSUE)  # no third answer: as when the process is killed
        folder = one.session.folder
        one.close()
        again = Bench(root, [FINISH, FINISH], session=Session(folder))
        ended = again.turn(None)
        assert (ended.verdict.status, ended.changed) == ("verified", ("shop.py",))
        again.close()


class TestKindOfChange:
    def test_documentation_where_code_was_asked_for(self, bench: MakeBench) -> None:
        one = bench(do("create", path="NOTES.md", content="It subtracts.\n"), FINISH, FINISH)
        ended = one.turn(ISSUE)
        assert (
            "Only documentation changed (NOTES.md), and the task asks for a change of the program" in one.results()[1]
        )
        assert one.results()[2] == "finished"
        assert ended.verdict.status == "unverified"
        assert ended.verdict.statement.startswith("only documentation changed (NOTES.md)")

    def test_a_docstring_is_documentation(self, bench: MakeBench) -> None:
        text = "def total(prices):\n"
        one = bench(
            do("str_replace", path="shop.py", old_str=text, new_str=f'{text}    """The sum."""\n'), FINISH, FINISH
        )
        assert one.turn(ISSUE).verdict.only == "documentation"

    def test_tests_where_code_was_asked_for(self, bench: MakeBench) -> None:
        more = do("insert", path="test_shop.py", line=0, text="import os\n")
        one = bench(more, TESTS, FINISH, FINISH)
        assert one.turn("Implement discounts.").verdict.statement.startswith("only tests changed (test_shop.py)")
        assert "Only tests changed" in one.results()[2]

    def test_documentation_that_was_asked_for_needs_no_run(self, bench: MakeBench) -> None:
        one = bench(do("create", path="README.md", content="# Shop\n"), FINISH)
        ended = one.turn("Write a README.")
        assert (ended.verdict.status, ended.verdict.statement) == ("nothing_to_verify", "changed README.md")

    def test_tests_that_were_asked_for(self, bench: MakeBench) -> None:
        more = "from shop import total\n\n\ndef test_zero():\n    assert total([0]) == 0\n"
        run = do("run_tests", tests=["test_zero.py"])
        one = bench(do("create", path="test_zero.py", content=more), run, FINISH)
        assert one.turn("Add a test of total([0]).").verdict.status == "verified"

    def test_what_is_what(self) -> None:
        def only(*paths: str) -> str:
            return survey(dict.fromkeys(paths, ("a = 1\n", "a = 2\n"))).only

        assert only("README.md", "docs/guide.rst", "LICENSE") == "documentation"
        assert only("tests/test_x.py", "web/app.test.ts") == "tests"
        assert only("tests/test_x.py", "CHANGELOG.md") == "documentation and tests"
        assert only("README.md", "src/app.py") == ""
        assert only("requirements.txt") == ""


class TestWeakening:
    def test_it_is_challenged_and_reported(self, bench: MakeBench) -> None:
        one = bench(TESTS, WEAKER, TESTS, FINISH, FINISH)
        ended = one.turn("Make the tests pass.")
        assert "weakens tests" in one.results()[3]
        assert "expected value of total([1, 2]) changed from 3 to -3" in one.results()[3]
        assert ended.verdict.status == "unverified"
        assert "tests were weakened (test_shop.py: test_total" in ended.verdict.statement

    def test_not_where_the_user_asks_for_it(self, bench: MakeBench) -> None:
        one = bench(WEAKER, TESTS, FINISH)
        assert one.turn("The test of total() is wrong: change the test.").verdict.status == "verified"

    def test_put_back_after_the_challenge(self, bench: MakeBench) -> None:
        back = do("str_replace", path="test_shop.py", old_str="== -3", new_str="== 3")
        ended = bench(TESTS, WEAKER, FINISH, back, EDIT, TESTS, FINISH).turn("Make the tests pass.")
        assert (ended.verdict.status, ended.verdict.weakened) == ("verified", ())

    PY = "def test_a():\n    assert f(1) == 2\n    assert f(2) == 3\n\n\ndef test_b():\n    assert f(3)\n"

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            (PY, PY.replace("== 2", "== 5"), "test_a: expected value of f(1) changed from 2 to 5"),
            (PY, PY.replace("    assert f(2) == 3\n", ""), "test_a: removed the assertion of f(2)"),
            (PY, PY.replace("def test_b", "def helper_b"), "removed test_b"),
            (PY, "import pytest\n\n\n@pytest.mark.xfail\n" + PY, "test_a: skipped"),
            (PY, PY.replace("    assert f(3)", "    pytest.skip('later')\n    assert f(3)"), "test_b: skipped"),
            (PY, "import pytest\npytestmark = pytest.mark.skip\n" + PY, "the whole file is skipped"),
            (
                "class TestA(TestCase):\n    def test_a(self):\n        self.assertEqual(f(1), 2)\n",
                "class TestA(TestCase):\n    def test_a(self):\n        self.assertEqual(f(1), 3)\n",
                "TestA.test_a: expected value of assertEqual(f(1)) changed from 2 to 3",
            ),
            (
                "@pytest.mark.parametrize(('a', 'b'), [(1, 2), (2, 3)])\ndef test_a(a, b):\n    assert f(a) == b\n",
                "@pytest.mark.parametrize(('a', 'b'), [(1, 2), (2, 4)])\ndef test_a(a, b):\n    assert f(a) == b\n",
                "test_a: expected value of the case (2) changed from 3 to 4",
            ),
            (
                "def test_a():\n    with pytest.raises(ValueError):\n        f(0)\n",
                "def test_a():\n    with pytest.raises(Exception):\n        f(0)\n",
                "changed from ValueError to Exception",
            ),
        ],
    )  # fmt: skip
    def test_python(self, old: str, new: str, says: str) -> None:
        (said,) = weakened({"tests/test_a.py": (old, new)})
        assert says in said

    @pytest.mark.parametrize(
        ("path", "old", "new", "says"),
        [
            ("a.test.js", "it('adds', () => {\n  expect(f(1)).toBe(2)\n})\n",
             "it('adds', () => {\n  expect(f(1)).toBe(3)\n})\n", "expected value changed"),
            ("a.test.ts", "it('adds', () => {})\n", "it.skip('adds', () => {})\n", "tests are skipped"),
            ("a.test.ts", "it('adds', () => {})\nit('b', () => {})\n", "it('b', () => {})\n", "removed adds"),
            ("a_test.go", "func TestA(t *testing.T) {\n\tf()\n}\n",
             "func TestA(t *testing.T) {\n\tt.Skip()\n\tf()\n}\n", "tests are skipped"),
            ("tests/a.rs", "#[test]\nfn adds() {\n    assert_eq!(f(1), 2);\n}\n",
             "#[test]\nfn adds() {\n    assert_eq!(f(1), 3);\n}\n", "expected value changed"),
        ],
    )  # fmt: skip
    def test_other_languages(self, path: str, old: str, new: str, says: str) -> None:
        (said,) = weakened({path: (old, new)})
        assert says in said

    def test_tests_left_out_by_configuration(self) -> None:
        new = "[pytest]\naddopts = --deselect tests/test_a.py::test_a\n"
        (said,) = weakened({"pytest.ini": ("[pytest]\n", new)}, configuration=["pytest.ini"])
        assert "tests are left out" in said

    @pytest.mark.parametrize(
        "texts",
        [
            {"tests/test_a.py": (PY, PY + "\n\ndef test_c():\n    assert f(4) == 5\n")},
            {"tests/test_a.py": (PY, PY.replace("assert f(3)", "value = f(3)\n    assert value"))},
            {"tests/test_a.py": (PY, ""), "tests/test_b.py": ("", PY)},  # moved
            {"tests/test_a.py": (PY, PY.replace("    assert f(1)", "    # The first.\n    assert f(1)"))},
            {"a.test.js": ("it('a', () => {})\n", "it('a', () => {\n  expect(f(1)).toBe(2)\n})\n")},
        ],
    )
    def test_what_weakens_nothing(self, texts: dict[str, tuple[str, str]]) -> None:
        assert weakened(texts) == []


class TestWords:
    @pytest.mark.parametrize(
        "text",
        [ISSUE, "Implement retries.", "Rename is_below to is_under.", "Add a --strict option", "Fix the failing tests"],
    )
    def test_of_code(self, text: str) -> None:
        assert asks_for_code(text)

    @pytest.mark.parametrize(
        "text",
        ["Write a README.", "Fix the typo in the docs", "What does f() do?", "Add tests for total()", "Hi.",
         "Update the flaky test test_x"],
    )  # fmt: skip
    def test_of_anything_else(self, text: str) -> None:
        assert not asks_for_code(text)

    def test_of_tests(self) -> None:
        assert asks_for_tests("Please add two more unit tests for parse()")
        assert allows_changed_tests("Remove the obsolete tests of the old parser")
        assert not allows_changed_tests("Fix the bug; do not change the tests")
        assert not allows_changed_tests("Make the tests pass")


def test_how_calls_ended_is_kept_as_data(bench: MakeBench) -> None:
    one = bench(do("bash", command="echo 'error: none'; exit 3"), do("view", path="shop.py"), "Done.")
    one.turn("Look.")
    kept = [record["call"] for record in one.session.records if "call" in record and record["kind"] == "message"]
    assert kept == [
        {"kind": "execute", "ok": False, "exit_code": 3}, {"kind": "read", "ok": True, "exit_code": None},
    ]  # fmt: skip
