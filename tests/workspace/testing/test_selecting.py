"""Single tests are asked for in each runner's own way."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from inhouse.workspace.testing.command import TestCommand, given_command
from inhouse.workspace.testing.detection import with_script
from inhouse.workspace.testing.runners import named_failures


@pytest.mark.parametrize(
    ("line", "script", "tests", "wanted"),
    [
        ("go test ./...", "", ["TestTotal/two_values", "TestOk"], ["go", "test", "-run=^(TestOk|TestTotal)$", "./..."]),
        ("cargo test --offline", "", ["tests::adds"], ["cargo", "test", "--offline", "--", "--exact", "tests::adds"]),
        ("npx jest", "", ["total › adds (two)"], ["npx", "jest", "-t", r"^(total adds \(two\))$"]),
        ("npm test --silent", "jest", ["first"], ["npm", "test", "--silent", "--", "-t", "^(first)$"]),
        ("yarn test", "mocha t", ["a > b"], ["yarn", "test", "-g", "^(a b)$"]),
        (
            "pnpm test", "vitest run", ["t/a.test.ts > total > adds"],
            ["pnpm", "test", "t/a.test.ts", "-t", "^(total adds)$"],
        ),
        ("npx ava", "", ["t/ava.js"], ["npx", "ava", "t/ava.js"]),
        ("npm test", "mocha test/*.js", ["adds"], ["npm", "test", "--", "-g", "^(adds)$"]),
        ("npm test", "nyc mocha", ["adds"], ["npm", "test", "--", "-g", "^(adds)$"]),
        (
            "npm test", "nyc tape -r esm 'test/**/*.js'", ["test/a.js"],
            ["npx", "--no-install", "tape", "-r", "esm", "test/a.js"],
        ),
        ("pnpm test", "tape test/**/*.js", ["test/a.js"], ["pnpm", "exec", "tape", "test/a.js"]),
        ("npx tape 'test/**/*.js'", "", ["test/a.js"], ["npx", "--no-install", "tape", "test/a.js"]),
        ("npx mocha 'test/**/*.js'", "", ["adds"], ["npx", "mocha", "test/**/*.js", "-g", "^(adds)$"]),
        ("tape test.js", "", ["test/a.js"], ["npx", "--no-install", "tape", "test/a.js"]),
        (
            "npm test", "node --test test/", ["outer > inner"],
            ["node", "--test", "--test-name-pattern=^outer$", "--test-name-pattern=^inner$", "test/"],
        ),
    ],
)  # fmt: skip
def test_each_runner_is_asked_in_its_own_way(line: str, script: str, tests: list[str], wanted: list[str]) -> None:
    some = TestCommand(line, "other", script).only(tests)
    assert some is not None
    assert list(some.argv) == wanted


@pytest.mark.parametrize(
    "line", ["make check", "npx jest 't/*'", "cd a && go test ./...", "CI=1 npx jest", "npm test", "node test.js"]
)
def test_what_is_not_known_is_not_guessed(line: str) -> None:
    assert given_command(line).only(["total"]) is None


def test_go_is_not_asked_for_files() -> None:
    assert given_command("go test ./...").only(["money/money_test.go"]) is None


def test_node_runs_the_test_that_is_asked_for_and_no_other(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    (tmp_path / "a.test.js").write_text(
        "const { test, describe, it } = require('node:test');\n"
        "test('one (1)', () => { throw new Error('first'); });\n"
        "describe('many', () => { it('two', () => { throw new Error('second'); }); it('three', () => {}); });\n"
    )
    for wanted, said in (("one (1)", "first"), ("many > two", "second")):
        some = TestCommand(("node", "--test", "a.test.js"), "other").only([wanted])
        assert some is not None
        ran = subprocess.run(some.argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        (failure,) = named_failures(ran.stdout)
        assert failure.id == wanted
        assert said in failure.text


@pytest.mark.parametrize(
    "line", ["npm test", "npm t", "npm run unit", "npm run-script unit", "yarn unit", "pnpm run unit"]
)
def test_a_script_of_any_name_is_known(line: str) -> None:
    package = '{"scripts": {"test": "mocha", "unit": "mocha"}}'
    some = with_script(given_command(line), lambda path: package).only(["adds"])
    assert some is not None
    assert list(some.argv)[-2:] == ["-g", "^(adds)$"]
    assert with_script(given_command(line), lambda path: "{}").only(["adds"]) is None


def test_scripts_that_run_another_one_are_seen_through() -> None:
    package = '{"scripts": {"test": "npm run -s all", "all": "npm run unit", "unit": "mocha t/*.js"}}'
    some = with_script(given_command("npm test"), lambda path: package).only(["adds"])
    assert some is not None
    assert list(some.argv) == ["npm", "run", "unit", "--", "-g", "^(adds)$"]
    endless = '{"scripts": {"test": "npm run a", "a": "npm run b", "b": "npm run a"}}'
    assert with_script(given_command("npm test"), lambda path: endless).only(["adds"]) is None


def test_tape_runs_files_and_no_single_tests() -> None:
    assert TestCommand("npm test", "other", "tape test/*.js").only(["adds"]) is None
