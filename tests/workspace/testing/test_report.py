"""What test runs say, read from the output of real ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inhouse.workspace import CommandResult, Unconfined
from inhouse.workspace.testing.command import TestKind
from inhouse.workspace.testing.report import Place, TestReport, read_report, renumbered
from inhouse.workspace.testing.runners import go_folder, go_modules

PYTEST = (sys.executable, "-m", "pytest", "-vv", "--no-header", "--color=no", "--tb=short", "-p", "no:cacheprovider")
MODULE = "def half(x):\n    return x / 0\n"


def outcome(root: Path, kind: TestKind, command: tuple[str, ...], known: set[str]) -> TestReport:
    return read_report(Unconfined(root).run(command, timeout=60), kind, root, known)


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
    got = read_report(result, "pytest", root, set())
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
        (GO, "TestTotal", "TestTotal", "got -3, want 3", Place("shop_test.go", 8), 2),
        (CARGO, "tests::total", "total", "  left: -3", Place("src/lib.rs", 10), 2),
        (JEST, "shop › total", "total", "Received: -3", Place("shop.test.js", 4), 2),
        (TAP, "total", "total", "-3 !== 3", Place("shop.test.js", 5), 2),
    ],
)
def test_runners_of_other_languages(output: str, id: str, name: str, said: str, place: Place, ran: int | None) -> None:
    known = {"shop_test.go", "src/lib.rs", "shop.test.js"}
    got = read_report(CommandResult(1, output, 1.0), "other", Path("/work"), known)
    (failure,) = got.failures
    assert (failure.id, failure.name, got.ran) == (id, name, ran)
    assert said in failure.message
    assert "none" not in failure.message
    assert place in failure.places


# Recorded from go 1.27; only its own folder and the repository's have other names here.
GO_PACKAGES = """\
--- FAIL: TestTotal (0.00s)
    shop_test.go:7: got -2, want 3
FAIL
FAIL\texample.com/shop\t0.003s
--- FAIL: TestTotal (0.00s)
    --- FAIL: TestTotal/change (0.00s)
        shop_test.go:8: got -2, want 2
--- FAIL: TestFirst (0.00s)
panic: runtime error: index out of range [0] with length 0 [recovered, repanicked]

goroutine 9 [running]:
testing.tRunner.func1.2({0x6ce730, 0x1e32160a20c0})
\t/usr/local/go/src/testing/testing.go:2125 +0x232
testing.tRunner.func1()
\t/usr/local/go/src/testing/testing.go:2128 +0x329
panic({0x6ce730?, 0x1e32160a20c0?})
\t/usr/local/go/src/runtime/panic.go:859 +0x125
example.com/shop/internal/till.First(...)
\t/work/internal/till/till.go:3
example.com/shop/internal/till.TestFirst(0x1e32161ac908?)
\t/work/internal/till/shop_test.go:16 +0xa
testing.tRunner(0x1e32161ac908, 0x6d9e88)
\t/usr/local/go/src/testing/testing.go:2195 +0xea
created by testing.(*T).Run in goroutine 1
\t/usr/local/go/src/testing/testing.go:2260 +0x4d4
FAIL\texample.com/shop/internal/till\t0.012s
FAIL
"""
GO_BUILD = """\
# example.com/svc/pkg [example.com/svc/pkg.test]
pkg/pkg.go:3:25: undefined: one
FAIL\texample.com/svc/pkg [build failed]
FAIL
"""
MODULES = {"example.com/svc": "svc", "example.com/shop": ""}
GO_FILES = {
    "shop_test.go", "internal/till/shop_test.go", "internal/till/till.go", "svc/pkg/pkg.go", "pkg/other.go",
}  # fmt: skip


def test_go_names_files_relative_to_their_package() -> None:
    got = read_report(CommandResult(1, GO_PACKAGES, 1.0), "other", Path("/work"), GO_FILES, MODULES)
    assert [(one.id, one.places) for one in got.failures] == [
        ("TestTotal", (Place("shop_test.go", 7),)),
        ("TestTotal", ()),
        ("TestTotal/change", (Place("internal/till/shop_test.go", 8),)),
        ("TestFirst", (Place("internal/till/shop_test.go", 16), Place("internal/till/till.go", 3))),
    ]
    assert "index out of range" in got.failures[-1].message
    without = read_report(CommandResult(1, GO_PACKAGES, 1.0), "other", Path("/work"), GO_FILES)
    assert without.failures[2].places == (Place("shop_test.go", 8),)  # where it is not known what a package is


def test_what_does_not_compile_in_a_module_below_the_root() -> None:
    got = read_report(CommandResult(1, GO_BUILD, 1.0), "other", Path("/work"), GO_FILES, MODULES)
    assert got.failures[0].places == (Place("svc/pkg/pkg.go", 3),)


def test_go_modules_and_their_packages(tmp_path: Path) -> None:
    texts = {
        "go.mod": "// ours\nmodule example.com/shop // import\n\ngo 1.20\n",
        "svc/go.mod": 'module "example.com/shop/v2"\n',
        "odd/go.mod": "go 1.20\n",
    }
    for path, text in texts.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(text)
    modules = go_modules(tmp_path, [*texts, "gone/go.mod", "a.go"])
    assert modules == {"example.com/shop": "", "example.com/shop/v2": "svc"}
    packages = {
        "example.com/shop": "", "example.com/shop/a/b": "a/b", "example.com/shop/v2": "svc",
        "example.com/shop/v2/c": "svc/c", "example.com/shopping": None, "fmt": None, "": None,
    }  # fmt: skip
    assert {package: go_folder(package, modules) for package in packages} == packages


def test_lines_are_counted_as_files_are_shown(root: Path) -> None:
    (root / "a.js").write_text("const s = '\u2028';\n// \r x\nthrow new Error(s);\n")
    (root / "m.py").write_bytes(b"a = 1\rb = 2\r\nraise ValueError\n")
    said = "python m.py; echo '    at f (a.js:5:7)'; exit 1".replace("python", sys.executable)
    got = outcome(root, "other", ("sh", "-c", said), {"a.js", "m.py"})
    (failure,) = renumbered(got, lambda path: (root / path).read_bytes().decode()).failures
    assert failure.places == (Place("m.py", 2), Place("a.js", 3))
