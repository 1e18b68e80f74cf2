"""Every tool, as a model meets it: through the loop, with what it is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agent_kit import REPAIR, MakeBench, answer, call, do, say

from inhouse.agent.steps import Calling, Planned
from inhouse.agent.tools.folding import fold
from inhouse.client.types import ToolCall
from inhouse.workspace.search import glob_filter

GOOD = "    for price in prices:\n        result += price"


class TestBash:
    def test_output_and_exit_code(self, bench: MakeBench) -> None:
        said = say(bench, [do("bash", command="echo out; echo err >&2; exit 0"), do("bash", command="false")])
        assert "out\nerr" in said[0]
        assert said[1] == "[exit code 1]"

    def test_the_shell_stays(self, bench: MakeBench) -> None:
        said = say(bench, [do("bash", command="mkdir d; cd d; x=kept"), do("bash", command="echo $x; basename $PWD")])
        assert said == ["[no output, exit code 0]", "kept\nd"]

    def test_exit_begins_a_new_shell_in_the_same_directory(self, bench: MakeBench) -> None:
        commands = ["mkdir d; cd d", "exit 3", "basename $PWD"]
        said = say(bench, [do("bash", command=command) for command in commands])
        assert "[exit code 3]" in said[1]
        assert "a new one begins in" in said[1]
        assert said[2] == "d"

    def test_timeout_kills_the_command_and_not_the_shell(self, bench: MakeBench) -> None:
        said = say(bench, [do("bash", command="word=kept; sleep 60", timeout=1), do("bash", command="echo $word")])
        assert "[killed after 1 s;" in said[0]
        assert said[1] == "kept"

    def test_long_output_is_folded(self, bench: MakeBench) -> None:
        (said,) = say(bench, [do("bash", command="seq 1 5000")])
        assert said.startswith("1\n2\n")
        assert said.endswith("\n5000")
        assert "lines left out] ..." in said
        assert len(said.splitlines()) == 201

    def test_a_command_that_wants_input_gets_none(self, bench: MakeBench) -> None:
        assert say(bench, [do("bash", command="read x; echo got:$x")]) == ["got:"]


def test_folding_keeps_short_text_and_cuts_long_lines() -> None:
    assert fold("a\nb\n") == "a\nb"
    assert fold("x" * 3000) == "x" * 1000 + " ... [2000 characters]"
    folded = fold("\n".join("y" * 500 for _ in range(100)))
    assert len(folded) < 16_100
    assert "lines left out" in folded


class TestView:
    def test_a_file_with_numbers(self, bench: MakeBench) -> None:
        (said,) = say(bench, [do("view", path="shop.py", start=2, end=3)])
        assert said == "    2\t    result = 0\n    3\t    for price in prices:\n[lines 2-3 of 5; go on with start = 4]"

    def test_an_absolute_path(self, bench: MakeBench, root: Path) -> None:
        assert "def total" in say(bench, [do("view", path=str(root / "shop.py"))])[0]

    def test_a_folder_without_what_git_ignores(self, bench: MakeBench, root: Path) -> None:
        (root / "ignored").mkdir()
        (root / "ignored" / "x").write_text("")
        (root / "lib" / "deep" / "er").mkdir(parents=True)
        (root / "lib" / "deep" / "er" / "a.py").write_text("")
        (said,) = say(bench, [do("view", path=".")])
        assert said == "lib/  (1 files)\nlib/deep/  (1 files)\nshop.py\ntest_shop.py"

    def test_a_long_file_comes_in_pages(self, bench: MakeBench, root: Path) -> None:
        (root / "long.txt").write_text("line\n" * 1000)
        said = say(bench, [do("view", path="long.txt"), do("view", path="long.txt", start=801)])
        assert "[lines 1-400 of 1000; go on with start = 401]" in said[0]
        assert said[1].splitlines()[-1] == " 1000\tline"

    def test_a_wrong_path_names_the_right_one(self, bench: MakeBench, root: Path) -> None:
        (root / "lib").mkdir()
        (root / "lib" / "util.py").write_text("x = 1\n")
        said = say(bench, [do("view", path="util.py"), do("view", path="shop.py", start=99)])
        assert "did you mean lib/util.py?" in said[0]
        assert "shop.py has 5 lines" in said[1]

    @pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "door"])
    def test_nothing_outside(self, bench: MakeBench, root: Path, path: str) -> None:
        (root.parent / "secret").write_text("mine")
        (root / "door").symlink_to(root.parent / "secret")
        (said,) = say(bench, [do("view", path=path)])
        assert "outside the workspace" in said
        assert "mine" not in said

    def test_what_is_no_text_is_said_to_be_none(self, bench: MakeBench, root: Path) -> None:
        (root / "image").write_bytes(b"\xff\xfe\x00")
        assert "not UTF-8" in say(bench, [do("view", path="image")])[0]


class TestEdit:
    def test_str_replace(self, bench: MakeBench, root: Path) -> None:
        (said,) = say(bench, [do("str_replace", **REPAIR)])[:1]
        assert "result += price" in (root / "shop.py").read_text()
        assert said.startswith("edited shop.py\n")
        assert "    4\t        result += price" in said

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("    3\t    for price in prices:\n    4\t        result -= price", GOOD),
            ("for price in prices:\n    result -= price", "for price in prices:\n    result += price"),
            ("        result -= price   \n", "        result += price\n"),
            ("    for price in prices:\\n        result -= price", GOOD.replace("\n", "\\n")),
        ],
        ids=["line numbers", "indentation", "trailing blanks", "escaped line ends"],
    )  # fmt: skip
    def test_what_models_get_wrong_is_put_right(self, bench: MakeBench, root: Path, old: str, new: str) -> None:
        say(bench, [do("str_replace", path="shop.py", old_str=old, new_str=new)])
        assert "    for price in prices:\n        result += price\n    return" in (root / "shop.py").read_text()

    def test_a_miss_shows_the_closest_lines(self, bench: MakeBench, root: Path) -> None:
        (said,) = say(bench, [do("str_replace", path="shop.py", old_str="    result -= prize\n", new_str="x")])
        assert "old_str is nowhere in the file; the closest lines are" in said
        assert "    4         result -= price" in said

    def test_two_places_are_named(self, bench: MakeBench, root: Path) -> None:
        (root / "two.py").write_text("a = 1\nb = 2\na = 1\n")
        edit = {"path": "two.py", "old_str": "a = 1", "new_str": "a = 3"}
        said = say(bench, [do("str_replace", **edit), do("str_replace", **edit, replace_all=True)])
        assert "old_str is there 2 times, at lines 1, 3" in said[0]
        assert (root / "two.py").read_text() == "a = 3\nb = 2\na = 3\n"

    def test_insert(self, bench: MakeBench, root: Path) -> None:
        (root / "n.txt").write_text("one\nthree")
        said = say(
            bench,
            [
                do("insert", path="n.txt", line=1, text="two"),
                do("insert", path="n.txt", line=3, text="four\n"),
                do("insert", path="n.txt", line=9, text="x"),
            ],
        )
        assert (root / "n.txt").read_text() == "one\ntwo\nthree\nfour\n"
        assert "n.txt has 4 lines; insert after line 0 to 4" in said[2]

    def test_create(self, bench: MakeBench, root: Path) -> None:
        said = say(
            bench,
            [
                do("create", path="new/file.py", content="x = 1\n"),
                do("create", path="shop.py", content="gone"),
                do("create", path="new/file.py", content="x = 2\n", overwrite=True),
            ],
        )
        assert said[0] == "created new/file.py"
        assert "is there already" in said[1]
        assert (root / "new" / "file.py").read_text() == "x = 2\n"

    def test_a_syntax_error_is_told_at_once(self, bench: MakeBench) -> None:
        said = say(
            bench,
            [
                do("str_replace", path="shop.py", old_str="for price in prices:", new_str="for price in prices"),
                do("create", path="a.json", content="{,}"),
                do("create", path="a.toml", content="a = = 1"),
            ],
        )
        assert "[syntax error in shop.py: line 3: expected ':'; correct it now]" in said[0]
        assert "[syntax error in a.json" in said[1]
        assert "[syntax error in a.toml" in said[2]

    @pytest.mark.parametrize(
        ("path", "good", "bad"),
        [
            ("a.js", "function f() {\n  return 1;\n}\n", "function f() {\n  return (1;\n}\n"),
            ("a.ts", "const x: number = 1;\n", "const x: = 1;\n"),
            ("a.go", "package p\n\nfunc F() int {\n\treturn 1\n}\n", "package p\n\nfunc F() int {\n\treturn 1\n"),
            ("a.rs", "fn f() -> u8 { 1 }\n", "fn f() -> u8 { 1 \n"),
        ],
    )  # fmt: skip
    def test_so_is_one_of_another_language_that_was_not_there(
        self, bench: MakeBench, path: str, good: str, bad: str
    ) -> None:
        texts = [good, bad, bad + "\n"]
        said = say(bench, [do("create", path=path, content=text, overwrite=True) for text in texts])
        assert ["does not parse any more" in one for one in said[:3]] == [False, True, False]

    def test_line_ends_and_mode_stay(self, bench: MakeBench, root: Path) -> None:
        (root / "dos.sh").write_bytes(b"one\r\ntwo\r\n")
        (root / "dos.sh").chmod(0o755)
        say(bench, [do("str_replace", path="dos.sh", old_str="two", new_str="2")])
        assert (root / "dos.sh").read_bytes() == b"one\r\n2\r\n"
        assert (root / "dos.sh").stat().st_mode & 0o777 == 0o755

    @pytest.mark.parametrize(
        "path",
        [
            ".git/hooks/pre-commit",
            ".git/config",
            ".bashrc",
            "sub/.envrc",
            ".vscode/tasks.json",
            ".GIT/config",
            "link/config",
        ],
    )
    def test_places_that_programs_read_by_themselves_are_refused(self, bench: MakeBench, root: Path, path: str) -> None:
        (root / "link").symlink_to(root / ".git")
        before = (root / ".git" / "config").read_text()
        (said,) = say(bench, [do("create", path=path, content="evil", overwrite=True)])
        assert "is protected" in said
        assert (root / ".git" / "config").read_text() == before
        assert path == ".git/config" or path == "link/config" or not (root / path).exists()

    @pytest.mark.parametrize("path", ["../outside.py", "/tmp/inhouse-outside.py", "gate/x.py"])
    def test_nothing_outside_is_written(self, bench: MakeBench, root: Path, path: str) -> None:
        (root / "gate").symlink_to(root.parent)
        (said,) = say(bench, [do("create", path=path, content="x")])
        assert "outside the workspace" in said
        assert not (root.parent / "x.py").exists()

    def test_a_link_inside_is_followed_and_its_real_target_shown(self, bench: MakeBench, root: Path) -> None:
        (root / "alias.py").symlink_to(root / "shop.py")
        one = bench(do("str_replace", **{**REPAIR, "path": "alias.py"}), "done", "done")
        one.turn()
        (calling,) = one.of(Calling)
        assert calling.targets == (str(root / "shop.py"),)
        assert (root / "alias.py").is_symlink()
        assert "result += price" in (root / "shop.py").read_text()


class TestSearch:
    def test_lines_with_places(self, bench: MakeBench) -> None:
        (said,) = say(bench, [do("search", pattern=r"total\(\[")])
        assert said == "test_shop.py:5:    assert total([1, 2]) == 3\ntest_shop.py:9:    assert total([]) == 0"

    def test_ignored_hidden_and_binary_files_are_left_out(self, bench: MakeBench, root: Path) -> None:
        (root / "ignored").mkdir()
        for name in ("ignored/a", "b.log", ".hidden"):
            (root / name).write_text("needle\n")
        (root / "binary").write_bytes(b"needle\0")
        (root / "new.txt").write_text("needle\n")
        assert say(bench, [do("search", pattern="needle")]) == ["new.txt:1:needle"]

    def test_options(self, bench: MakeBench) -> None:
        said = say(
            bench,
            [
                do("search", pattern="TOTAL", ignore_case=True, files_only=True),
                do("search", pattern="total([", literal=True, glob="test_*.py"),
                do("search", pattern="total", glob="!test_*", path="."),
                do("search", pattern="("),
                do("search", pattern="nowhere"),
            ],
        )
        assert said[0] == "shop.py  (1 lines)\ntest_shop.py  (4 lines)"
        assert said[1].count("\n") == 1
        assert said[2] == "shop.py:1:def total(prices):"
        assert "is no regular expression" in said[3]
        assert said[4].startswith("no match")

    def test_many_files_are_searched_by_git_with_the_same_result(self, bench: MakeBench, root: Path) -> None:
        for number in range(250):
            (root / f"m{number:03}.txt").write_text("needle\n" if number % 100 == 7 else "hay\n")
        (said,) = say(bench, [do("search", pattern=r"need\w+")])
        assert said == "m007.txt:1:needle\nm107.txt:1:needle\nm207.txt:1:needle"


@pytest.mark.parametrize(
    ("glob", "yes", "no"),
    [
        ("*.py", ["a.py", "x/y.py"], ["a.pyc"]),
        ("src/**/*.ts", ["src/a.ts", "src/x/y/a.ts"], ["a.ts", "lib/src/a.ts"]),
        ("*.{js,ts}", ["a.js", "b/c.ts"], ["a.jsx"]),
        ("!*.md", ["a.py"], ["README.md", "docs/x.md"]),
        ("test_[ab]?.py", ["test_a1.py"], ["test_c1.py", "test_a.py"]),
        ("docs/", ["docs/a", "docs/b/c"], ["src/docs.py"]),
    ],
)
def test_globs_mean_what_they_mean_to_ripgrep(glob: str, yes: list[str], no: list[str]) -> None:
    wanted = glob_filter(glob)
    assert [path for path in [*yes, *no] if wanted.matches(path)] == yes


class TestRunTests:
    def test_failures_with_places(self, bench: MakeBench) -> None:
        (said,) = say(bench, [do("run_tests")])
        assert said.startswith("failed: 1 of 2 tests")
        assert "test_shop.py::test_total  at test_shop.py:5" in said
        assert "assert -3 == 3" in said

    def test_only_some(self, bench: MakeBench) -> None:
        (said,) = say(bench, [do("run_tests", tests=["test_shop.py::test_none"])])
        assert said.startswith("passed: 1 tests ran")

    def test_another_command(self, bench: MakeBench, root: Path) -> None:
        (said,) = say(bench, [do("run_tests", command="sh -c 'echo shop.py:3: wrong; exit 2'")])
        assert said.startswith("failed (exit code 2")
        assert "places: shop.py:3" in said

    def test_no_tests(self, bench: MakeBench, root: Path) -> None:
        (root / "test_shop.py").unlink()
        assert "no tests that can be run were found" in say(bench, [do("run_tests")])[0]

    @pytest.mark.parametrize(
        ("name", "text", "command"),
        [
            ("package.json", '{"scripts": {"test": "jest"}}', "npm test"),
            ("Cargo.toml", "[package]\n", "cargo test"),
            ("go.mod", "module x\n", "go test -v ./..."),
        ],
    )
    def test_other_languages(self, bench: MakeBench, root: Path, name: str, text: str, command: str) -> None:
        (root / "test_shop.py").unlink()
        (root / name).write_text(text)
        one = bench(do("run_tests"), "done", "done")
        one.turn()
        assert command in one.of(Calling)[0].title


class TestPlan:
    def test_todo(self, bench: MakeBench) -> None:
        items = [{"text": "look", "status": "completed"}, "repair"]
        one = bench(do("todo", items=items), "done", "done")
        one.turn()
        assert one.results() == ["[x] look\n[ ] repair"]
        assert [item.status for item in one.of(Planned)[0].items] == ["done", "pending"]
        assert [item.text for item in one.agent.journal.state.plan] == ["look", "repair"]

    def test_finish_ends_the_turn(self, bench: MakeBench) -> None:
        ended = bench(do("finish", summary="Nothing to do.")).turn()
        assert (ended.reason, ended.text) == ("finished", "Nothing to do.")

    def test_an_answer_without_calls_ends_it_too(self, bench: MakeBench) -> None:
        ended = bench("It sums prices.").turn("What does total do?")
        assert (ended.reason, ended.text, ended.answers) == ("answered", "It sums prices.", 1)


class TestArguments:
    def reply(self, bench: MakeBench, name: str, arguments: str) -> str:
        one = bench(answer(ToolCall("c", name, arguments)), "done", "done")
        one.turn()
        return one.results()[0]

    @pytest.mark.parametrize(
        ("name", "arguments", "said"),
        [
            ("bash", "{", "not valid JSON"),
            ("bash", "[]", "no JSON object"),
            ("bash", "{}", "'command' missing"),
            ("view", '{"path": "x", "depth": 3}', "there is no parameter 'depth'"),
            ("view", '{"path": "x", "start": "two"}', "'start' must be of type integer"),
            ("search", '{"pattern": "x", "literal": "perhaps"}', "'literal' must be of type boolean"),
        ],
    )
    def test_a_malformed_call_is_answered_with_the_form(
        self, bench: MakeBench, name: str, arguments: str, said: str
    ) -> None:
        text = self.reply(bench, name, arguments)
        assert said in text
        assert f"Call it exactly like this: {name} {{" in text

    def test_an_unknown_tool_names_the_closest(self, bench: MakeBench) -> None:
        text = self.reply(bench, "str_replac", "{}")
        assert "Did you mean str_replace?" in text
        assert "run_tests" in text

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("view", {"file_path": "shop.py", "start": "1"}),
            ("bash", {"cmd": "cat shop.py"}),
            ("search", {"query": "def total", "literal": "true"}),
        ],
    )
    def test_other_tools_names_for_parameters_are_understood(
        self, bench: MakeBench, name: str, arguments: dict[str, str]
    ) -> None:
        assert "def total" in self.reply(bench, name, json.dumps(arguments))


def test_several_calls_of_one_answer_run_in_order(bench: MakeBench, root: Path) -> None:
    one = bench(answer(call("bash", command="echo a > f"), call("bash", command="cat f"), text="Both."), "done", "done")
    one.turn()
    assert one.results() == ["[no output, exit code 0]", "a"]
