"""What runners of JavaScript, TypeScript, Go and Rust print: recorded outputs of real runs, kept in `outputs/`."""

from __future__ import annotations

from pathlib import Path

import pytest

from inhouse.workspace import CommandResult
from inhouse.workspace.testing.report import Failure, read_report

OUTPUTS = Path(__file__).parent / "outputs"
KNOWN = {
    "lib/sums.js", "test/node.test.js", "test/plain.test.mjs", "t/tape.js", "t/mocha.js", "t/sums.jest.test.js",
    "t/sums.ts", "t/sums.vitest.test.ts", "t/ava.js", "sums.go", "sums_test.go", "money/money.go",
    "money/money_test.go", "src/lib.rs", "tests/picks.rs",
}  # fmt: skip
MODULES = {"example.org/sums": ""}


def failures(name: str) -> tuple[tuple[Failure, ...], int | None]:
    output = (OUTPUTS / f"{name}.txt").read_text("utf-8")
    report = read_report(CommandResult(1, output, 1.0), "other", Path("/work/sums"), KNOWN, MODULES)
    return report.failures, report.ran


NODE = ["total adds", "first > says so of nothing", "outer > inner"]


@pytest.mark.parametrize(
    ("runner", "ids", "why", "ran"),
    [
        ("node-tap", NODE, ["strictly equal", "Cannot read properties", "strictly deep-equal"], 6),
        ("node-spec", NODE, ["strictly equal", "Cannot read properties", "strictly deep-equal"], 6),
        ("tape", ["total adds", "first"], ["should be strictly equal", "lib/sums.js:6"], None),
        (
            "mocha", ["total > adds", "first > of nothing > says so"], ["strictly equal", "Cannot read properties"], 3,
        ),
        ("jest", ["total › adds", "first of nothing"], ["expect(received).toBe", "Cannot read properties"], 3),
        ("vitest", ["t/sums.vitest.test.ts > total > adds"], ["expected 4 to be 3"], 2),
        ("ava", ["total adds", "first of nothing"], ["Difference", "Error thrown in test"], 3),
        (
            "go", ["TestTotal", "TestTotal/two_values", "TestOccurrences", "TestRound"],
            ["TestTotal/two_values fails", "= 4, want 3", "index out of range [3]", "want 20"], None,
        ),
        (
            "go-verbose", ["TestTotal", "TestTotal/two_values", "TestOccurrences", "TestRound"],
            ["TestTotal/two_values fails", "= 4, want 3", "index out of range [3]", "want 20"], 5,
        ),
        ("cargo", ["tests::adds", "picks"], ["panicked at src/lib.rs:20", "panicked at src/lib.rs:11"], 3),
    ],
)  # fmt: skip
def test_failures_are_named_and_say_why_first(runner: str, ids: list[str], why: list[str], ran: int | None) -> None:
    found, count = failures(runner)
    assert [failure.id for failure in found] == ids
    assert count == ran
    for failure, said in zip(found, why, strict=True):
        assert said in failure.message.split("\n")[0]


@pytest.mark.parametrize(
    ("runner", "id", "innermost"),
    [
        ("node-tap", "first > says so of nothing", "lib/sums.js:6"),
        ("node-spec", "first > says so of nothing", "lib/sums.js:6"),
        ("tape", "first", "lib/sums.js:6"),
        ("mocha", "first > of nothing > says so", "lib/sums.js:6"),
        ("jest", "first of nothing", "lib/sums.js:6"),
        ("ava", "first of nothing", "lib/sums.js:6"),
        ("go", "TestOccurrences", "sums.go:19"),
        ("cargo", "picks", "src/lib.rs:11"),
        ("node-tap", "outer > inner", "test/plain.test.mjs:6"),  # of a module, by its URL
        ("vitest", "t/sums.vitest.test.ts > total > adds", "t/sums.vitest.test.ts:4"),
        ("go", "TestRound", "money/money_test.go:7"),
    ],
)
def test_the_innermost_frame_comes_last(runner: str, id: str, innermost: str) -> None:
    (failure,) = (one for one in failures(runner)[0] if one.id == id)
    assert f"{failure.places[-1].path}:{failure.places[-1].line}" == innermost


@pytest.mark.parametrize("runner", ["node-tap", "node-spec", "tape", "go", "cargo"])
def test_frames_that_are_not_the_project_s_are_left_out(runner: str) -> None:
    for failure in failures(runner)[0]:
        for foreign in ("node:internal", "node_modules", "/rustc/", "/testing.go"):
            assert foreign not in failure.message
