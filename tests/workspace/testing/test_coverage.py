"""What node and Go record of a run becomes the functions and lines that failing tests ran."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from inhouse.workspace.testing import coverage
from inhouse.workspace.testing.report import Failure, Place

SUMS = """\
/* 𝔸 takes two of V8's units */ const HALF = 2;
exports.total = (numbers) => {
  if (numbers.length > 9) {
    return -1;
  }
  return numbers.length;
};
exports.half = function (number) {
  return number / HALF;
};
exports.unused = () => 0;
"""


def test_of_node_each_test_file_is_told_apart(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    (tmp_path / "test").mkdir()
    (tmp_path / "sums.js").write_text(SUMS)
    (tmp_path / "test/a.js").write_text("if (require('../sums.js').total([1]) !== 2) process.exit(1);\n")
    (tmp_path / "test/b.js").write_text("require('../sums.js').half(4);\n")
    failure = Failure("total", "total", "", (Place("test/a.js", 1),))
    variables = coverage.prepare(tmp_path, tmp_path, [failure])
    for test in ("test/a.js", "test/b.js"):
        subprocess.run(["node", test], cwd=tmp_path, env={**os.environ, **variables}, check=False)
    calls = coverage.read(tmp_path, tmp_path, {"sums.js": SUMS}, [failure], {})
    assert calls.covered["total::total"] == {("sums.js", 2)}
    assert calls.lines["total::total"] >= {("sums.js", 3), ("sums.js", 6)}
    assert ("sums.js", 4) not in calls.lines["total::total"]
    (other,) = set(calls.covered) - {"total::total"}
    assert calls.covered[other] == {("sums.js", 8)}


def test_of_go_the_profile_is_of_the_failing_tests(tmp_path: Path) -> None:
    failure = Failure("TestTotal/two", "two", "", (Place("money/sums_test.go", 4),))
    variables = coverage.prepare(tmp_path, tmp_path, [failure])
    assert "-run=^(TestTotal)$" in variables["GOFLAGS"]
    text = (
        "package money\n\nfunc Total() int {\n\tif x {\n\t\treturn 1\n\t}\n\treturn 2\n}\n\nfunc Other() {\n\tx()\n}\n"
    )
    profile = "mode: set\nexample.org/s/money/sums.go:3.18,4.7 1 1\nexample.org/s/money/sums.go:4.7,6.3 1 0\n"
    profile += "example.org/s/money/sums.go:7.2,7.10 1 1\nexample.org/s/money/sums.go:10.14,12.2 1 0\nbroken\n"
    (tmp_path / ".inhouse-coverage.out").write_text(profile)
    calls = coverage.read(tmp_path, tmp_path, {"money/sums.go": text}, [failure], {"example.org/s": ""})
    assert calls.covered == {"TestTotal/two::two": {("money/sums.go", 3)}}
    assert calls.lines == {"TestTotal/two::two": {("money/sums.go", 3), ("money/sums.go", 4), ("money/sums.go", 7)}}


def test_what_is_misshapen_is_left_out(tmp_path: Path) -> None:
    failure = Failure("a", "a", "", ())
    coverage.prepare(tmp_path, tmp_path, [failure])
    folder = tmp_path / ".inhouse-coverage"
    folder.mkdir()
    for number, text in enumerate(["{", "[]", '{"result": [{"url": 1}]}', '{"result": [{"url": "file:///x"}]}']):
        (folder / f"coverage-{number}.json").write_text(text)
    assert coverage.read(tmp_path, tmp_path, {"x.js": ""}, [failure], {}).covered == {}


def test_a_line_is_the_more_suspicious_the_more_of_its_runs_are_of_failing_tests(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    (tmp_path / "sums.js").write_text(SUMS)
    runs = {
        "alone": "const s = require('./sums.js'); s.total([1]);",
        "all": "const s = require('./sums.js'); s.total([1]); for (let n = 0; n < 3; n++) { s.total([2]); s.half(n); }",
    }
    counted = {}
    for name, program in runs.items():
        variables = coverage.prepare(tmp_path, tmp_path, [])
        subprocess.run(["node", "-e", program], cwd=tmp_path, env={**os.environ, **variables}, check=True)
        counted[name] = coverage.counts(tmp_path, tmp_path, {"sums.js": SUMS})
    assert (counted["alone"]["sums.js", 6], counted["all"]["sums.js", 6]) == (1, 4)
    found = coverage.shares(counted["alone"], counted["all"], failing=1, ran=25)
    assert found["sums.js", 6] == 0.5
    assert found["sums.js", 1] == 0.2  # when the file is loaded, so for each of the tests
    assert not found.keys() & {("sums.js", 9), ("sums.js", 4)}
