"""Runs of tests that hang, crash or use all memory: each is a failing test like any other, and the rest runs on."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from inhouse.workspace import Unconfined
from inhouse.workspace.testing.command import TestCommand, TestKind
from inhouse.workspace.testing.outcomes import OutcomeNotes, Selection
from inhouse.workspace.testing.report import Failure, TestReport
from inhouse.workspace.testing.run import run_tests

PROGRAM = """\
import ctypes


def spin():
    while True:
        pass


def crash():
    ctypes.string_at(0)


def eat():
    return bytearray(3 << 30)


def deep():
    return deep()


def fail():
    return 1 / 0
"""
CASES = "import unittest\n\nimport m\n\n\nclass Case(unittest.TestCase):\n" + "".join(
    f"    def test_{name}(self):\n        m.{name}()\n\n" for name in ("spin", "crash", "eat", "deep", "fail")
)
CASES += "    def test_value(self):\n        self.assertEqual(3, 4)\n\n    def test_right(self):\n        pass\n"
RUNNERS: Mapping[TestKind, str] = {"pytest": "-m pytest -q -x", "unittest": "-m unittest"}


def run(
    root: Path,
    kind: TestKind = "pytest",
    selection: Selection = Selection(limit=2.0),
    line: str | None = None,
) -> TestReport:
    notes = OutcomeNotes(root.parent / "recorder", root, root)
    known = {path.relative_to(root).as_posix() for path in root.rglob("*.py")}
    command = TestCommand(line or f"{sys.executable} {RUNNERS[kind]}", kind)
    return run_tests(
        Unconfined(root), command, notes, timeout=250, environment={}, known=known, modules={}, place=root,
        selection=selection,
    )  # fmt: skip


def by_name(report: TestReport) -> dict[str, Failure]:
    return {failure.name: failure for failure in report.failures}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    (root / "m.py").write_text(PROGRAM)
    return root


@pytest.mark.parametrize("kind", ["pytest", "unittest"])
def test_hangs_and_crashes_are_failures_like_others(root: Path, kind: TestKind) -> None:
    (root / "test_m.py").write_text(CASES)
    report = run(root, kind)
    assert (report.passed, report.stopped, report.ran) == (False, None, 7)
    found = by_name(report)
    assert {name: failure.kind for name, failure in found.items()} == {
        "test_spin": "timeout", "test_crash": "crash", "test_eat": "exception", "test_deep": "exception",
        "test_fail": "exception", "test_value": "assertion",
    }  # fmt: skip
    assert re.match(r"the test was still running after \d+ s, at m.py:[56] in spin", found["test_spin"].reason)
    assert found["test_crash"].reason == "Segmentation fault, at m.py:10 in crash"
    assert found["test_eat"].reason == "MemoryError at `return bytearray(3 << 30)` at m.py:14 in eat"
    assert found["test_deep"].exception == "RecursionError"
    assert found["test_fail"].reason == "ZeroDivisionError: division by zero at m.py:22 in fail"
    assert found["test_value"].reason == "AssertionError: 3 != 4"
    for name, line in (("test_spin", {5, 6}), ("test_crash", {10}), ("test_deep", {18}), ("test_fail", {22})):
        innermost = found[name].innermost
        assert innermost is not None
        assert (innermost.path, innermost.line in line) == ("m.py", True)
    ended = [test.seconds for test in report.tests.values() if test.outcome == "passed"]
    assert len(ended) == 1
    assert ended[0] is not None


def test_a_loop_that_no_exception_ends_is_ended_with_its_process(root: Path) -> None:
    (root / "m.py").write_text("def spin():\n    return sum(iter(int, 1))\n")
    (root / "test_m.py").write_text("import m\n\ndef test_spin():\n    m.spin()\n\ndef test_right():\n    pass\n")
    report = run(root)
    (failure,) = report.failures
    assert (failure.kind, report.ran) == ("timeout", 2)
    assert failure.reason.endswith("at m.py:2 in spin")


def test_what_a_runner_that_starts_pytest_runs_is_recorded(root: Path) -> None:
    (root / "test_m.py").write_text(
        "import m\n\ndef test_fail():\n    m.fail()\n\ndef test_fixture(nowhere):\n    pass\n"
    )
    (root / "test_gone.py").write_text("import gone_library\n")
    (root / "Makefile").write_text(f"check:\n\t@{sys.executable} -m pytest -q 2>/dev/null | tail -1; exit 1\n")
    report = run(root, "other", line="make check")
    found = {failure.id: failure for failure in report.failures}
    assert found["test_m.py::test_fail"].exception == "ZeroDivisionError"
    assert (found["test_m.py::test_fixture"].kind, found["test_m.py::test_fixture"].reason) == (
        "fixture", "fixture 'nowhere' not found",
    )  # fmt: skip
    gone = found["test_gone.py"]
    assert (gone.kind, gone.reason) == ("collection", "ModuleNotFoundError: No module named 'gone_library'")
    assert gone.raised is not None
    assert gone.raised.name == "gone_library"


def test_some_tests_of_any_command_can_be_run_alone(root: Path) -> None:
    (root / "test_m.py").write_text(CASES)
    chosen = frozenset(["test_m.py::Case::test_value", "test_m.py::Case::test_right"])
    report = run(root, selection=Selection(only=chosen, first=("test_m.py::Case::test_value",)))
    assert list(report.tests) == ["test_m.py::Case::test_value", "test_m.py::Case::test_right"]
    assert report.failing == {"test_m.py::Case::test_value"}


def test_tests_that_start_tests_record_themselves_alone(root: Path) -> None:
    (root / "test_inner.py").write_text("def test_inner():\n    assert False\n")
    outer = (
        "import subprocess, sys\n\ndef test_outer():\n    line = [sys.executable, '-m', 'pytest', 'test_inner.py']\n"
    )
    (root / "test_outer.py").write_text(
        f"{outer}    assert subprocess.run(line, capture_output=True).returncode == 1\n"
    )
    report = run(root, line=f"{sys.executable} -m pytest -q test_outer.py")
    assert (report.passed, list(report.tests)) == (True, ["test_outer.py::test_outer"])


@pytest.mark.parametrize("kind", ["pytest", "unittest"])
def test_a_run_ends_once_more_tests_fail_than_before(root: Path, kind: TestKind) -> None:
    cases = "".join(
        f"    def test_{n:02}(self):\n        self.assertEqual({n}, {n if n > 9 else 0})\n\n" for n in range(1, 20)
    )
    (root / "test_m.py").write_text(f"import unittest\n\n\nclass Case(unittest.TestCase):\n{cases}")
    everything = run(root, kind)
    assert (everything.ran, len(everything.failing)) == (19, 9)
    known = frozenset(id for id in everything.failing if id.endswith(("_01", "_02", "_03")))
    early = run(root, kind, Selection(known=known, new_failures=2))
    assert (early.ran, len(early.failing), early.passed) == (6, 6, False)
    assert early.failures[0].message.startswith("AssertionError: 1 != 0")
    same = run(root, kind, Selection(known=everything.failing, new_failures=0))
    assert (same.ran, same.failing) == (19, everything.failing)
