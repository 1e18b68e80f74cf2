"""What test runs say, read from the output of real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inhouse.agent.outcome import Outcome, Place, read_outcome
from inhouse.workspace import CommandResult, Unconfined
from inhouse.workspace.project import TestKind

PYTEST = (sys.executable, "-m", "pytest", "-vv", "--no-header", "--color=no", "--tb=short", "-p", "no:cacheprovider")
MODULE = "def half(x):\n    return x / 0\n"


def outcome(root: Path, kind: TestKind, command: tuple[str, ...], known: set[str]) -> Outcome:
    return read_outcome(Unconfined(root).run(command, timeout=60), kind, root, known)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "m.py").write_text(MODULE)
    return tmp_path


def test_pytest_failures_with_places_and_messages(root: Path) -> None:
    (root / "test_m.py").write_text(
        "import pytest\nfrom m import half\n\nclass TestHalf:\n    def test_one(self):\n        half(1)\n\n"
        "@pytest.mark.parametrize('x', [[1, 2]])\ndef test_two(x):\n    assert x == [1, 3]\n\n"
        "def test_three():\n    pass\n\n@pytest.mark.skip\ndef test_four():\n    pass\n"
    )
    got = outcome(root, "pytest", PYTEST, {"m.py", "test_m.py"})
    assert (got.passed, got.ran) == (False, 3)
    one, two = sorted(got.failures, key=lambda failure: failure.name)
    assert (one.id, one.name) == ("test_m.py::TestHalf::test_one", "test_one")
    assert one.places[-1] == Place("m.py", 2)
    assert one.message == "ZeroDivisionError: division by zero"
    assert two.name == "test_two"
    assert two.message.startswith("assert [1, 2] == [1, 3]")
    assert "Full diff" not in two.message
    assert got.failing == {one.id, two.id}


def test_pytest_that_passes(root: Path) -> None:
    (root / "test_m.py").write_text("def test_one():\n    pass\n")
    got = outcome(root, "pytest", PYTEST, {"m.py"})
    assert (got.passed, got.ran, got.failures, got.summary) == (True, 1, (), "")


def test_pytest_that_cannot_collect(root: Path) -> None:
    (root / "test_m.py").write_text("from m import double\n")
    got = outcome(root, "pytest", PYTEST, {"m.py", "test_m.py"})
    assert not got.passed
    assert got.failures[0].id == "test_m.py"
    assert "cannot import name 'double'" in got.failures[0].message


def test_unittest(root: Path) -> None:
    (root / "test_m.py").write_text(
        "import unittest\nfrom m import half\n\nclass Half(unittest.TestCase):\n    def test_one(self):\n"
        "        half(1)\n    def test_two(self):\n        self.assertEqual(1, 2)\n"
        "    def test_three(self):\n        pass\n"
    )
    got = outcome(root, "unittest", (sys.executable, "-m", "unittest"), {"m.py", "test_m.py"})
    assert (got.passed, got.ran) == (False, 3)
    assert got.failing == {"test_m.Half.test_one", "test_m.Half.test_two"}
    one = next(failure for failure in got.failures if failure.name == "test_one")
    assert one.message == "ZeroDivisionError: division by zero"
    assert Place("m.py", 2) in one.places


def test_unittest_that_passes(root: Path) -> None:
    (root / "test_m.py").write_text(
        "import unittest\n\nclass A(unittest.TestCase):\n    def test_a(self):\n        pass\n"
    )
    got = outcome(root, "unittest", (sys.executable, "-m", "unittest"), {"m.py"})
    assert (got.passed, got.ran, got.failures) == (True, 1, ())


def test_any_other_command_still_names_places(root: Path) -> None:
    got = outcome(root, "other", ("sh", "-c", "echo ./m.py:2: wrong; echo gone.py:1; exit 3"), {"m.py"})
    assert (got.passed, got.exit_code, got.ran) == (False, 3, None)
    assert got.failures[0].places == (Place("m.py", 2),)
    assert "m.py:2: wrong" in got.summary


def test_a_run_that_was_stopped_says_so(root: Path) -> None:
    result = Unconfined(root).run([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.5)
    got = read_outcome(result, "pytest", root, set())
    assert not got.passed
    assert got.summary == "the tests were stopped: timeout"


def test_long_messages_are_shortened(root: Path) -> None:
    (root / "test_m.py").write_text("def test_one():\n    assert False, '\\n'.join(map(str, range(500)))\n")
    got = outcome(root, "pytest", PYTEST, {"test_m.py"})
    assert len(got.failures[0].message.splitlines()) <= 30


GO = """\
=== RUN   TestTotal
--- FAIL: TestTotal (0.00s)
    shop_test.go:8: got -3, want 3
=== RUN   TestNone
--- PASS: TestNone (0.00s)
FAIL
exit status 1
FAIL\tshop\t0.002s
"""
CARGO = """\
running 2 tests
test tests::none ... ok
test tests::total ... FAILED

failures:

---- tests::total stdout ----
thread 'tests::total' panicked at src/lib.rs:10:9:
assertion `left == right` failed
  left: -3
 right: 3


failures:
    tests::total

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s
"""
JEST = """\
FAIL ./shop.test.js
  shop
    ✕ total (3 ms)
    ✓ none

  ● shop › total

    expect(received).toBe(expected)

    Expected: 3
    Received: -3

      at Object.toBe (shop.test.js:4:20)

Test Suites: 1 failed, 1 total
Tests:       1 failed, 1 passed, 2 total
"""
TAP = """\
TAP version 13
not ok 1 - total
  ---
  location: '/work/shop.test.js:5:1'
  error: '-3 !== 3'
  ...
ok 2 - none
# tests 2
"""


@pytest.mark.parametrize(
    ("output", "id", "name", "said", "place", "ran"),
    [
        (GO, "TestTotal", "TestTotal", "got -3, want 3", Place("shop_test.go", 8), None),
        (CARGO, "tests::total", "total", "  left: -3", Place("src/lib.rs", 10), 2),
        (JEST, "shop › total", "total", "Received: -3", Place("shop.test.js", 4), 2),
        (TAP, "total", "total", "-3 !== 3", Place("shop.test.js", 5), 2),
    ],
)
def test_runners_of_other_languages(output: str, id: str, name: str, said: str, place: Place, ran: int | None) -> None:
    known = {"shop_test.go", "src/lib.rs", "shop.test.js"}
    got = read_outcome(CommandResult(1, output, 1.0), "other", Path("/work"), known)
    (failure,) = got.failures
    assert (failure.id, failure.name, got.ran) == (id, name, ran)
    assert said in failure.message
    assert "none" not in failure.message
    assert place in failure.places
