"""Repairs of JavaScript, TypeScript and Go projects: real runners in the sandbox, only the model is scripted."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from shop import Repository, text_of

from inhouse.repair import events
from inhouse.workspace.toolchains import UserEnvironment

SUMS = """\
'use strict';

/** Adds numbers. */
exports.total = function (numbers) {
  let sum = 1;
  for (const number of numbers) {
    sum += number;
  }
  return sum;
};

exports.first = (numbers) => {
  return numbers[0];
};
"""
TEST = """\
const test = require('node:test');
const assert = require('node:assert');
const { total } = require('../lib/sums.js');

test('adds two numbers', () => {
  assert.strictEqual(total([1, 2]), 3);
});

test('takes nothing for granted', () => {
  assert.ok(total);
});
"""
HEAD = "```javascript\n/** Adds numbers. */\nexports.total = function (numbers) {\n"
RIGHT = "  let sum = 0;\n  for (const number of numbers) {\n    sum += number;\n  }\n  return sum;\n};\n"


@pytest.fixture
def project(tmp_path: Path, scratch: Path) -> Repository:
    """A package of npm's, without dependencies."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node is not installed")
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    repository = Repository(tmp_path / "repository")
    repository.write("package.json", '{"name": "sums", "version": "1.0.0", "scripts": {"test": "node --test test/"}}\n')
    repository.write("lib/sums.js", SUMS)
    repository.write("lib/other.js", "exports.total = () => 0;\n")
    repository.write("test/sums.test.js", TEST)
    commit(repository)
    return repository


def commit(repository: Repository) -> None:
    repository.git("init", "--quiet")
    repository.git("add", ".")
    repository.git("commit", "--quiet", "-m", "first")


def test_a_javascript_function_is_found_asked_about_and_repaired(project: Repository) -> None:
    wrong = RIGHT.replace("sum = 0", "sum = 2")
    result = project.fix([wrong, RIGHT], problem="Sums are one too large.")
    assert result.command == "npm test --silent"
    assert (result.status, project.tried()) == ("verified", ["failed", "verified"])
    assert "-  let sum = 1;" in result.diff
    assert "+  let sum = 0;" in result.diff
    assert result.diff.count("\n+") == 2  # the line, and the file's name
    located = next(event for event in project.events if isinstance(event, events.Located))
    assert located.suspects == ("lib/sums.js::exports.total",)  # coverage knows that no other function ran
    asked = project.requests[0]
    assert asked.prefill == HEAD
    said = text_of(asked.messages)
    assert "```javascript\ntest('adds two numbers', () => {\n" in said
    assert "4 !== 3" in said


def test_a_script_without_a_runner_shows_what_it_covers(project: Repository) -> None:
    project.write("package.json", '{"name": "sums", "version": "1.0.0", "scripts": {"test": "node test.js"}}\n')
    project.write("lib/sums.js", "exports.total = xs => xs.reduce((a, b) => a + b, 1);\n")
    project.write("test.js", "const same = require('same');\nsame(require('./lib/sums.js').total([1, 2]), 3);\n")
    project.write(".gitignore", "node_modules/\n")
    project.write(
        "node_modules/same/index.js",
        "module.exports = (a, b) => { if (a !== b) { console.log('not ok 1 - ' + a); process.exit(1); } };\n",
    )
    shutil.rmtree(project.root / "test")
    commit(project)
    result = project.fix([" xs => xs.reduce((a, b) => a + b, 0);\n"], test="npm test --silent")
    assert result.status == "verified"
    assert project.requests[0].prefill == "```javascript\nexports.total ="
    assert set(result.patch) == {"lib/sums.js"}


def test_a_typescript_method_is_repaired_in_its_own_form(project: Repository) -> None:
    project.write(
        "lib/till.ts",
        "export class Till {\n  private open = true;\n\n"
        "  total(prices: number[]): number {\n    return prices.length;\n  }\n}\n",
    )
    project.write(  # types are stripped by a line of its own, as node 20 does not
        "test/sums.test.js",
        "const test = require('node:test');\nconst assert = require('node:assert');\nconst fs = require('fs');\n"
        "const text = fs.readFileSync(__dirname + '/../lib/till.ts', 'utf8');\n"
        "const plain = text.replace('export ', '').replace('private ', '').replace(': number[]): number', ')');\n"
        "const Till = eval('(' + plain + ')');\n"
        "test('total of Till', () => {\n  assert.strictEqual(new Till().total([2, 3]), 5);\n});\n",
    )
    commit(project)
    answer = "    return prices.reduce((a, b) => a + b, 0);\n}\n"
    result = project.fix([answer], test="npm test --silent", problem="Till.total counts prices, it should add them.")
    assert result.status == "verified"
    assert project.requests[0].prefill == "```typescript\ntotal(prices: number[]): number {\n"
    assert "+    return prices.reduce((a, b) => a + b, 0);\n   }" in result.diff


def test_a_go_method_that_panics_is_repaired(tmp_path: Path, scratch: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not installed")
    repository = Repository(tmp_path / "repository")
    repository.write("go.mod", "module example.org/sums\n\ngo 1.18\n")
    repository.write(
        "sums.go",
        "package sums\n\n// Schedule repeats.\ntype Schedule struct {\n\tEvery int\n}\n\n"
        "// Day is the day of a repetition.\nfunc (s *Schedule) Day(days []int) int {\n\treturn days[s.Every]\n}\n",
    )
    repository.write(
        "sums_test.go",
        'package sums\n\nimport "testing"\n\nfunc TestDay(t *testing.T) {\n\ts := &Schedule{Every: 2}\n'
        '\tif got := s.Day([]int{1, 2}); got != 1 {\n\t\tt.Errorf("got %d", got)\n\t}\n}\n',
    )
    commit(repository)
    answer = "    return days[s.Every%len(days)]\n}\n"
    result = repository.fix([answer], test="go test ./...", problem="Day panics.")
    assert result.status == "verified"
    assert repository.requests[0].prefill.endswith("func (s *Schedule) Day(days []int) int {\n")
    assert "+\treturn days[s.Every%len(days)]\n" in result.diff
    assert "index out of range" in text_of(repository.requests[0].messages)


def test_a_rust_function_is_repaired_and_its_tests_stay(tmp_path: Path, scratch: Path) -> None:
    cargo = shutil.which("cargo")
    if cargo is None:
        pytest.skip("cargo is not installed")
    repository = Repository(tmp_path / "repository")
    repository.write("Cargo.toml", '[package]\nname = "sums"\nversion = "0.1.0"\nedition = "2021"\n')
    repository.write(
        "src/lib.rs",
        "/// The one at a place, from the end where it is negative.\npub fn pick(xs: &[i32], at: i32) -> i32 {\n"
        "    xs[at as usize]\n}\n\n#[cfg(test)]\nmod tests {\n    #[test]\n    fn picks() {\n"
        "        assert_eq!(super::pick(&[1, 2], -1), 2);\n    }\n}\n",
    )
    commit(repository)
    answer = "    let length = xs.len() as i32;\n    xs[((at + length) % length) as usize]\n}\n"
    user = UserEnvironment(Path.home(), (Path(cargo).parent, Path("/usr/bin"), Path("/bin")))
    problem = "pick panics for places from the end."
    result = repository.fix([answer], test="cargo test --offline", problem=problem, user=user)
    assert result.status == "verified"
    assert repository.requests[0].prefill.endswith("pub fn pick(xs: &[i32], at: i32) -> i32 {\n")
    assert "assert_eq" not in result.diff
