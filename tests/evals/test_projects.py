"""Repairs on real projects, with small ones made here: faults by the seed alone, issues that give nothing away, a judge
that runs the project's own tests, and reasons of misses that hold."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import confined
import pytest

from inhouse.errors import DownloadError, ParameterError
from inhouse.evals.projects.catalog import Project, load_catalog, select
from inhouse.evals.projects.issue import issue_text, title
from inhouse.evals.projects.measure import (
    Ended,
    Measure,
    Plan,
    about,
    as_record,
    from_record,
    judged,
    line_rank,
    measure,
    miss,
    rank,
)
from inhouse.evals.projects.prepare import Prepared, copy, fetch, unpack
from inhouse.evals.projects.report import to_json, to_markdown
from inhouse.evals.projects.seeding import Bug, program, seed_bugs
from inhouse.evals.projects.suites import Outcome, python, read_go, read_tap, read_unittest, run_suite
from inhouse.evals.records import Records
from inhouse.evals.tree_mutations import faults, is_sound, places
from needed import git_program

ROOT = Path(__file__).resolve().parents[2]
CATALOG = ROOT / "benchmarks" / "projects" / "projects.json"

STOCK = '''\
"""Counts what is in stock."""


def total(items):
    """The sum of the amounts."""
    result = 0
    for _, amount in items:
        result += amount
    return result


def missing(items, least):
    """The names of which there are fewer than `least`."""
    return [name for name, amount in items if amount < least]


def label(name, amount):
    """One line of a list."""
    if amount == 1:
        return f"one {name}"
    return f"{amount} {name}s"
'''
STOCK_TESTS = """\
import unittest

from stock.counting import label, missing, total

ITEMS = [("pen", 3), ("cup", 1), ("map", 7)]


class Counting(unittest.TestCase):
    def test_sum(self):
        self.assertEqual(total(ITEMS), 11)

    def test_nothing(self):
        self.assertEqual(total([]), 0)

    def test_few(self):
        self.assertEqual(missing(ITEMS, 3), ["cup"])

    def test_none_is_few(self):
        self.assertEqual(missing(ITEMS, 0), [])

    def test_one(self):
        self.assertEqual(label("pen", 1), "one pen")

    def test_many(self):
        self.assertEqual(label("pen", 2), "2 pens")

    def test_zero(self):
        self.assertEqual(label("pen", 0), "0 pens")
"""
PROJECT = Project(
    "stock", "pypi", "1.0", "stock-1.0.tar.gz", "0" * 64, "unittest", "dev",
    suite=f"{python()} -m unittest -v test_counting", program=("stock",),
)  # fmt: skip


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    if confined.problem():
        pytest.skip(confined.problem())
    git_program()
    root = tmp_path / "stock" / "repository"
    (root / "stock").mkdir(parents=True)
    (root / "stock" / "__init__.py").write_text("")
    (root / "stock" / "counting.py").write_text(STOCK)
    (root / "test_counting.py").write_text(STOCK_TESTS)
    clean = run_suite(PROJECT, root, confined=False)
    assert clean.clean
    assert len(clean.passed) == 7
    return Prepared(PROJECT, root, clean, ())


def by_hand(root: Path) -> Outcome:
    return run_suite(PROJECT, root, confined=False)


def bug_of(before: str, after: str, **fields: Any) -> Bug:
    """A bug in the stock's module; the faulty function is `missing` unless said otherwise."""
    assert before in STOCK
    line = STOCK[: STOCK.index(before)].count("\n") + 1
    text = STOCK.replace(before, after)
    stated = {
        "name": "stock-1", "project": "stock", "path": "stock/counting.py", "function": "missing", "first": 12,
        "last": 14, "line": line, "kind": "comparison", "before": before, "after": after, "text": text, "right": STOCK,
        "issue": "`test_few` fails:\n    AssertionError: ['pen', 'cup'] != ['cup']", "test": "test_few",
        "failing": ("test_few (test_counting.Counting.test_few)",), "tests": 7, "seconds": 0.1, "tried": 1,
    }  # fmt: skip
    return Bug(**{**stated, **fields})


BUG = bug_of("amount < least", "amount <= least")


def diff_of(old: str, new: str, path: str = "stock/counting.py") -> str:
    """A patch as git prints it."""
    import difflib

    lines = difflib.unified_diff(old.splitlines(True), new.splitlines(True), f"a/{path}", f"b/{path}")
    return "".join(lines)


def ended(status: str, reason: str = "", diff: str = "", events: list[Mapping[str, Any]] | None = None) -> Ended:
    result = {"event": "result", "status": status, "reason": reason, "diff": diff, "attempts": 3}
    return Ended(0 if diff else 3, (*(events or []), result), "", 12.0)


class TestCatalog:
    def test_there_are_enough_projects_of_each_kind_and_the_halves_are_alike(self) -> None:
        projects = load_catalog(CATALOG)
        counts = {kind: [p.half for p in projects if p.ecosystem == kind] for kind in ("pypi", "npm", "debian")}
        assert len(counts["pypi"]) >= 16
        assert len(counts["npm"]) >= 6
        assert len(counts["debian"]) >= 2
        for halves in counts.values():
            assert abs(halves.count("dev") - halves.count("held-out")) <= 1
        assert all(re.fullmatch("[0-9a-f]{64}", project.sha256) for project in projects)
        assert len({project.runner for project in projects}) >= 4

    def test_the_halves_take_turns_in_the_order_of_the_names(self) -> None:
        npm = [project for project in load_catalog(CATALOG) if project.ecosystem == "npm"]
        assert [project.name for project in npm] == sorted(project.name for project in npm)
        assert [project.half for project in npm] == ["dev", "held-out"] * (len(npm) // 2)

    def test_every_requirement_of_a_python_project_is_pinned(self) -> None:
        lock = (CATALOG.parent / "requirements.lock").read_text()
        for project in load_catalog(CATALOG):
            if project.ecosystem == "pypi":
                assert all(re.search(rf"(?m)^{name}==", lock) for name in project.requirements)
            else:
                assert all("@" in requirement for requirement in project.requirements)

    def test_nothing_of_an_unknown_name_or_kind_is_measured(self, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="no project is called 'nothing'"):
            select(load_catalog(CATALOG), None, ["nothing"])
        entry = {**asdict(PROJECT), "ecosystem": "cpan"}
        del entry["half"]
        (tmp_path / "projects.json").write_text(json.dumps({"projects": [entry]}))
        with pytest.raises(ParameterError, match="cpan"):
            load_catalog(tmp_path / "projects.json")

    def test_an_archive_that_is_another_one_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / PROJECT.file).write_bytes(b"something else")
        with pytest.raises(DownloadError, match=r"not 0{64}"):
            fetch(PROJECT, tmp_path)

    def test_an_archive_becomes_the_folder_of_the_project(self, tmp_path: Path) -> None:
        source = tmp_path / "stock-1.0"
        source.mkdir()
        (source / "setup.py").write_text("")
        archive = shutil.make_archive(str(tmp_path / "stock-1.0"), "gztar", tmp_path, "stock-1.0")
        (tmp_path / "place").mkdir()
        unpack(PROJECT, Path(archive), tmp_path / "place" / "repository")
        assert [path.name for path in (tmp_path / "place" / "repository").iterdir()] == ["setup.py"]


class TestSeeding:
    def test_the_seed_alone_draws_the_faults(self, prepared: Prepared, tmp_path: Path) -> None:
        first, again = (seed_bugs(prepared, 0, tmp_path / "copy", by_hand) for _ in range(2))
        others = [seed_bugs(prepared, seed, tmp_path / "copy", by_hand) for seed in (1, 2)]
        assert [bug.text for bug in first] == [bug.text for bug in again]
        assert any([bug.text for bug in other] != [bug.text for bug in first] for other in others)
        assert not (tmp_path / "copy").exists()

    def test_some_tests_fail_and_most_do_not(self, prepared: Prepared, tmp_path: Path) -> None:
        bugs = seed_bugs(prepared, 3, tmp_path / "copy", by_hand)
        assert len({bug.function for bug in bugs}) == len(bugs) == 2
        for bug in bugs:
            assert 1 <= len(bug.failing) <= 0.3 * bug.tests
            assert bug.text != bug.right == STOCK
            assert bug.first <= bug.line <= bug.last
            compile(bug.text, bug.path, "exec")

    def test_the_issue_tells_what_was_seen_and_not_where(self, prepared: Prepared, tmp_path: Path) -> None:
        for bug in seed_bugs(prepared, 3, tmp_path / "copy", by_hand):
            assert title(bug.test) in bug.issue
            assert "Error" in bug.issue
            assert "counting.py" not in bug.issue
            assert "line " not in bug.issue

    def test_only_the_program_is_made_faulty(self, prepared: Prepared, tmp_path: Path) -> None:
        for path in ("docs/conf.py", "tests/helper.py", "setup.py", "app/main.py", "app/lib.min.js", "test.js"):
            target = prepared.root / path
            target.parent.mkdir(exist_ok=True)
            target.write_text("")
        copy(prepared, tmp_path / "copy", {})
        assert set(program(tmp_path / "copy", ())) == {
            "app/main.py", "setup.py", "stock/__init__.py", "stock/counting.py",
        }  # fmt: skip
        assert set(program(tmp_path / "copy", ("app",))) == {"app/main.py"}


class TestIssues:
    def test_places_frames_and_the_faulty_function_are_left_out(self) -> None:
        said = (
            "TypeError: _joined() takes 2 positional arguments\n"
            '  File "/home/me/lib/texts.py", line 7, in _joined\n'
            "texts.py:12: TypeError at 0x7f2b"
        )
        text = issue_text("tests.test_texts::test_join", said, "_joined", "def test_join(): join('a')")
        assert text.splitlines()[0] == "`test_join` fails:"
        assert "takes 2 positional arguments" in text
        assert not re.search(r"_joined|texts\.py|line 7|:12", text)

    def test_of_a_doctest_the_example_is_shown(self) -> None:
        said = "003 Joins.\n004\n005     >>> join('a')\nExpected:\n    'a'\nGot:\n    'b'"
        shown = issue_text("texts.join", said, "other", "").splitlines()
        assert [line.strip() for line in shown[1:]] == [">>> join('a')", "Expected:", "'a'", "Got:", "'b'"]

    def test_frames_of_node_are_left_out_and_messages_are_not(self) -> None:
        said = "error: 'no such schema'\nRefs.get (/work/a/index.js:9:7)\nTimed out. (/work/a/test.js)"
        shown = issue_text("t", said, "x", "").splitlines()
        assert [line.strip() for line in shown[1:]] == ["error: 'no such schema'", "Timed out. (…)"]

    def test_a_function_that_the_test_calls_is_named(self) -> None:
        said = "AssertionError: assert 'b' == 'a'\n +  where 'b' = join('a')"
        assert "join('a')" in issue_text("t::test_join", said, "join", "assert join('a') == 'a'")

    @pytest.mark.parametrize(
        ("test", "shown"),
        [
            ("tests.test_a.TestX::test_y[a-b]", "test_y[a-b]"),
            ("test_few (test_counting.Counting.test_few)", "test_few"),
            ("parse() keeps empty values: should be equal #2", "parse() keeps empty values: should be equal"),
            ("github.com/some/thing.TestWrap", "TestWrap"),
        ],
    )
    def test_a_test_is_called_as_its_reader_would(self, test: str, shown: str) -> None:
        assert title(test) == shown


class TestOutputs:
    def test_unittest(self) -> None:
        passed, failed = read_unittest(
            "test_a (m.T.test_a) ... ok\ntest_b (m.T.test_b)\nWhat it is for. ... FAIL\n"
            "test_c (m.T.test_c) ... skipped 'no'\n\n" + "=" * 70 + "\nFAIL: test_b (m.T.test_b)\nWhat it is for.\n"
            + "-" * 70 + '\nTraceback (most recent call last):\n  File "m.py", line 3, in test_b\n    self.x()\n'
            "AssertionError: 1 != 2\n\n" + "-" * 70 + "\nRan 3 tests in 0.001s\n\nFAILED (failures=1)\n"
        )  # fmt: skip
        assert passed == ["test_a (m.T.test_a)"]
        assert failed == {"test_b (m.T.test_b)": "AssertionError: 1 != 2"}

    def test_tap(self) -> None:
        passed, failed = read_tap(
            "TAP version 13\n# sums\nok 1 should be equal\nnot ok 2 should be equal\n  ---\n    expected: 3\n"
            "    actual:   4\n  ...\nok 3 later # SKIP\n# texts\nok 4 should be equal\n"
        )
        assert passed == ["sums: should be equal", "texts: should be equal"]
        assert list(failed) == ["sums: should be equal #2"]
        assert "expected: 3" in failed["sums: should be equal #2"]

    def test_go(self) -> None:
        passed, failed = read_go(
            "=== RUN   TestA\n--- PASS: TestA (0.00s)\n=== RUN   TestB\n    b_test.go:9: got 1, want 2\n"
            "--- FAIL: TestB (0.00s)\nFAIL\nFAIL\texample.org/x\t0.01s\nFAIL\n"
        )
        assert passed == ["example.org/x.TestA"]
        assert failed == {"example.org/x.TestB": "    b_test.go:9: got 1, want 2"}


class TestFaultsOfOtherLanguages:
    def test_javascript_functions_are_found_and_changed(self) -> None:
        text = (
            "'use strict'\nexports.clamp = function (x, least, most) {\n  if (x < least) { return least }\n"
            "  return pick(x, most)\n}\nconst pick = (a, b) => a > b ? b : a\n"
        )
        first, second = places("lib/a.js", text)
        assert (first.name, first.first, first.last, second.name) == ("exports.clamp", 2, 5, "pick")
        found = faults(text, first)
        assert {"comparison", "branch", "argument"} <= {fault.kind for fault in found}
        assert all(fault.line in (3, 4) and fault.text != text for fault in found)
        assert any("pick(most, x)" in fault.text for fault in found)
        assert "  if (x <= least) { return least }" in next(f.text for f in found if f.after == "<=")

    def test_constants_are_changed_as_the_language_writes_them(self) -> None:
        python, javascript = "def f():\n    return True\n", "function f() { return true }\n"
        assert [f.after for f in faults(python, places("a.py", python)[0])] == ["False"]
        assert [f.after for f in faults(javascript, places("a.js", javascript)[0])] == ["false"]

    def test_go_methods_have_their_receivers(self) -> None:
        text = "package a\n\nfunc (s *Stack) Push(x int) {\n\ts.n += 1\n\ts.items[s.n] = x\n}\n"
        (place,) = places("a.go", text)
        assert place.name == "Stack.Push"
        assert {"operator", "constant", "index", "statement"} <= {fault.kind for fault in faults(text, place)}

    def test_a_file_that_is_broken_is_not_sound(self) -> None:
        assert is_sound("a.js", "if (a) { b() }\n")
        assert not is_sound("a.js", "if (a) { b( }\n")


class TestJudge:
    def test_the_right_patch_repairs(self, prepared: Prepared, tmp_path: Path) -> None:
        assert judged(prepared, BUG, tmp_path / "copy", diff_of(BUG.text, STOCK)) == (True, True)

    def test_another_good_patch_repairs_too(self, prepared: Prepared, tmp_path: Path) -> None:
        other = STOCK.replace("amount < least", "not amount >= least")
        assert judged(prepared, BUG, tmp_path / "copy", diff_of(BUG.text, other)) == (True, False)

    def test_a_patch_that_breaks_something_else_does_not(self, prepared: Prepared, tmp_path: Path) -> None:
        other = STOCK.replace("amount == 1", "amount == 0")
        assert judged(prepared, BUG, tmp_path / "copy", diff_of(BUG.text, other)) == (False, False)

    def test_a_patch_of_the_tests_does_not(self, prepared: Prepared, tmp_path: Path) -> None:
        easier = STOCK_TESTS.replace('["cup"]', '["pen", "cup"]')
        diff = diff_of(STOCK_TESTS, easier, "test_counting.py")
        assert judged(prepared, BUG, tmp_path / "copy", diff) == (False, False)

    def test_a_patch_that_makes_tests_vanish_does_not(self, prepared: Prepared, tmp_path: Path) -> None:
        diff = diff_of(BUG.text, STOCK + "\nimport os\nos._exit(0)\n")
        assert judged(prepared, BUG, tmp_path / "copy", diff) == (False, False)

    def test_a_patch_of_something_else_cannot_be_applied(self, prepared: Prepared, tmp_path: Path) -> None:
        assert judged(prepared, BUG, tmp_path / "copy", diff_of("x\n", "y\n", "nothing.py")) == (False, False)

    def test_a_wrong_patch_that_is_called_verified_is_a_miss(self, prepared: Prepared, tmp_path: Path) -> None:
        other = BUG.text.replace("result = 0", "result = 1")
        diff = diff_of(BUG.text, other)
        result = measure(prepared, BUG, Plan("m"), tmp_path / "o", lambda root, bug: ended("verified", diff=diff))
        assert (result.repaired, result.miss) == (False, "wrong patch")

    def test_the_repair_works_on_a_repository_that_holds_the_fault(self, prepared: Prepared, tmp_path: Path) -> None:
        def fix(root: Path, bug: Bug) -> Ended:
            assert (root / bug.path).read_text() == bug.text
            log = subprocess.run(
                [git_program(), "log", "--oneline", "--all"], cwd=root, capture_output=True, check=True
            )
            assert len(log.stdout.splitlines()) == 1  # the released text is nowhere in it
            status = subprocess.run([git_program(), "status", "--porcelain"], cwd=root, capture_output=True, check=True)
            assert not status.stdout
            events = [{"event": "located", "suspects": ["stock/counting.py::total", "stock/counting.py::missing"]}]
            return ended("verified", "the tests pass", diff_of(bug.text, bug.right), list(events))

        result = measure(prepared, BUG, Plan("m"), tmp_path / "o", fix)
        assert (result.repaired, result.same, result.miss, result.rank, result.late) == (True, True, "", 2, False)
        assert list((tmp_path / "o").iterdir()) == []

    def test_too_late_is_said_of_a_repair_as_well(self, prepared: Prepared, tmp_path: Path) -> None:
        def slow(root: Path, bug: Bug) -> Ended:
            return replace(ended("verified", diff=diff_of(bug.text, bug.right)), seconds=80.0)

        assert measure(prepared, BUG, Plan("m", minutes=1), tmp_path / "o", slow).late


class TestMisses:
    @pytest.mark.parametrize(
        ("end", "asked", "seen", "why"),
        [
            (Ended(1, (), "Traceback", 1.0), 0, None, "error"),
            (ended("no_patch", "nothing is left to ask"), 0, None, "not localised"),
            (ended("no_patch", "the 5 minutes are over"), 0, None, "not localised"),
            (ended("no_patch", "the 5 minutes are over"), 2, None, "time"),
            (ended("no_patch", "the 5 minutes are over"), 9, None, "model wrong"),
            (ended("no_patch", "nothing is left to ask"), 2, False, "model wrong"),
            (ended("no_patch", "nothing is left to ask"), 2, True, "thrown away"),
            (ended("nothing_fails", "all tests pass"), 0, None, "wrong reason"),
            (ended("verified", "the tests pass", "a diff"), 2, True, "wrong patch"),
        ],
    )
    def test_the_reason_is_what_the_events_say(self, end: Ended, asked: int, seen: bool | None, why: str) -> None:
        assert miss(end, asked, seen, str(end.result.get("diff", ""))) == why

    @pytest.mark.parametrize(
        ("label", "meant"),
        [
            ("stock/counting.py::missing", True),
            ("stock/counting.py::total", False),
            ("stock/other.py::missing", False),
            ("stock/counting.py::lines 10-20", True),
            ("stock/counting.py::lines 1-9", False),
        ],
    )
    def test_suspects_are_compared_with_the_faulty_function(self, label: str, meant: bool) -> None:
        assert about(label, BUG) is meant

    def test_ranks_are_of_the_first_list(self) -> None:
        events = [
            {"event": "located", "suspects": ["a.py::b"], "lines": ["stock/counting.py:14"]},
            {"event": "located", "suspects": ["stock/counting.py::missing"]},
        ]
        assert rank(events, BUG) is None
        assert rank(events[1:], BUG) == 1
        assert line_rank(events, BUG) == 1
        assert line_rank(events[1:], BUG) is None

    def test_a_right_version_that_was_refused_was_thrown_away(self, prepared: Prepared, tmp_path: Path) -> None:
        broken = STOCK.replace("result = 0", "result = 1")  # the right line, and another mistake

        def result(*versions: str) -> Measure:
            asked = {"event": "asked", "attempt": 1, "suspect": "stock/counting.py::missing"}
            diffs = [diff_of(BUG.text, version) for version in versions]
            events = [asked, *({"event": "judged", "verdict": "failed", "diff": diff} for diff in diffs)]
            return measure(prepared, BUG, Plan("m"), tmp_path / "o", lambda r, b: ended("no_patch", events=events))

        assert (result().right_seen, result().miss) == (None, "model wrong")
        wrong = result(BUG.text + "#\n", broken)
        assert (wrong.right_seen, wrong.miss) == (False, "model wrong")
        right = result(broken, STOCK)
        assert (right.right_seen, right.miss, right.repaired) == (True, "thrown away", False)


class TestResults:
    def test_a_measurement_goes_on_where_it_stopped(self, prepared: Prepared, tmp_path: Path) -> None:
        counted: list[str] = []

        def fix(root: Path, bug: Bug) -> Ended:
            counted.append(bug.name)
            return ended("no_patch", "nothing is left to ask")

        def every(records: Records) -> list[Any]:
            for bug in (BUG, replace(BUG, name="stock-2")):
                if bug.name not in records:
                    records.add(bug.name, as_record(measure(prepared, bug, Plan("m"), tmp_path / "o", fix)))
            return [from_record(records[name]) for name in ("stock-1", "stock-2")]

        path = tmp_path / "results.jsonl"
        first = every(Records(path, {"model": "m"}))
        path.write_bytes(path.read_bytes()[:-20])  # a crash in the middle of the last line
        again = every(Records(path, {"model": "m"}))
        assert counted == ["stock-1", "stock-2", "stock-2"]
        assert again == first

    def test_the_table_gives_each_miss_its_reason(self, prepared: Prepared, tmp_path: Path) -> None:
        ends: list[Callable[[], Ended]] = [
            lambda: ended("verified", "the tests pass", diff_of(BUG.text, STOCK)),
            lambda: ended("no_patch", "nothing is left | to ask"),
        ]
        results = [
            measure(prepared, replace(BUG, name=f"stock-{n}"), Plan("m"), tmp_path / "o", lambda r, b, e=end: e())
            for n, end in enumerate(ends, 1)
        ]
        table = to_markdown(results, {"model": "m", "minutes": 5.0})
        assert "| all | 2 | 1 | 50 % |" in table
        assert "Misses: not localised 1" in table
        assert "| stock-2 | 3 | not localised | - | 0 | 12 | no_patch (3): nothing is left \\| to ask |" in table
        summary = to_json(results, {"model": "m", "minutes": 5.0})
        assert summary["groups"]["functions of at most 40 lines"] == {"faults": 2, "repaired": 1}
        assert summary["misses"] == {"not localised": 1}
        json.dumps(summary)
