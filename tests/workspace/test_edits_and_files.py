"""Edits as models write them, files that stay inside, functions by syntax tree, commands found, calls recorded."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inhouse.errors import WorkspaceError
from inhouse.workspace import Unconfined, files, source
from inhouse.workspace.edits import EditError, SearchReplace, apply_search_replace, fenced_blocks
from inhouse.workspace.lines import applied
from inhouse.workspace.replace import replacements
from inhouse.workspace.testing.calls import CallNotes, Calls
from inhouse.workspace.testing.command import given_command, python_command

TEXT = "def a():\n    x = 1\n    return x\n\ndef b():\n    x = 2\n    return x\n"


def test_a_search_part_that_is_indented_otherwise_still_fits() -> None:
    new = apply_search_replace(TEXT, SearchReplace("x = 2\nreturn x\n", "x = 3\nif x:\n    return x\n"))
    assert new.endswith("def b():\n    x = 3\n    if x:\n        return x\n")


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        ("  one\n  two\n", "one\n", "", "  two\n"),
        ("  one\n  two", "two\n", "", "  one"),
        ("a = 1  \nb = 2\n", "a = 1\nb = 2\n", "a = 1\nb = 3\n", "a = 1  \nb = 3\n"),
        ("one\nthree", "three\n", "four\n", "one\nfour"),
        ("one\nthree", "three", "four\n", "one\nfour\n"),
        ("f(1,\n\t  2)\n", "f(1,\n  2)", "f(1,\n  3)", "f(1,\n\t  3)\n"),
        ('s = "a  b"\nt = 1\n', 's = "a b"\nt = 1\n', 's = "a b"\nt = 2\n', 's = "a  b"\nt = 2\n'),
    ],
)
def test_a_replacement_changes_the_lines_it_means(text: str, old: str, new: str, expected: str) -> None:
    assert applied(text, replacements(text, old, new)) == expected


@pytest.mark.parametrize(
    ("search", "says"),
    [("    return x\n", "fits at lines 3, 7"), ("    x = 9\n", "the closest lines are\n"), ("\n", "is empty")],
)
def test_a_search_part_that_does_not_fit_once_is_answered_with_help(search: str, says: str) -> None:
    with pytest.raises(EditError, match=says):
        apply_search_replace(TEXT, SearchReplace(search, "y\n"))


def test_the_closest_lines_are_numbered() -> None:
    with pytest.raises(EditError, match=r"    6     x = 2"):
        apply_search_replace(TEXT, SearchReplace("x = 22\n    return xx\n", ""))


def test_blocks_also_without_an_end() -> None:
    assert fenced_blocks("a\n```py\none\n```\n~~~\ntwo\n~~~\n```\nthree") == ["one\n", "two\n", "three"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", ".git/config", "", "link"])
def test_no_path_leads_out(tmp_path: Path, path: str) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(WorkspaceError):
        files.locate(tmp_path, path)


def test_what_is_no_text_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "big").write_bytes(b"a" * (3 << 20))
    for name, says in (("x", "not UTF-8"), ("big", "too large"), ("none", "name a file")):
        with pytest.raises(WorkspaceError, match=says):
            files.read_text(tmp_path, name)


def test_files_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "b").write_text("in the way")
    with pytest.raises(WorkspaceError):
        files.replace_files(tmp_path, {"a": b"new", "b/c": b"new"})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "old", "b": "in the way"}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("tests/helpers.py", True), ("test_a.py", True), ("a_test.go", True), ("src/a.spec.ts", True),
        ("conftest.py", True), ("src/latest.py", False), ("contest.py", False), ("src/a.py", False),
    ],
)  # fmt: skip
def test_which_files_are_tests(path: str, expected: bool) -> None:
    assert files.is_test_file(path) is expected


@pytest.mark.parametrize(
    "path", ["pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg", "Makefile", "sitecustomize.py"]
)
def test_what_decides_tests_is_not_edited_either(path: str) -> None:
    assert files.decides_tests(path)


def test_functions_with_decorators_and_classes() -> None:
    text = "@d\ndef f():\n    pass\n\nclass C:\n    async def g(self):\n        pass\n\nif 1:\n    def h(): pass\n"
    found = source.functions("m.py", text)
    assert [(f.name, f.first, f.last) for f in found] == [("f", 1, 3), ("C.g", 6, 7), ("h", 10, 10)]
    assert source.functions("m.py", "def (") == []


def test_versions_that_differ_in_comments_alone_are_the_same() -> None:
    one = source.without_comments('def f():\n    """Doc."""\n    return (1)  # c\n')
    assert one == source.without_comments("def f():\n    '''Other'''\n\n    return 1\n")
    assert one != source.without_comments("def f():\n    return 2\n")


@pytest.mark.parametrize(
    ("paths", "has_pytest", "expected"),
    [
        ({"a.py": "", "tests/test_a.py": ""}, True, "pytest"),
        ({"a.py": "", "tests/test_a.py": "import unittest\n"}, False, "unittest"),
        ({"a.py": "", "tests/test_a.py": "def test(): pass\n"}, False, None),
        ({"a.py": ""}, True, None),
    ],
)
def test_how_tests_are_run_is_found(paths: dict[str, str], has_pytest: bool, expected: str | None) -> None:
    command = python_command(paths, paths.__getitem__, "python3", has_pytest=has_pytest)
    assert (command.kind if command else None) == expected


def test_a_given_command_is_read_as_what_it_runs() -> None:
    kinds = [given_command(line).kind for line in ("pytest -x", "python -m unittest", "make check")]
    assert kinds == ["pytest", "unittest", "other"]
    with pytest.raises(WorkspaceError, match="empty"):
        given_command(" ")


def recorded(tmp_path: Path, test: str) -> Calls:
    root = tmp_path / "work"
    root.mkdir()
    (root / "m.py").write_text("def double(x):\n    return 2 * x\n\n\ndef count(n):\n    yield from range(n)\n")
    (root / "test_m.py").write_text("import unittest\nfrom m import *\n\nclass T(unittest.TestCase):\n" + test)
    notes = CallNotes(tmp_path / "recorder", root, root)
    variables = notes.prepare(["test_a"])
    Unconfined(root).run([sys.executable, "-m", "unittest"], timeout=60, environment=variables)
    return notes.read()


def test_calls_of_a_test_with_their_values(tmp_path: Path) -> None:
    calls = recorded(
        tmp_path, "    def test_a(self):\n        double(3); list(count(2))\n    def test_b(self):\n        double(1)\n"
    )
    assert calls.covered["test_m.py::test_a"] == {("m.py", 1), ("m.py", 5)}
    assert calls.covered["test_m.py::test_b"] == {("m.py", 1)}
    assert set(calls.calls) == {"test_m.py::test_a"}
    double, count = calls.calls["test_m.py::test_a"]
    assert (double.name, double.arguments, double.result) == ("double", {"x": "3"}, "6")
    assert (count.name, count.yields) == ("count", ("0", "1"))


def test_what_ran_before_a_test_that_ends_the_process_is_known(tmp_path: Path) -> None:
    calls = recorded(
        tmp_path,
        "    def test_a(self):\n        import time; double(1); time.sleep(1.1)\n"
        "    def test_b(self):\n        import os; os._exit(3)\n",
    )
    assert calls.covered["test_m.py::test_a"] == {("m.py", 1)}
    assert ("m.py", 2) in calls.lines["test_m.py::test_a"]


def test_lines_that_a_test_ran_and_what_its_set_up_called(tmp_path: Path) -> None:
    calls = recorded(
        tmp_path,
        "    def setUp(self):\n        self.two = double(1)\n"
        "    def test_a(self):\n        list(count(self.two))\n    def test_b(self):\n        pass\n",
    )
    assert calls.lines["test_m.py::test_a"] >= {("m.py", 5), ("m.py", 6)}
    assert ("m.py", 6) not in calls.lines["test_m.py::test_b"]
    assert calls.covered["test_m.py::test_b"] == {("m.py", 1)}


def test_a_coroutine_is_one_test_from_its_first_step_to_its_last(tmp_path: Path) -> None:
    calls = recorded(
        tmp_path,
        "    def test_a(self):\n        import asyncio\n        asyncio.run(self.test_inner())\n"
        "    async def test_inner(self):\n        import asyncio\n        await asyncio.sleep(0)\n        double(2)\n"
        "    def test_z(self):\n        list(count(1))\n",
    )
    assert ("m.py", 1) in calls.covered["test_m.py::test_a"]
    assert calls.covered["test_m.py::test_z"] == {("m.py", 5)}


def test_a_call_that_raised_has_no_result(tmp_path: Path) -> None:
    calls = recorded(tmp_path, "    def test_a(self):\n        double(None)\n")
    assert calls.calls["test_m.py::test_a"][0].result is None


def test_notes_that_the_program_forged_are_left_out(tmp_path: Path) -> None:
    notes = CallNotes(tmp_path / "recorder", tmp_path, tmp_path)
    notes.prepare([])
    path = tmp_path / ".inhouse-calls"
    path.write_text(
        'nonsense\n[1]\n{"covered": {"t": ["x"]}, "calls": {}}\n{"covered": {"t": ["m.py:1"]}, "calls": {}}\n'
    )
    assert notes.read().covered["t"] == {("m.py", 1)}
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert notes.read() == Calls()
