"""What a bug looks like from outside: HumanEval's checks as single tests, and what a failing one shows.

The tests of a program run confined, in a Python of their own; what comes back is words: a call, its result, and the
expected one. No file, no line, no cause.
"""

from __future__ import annotations

import ast
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.evals.humaneval import Problem
from inhouse.workspace import Limits, Runner, Sandbox, python_paths

_LIMITS = Limits(memory=1 << 30, processes=32, file_size=16 << 20, scratch=64 << 20, output=1 << 20)
_SECONDS = 10.0
_MARK = "@symptoms "
_LONGEST = 400  # characters of an example; a user would not paste more
_EXAMPLES = 2

# Runs every test and tells what the failing ones show, as JSON on the last line.
_PROBE = """\
import json
import program

def shown(call):
    try:
        return "returns " + repr(eval(call, names))
    except Exception as error:
        return f"raises {type(error).__name__}: {error}"

names = dict(vars(program))
failed = []
for index, (test, call) in enumerate(json.load(open("tests.json"))):
    try:
        exec(test, names)
    except Exception as error:
        failed.append((index, shown(call)))
print(MARK + json.dumps(failed))
"""


@dataclass(frozen=True)
class Test:
    """One assert: its text, the call in it, and what the call should give ("" where the assert says it otherwise)."""

    __test__ = False  # not a test itself, whatever pytest thinks of the name

    text: str
    call: str
    expected: str


@dataclass(frozen=True)
class Symptom:
    """What failing tests show: (test, what the call does instead), the shortest first."""

    examples: tuple[tuple[Test, str], ...]

    def issue(self, function: str) -> str:
        """The words of an issue."""
        lines = [f"`{function}` gives wrong results."]
        for test, seen in self.examples[:_EXAMPLES]:
            wanted = f"it should return {test.expected}" if test.expected else f"this should hold: {_claim(test)}"
            lines.append(f"`{test.call}` {seen}; {wanted}.")
        return "\n".join(lines)


def split_tests(problem: Problem) -> list[Test]:
    """The asserts of `check(candidate)` as tests of their own; none where it holds anything else."""
    check = next(n for n in ast.parse(problem.test).body if isinstance(n, ast.FunctionDef) and n.name == "check")
    tests: dict[str, Test] = {}
    for statement in check.body:
        if not isinstance(statement, ast.Assert):
            return []
        calls = [n for n in ast.walk(statement.test) if _calls(n, "candidate")]
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id == "candidate":
                node.id = problem.entry_point
        if calls:  # others are `assert True`
            text = f"assert {ast.unparse(statement.test)}"
            tests.setdefault(text, Test(text, ast.unparse(calls[0]), _expected(statement.test, calls[0])))
    return list(tests.values())


def examiner(confine: Callable[[Path], Runner] | None = None) -> Callable[[str, Sequence[Test], str], Symptom | None]:
    """Runs tests on a module: what fails, or None when nothing does or the run itself does not end in time."""
    confined = confine or _confined

    def examine(module: str, tests: Sequence[Test], function: str) -> Symptom | None:
        with tempfile.TemporaryDirectory(prefix="inhouse-bugs-") as name:
            root = Path(name)
            (root / "program.py").write_text(module, encoding="utf-8")
            (root / "tests.json").write_text(json.dumps([(test.text, test.call) for test in tests]), encoding="utf-8")
            (root / "probe.py").write_text(f"MARK = {_MARK!r}\n{_PROBE}", encoding="utf-8")
            result = confined(root).run([sys.executable, "probe.py"], timeout=_SECONDS)
        last = result.output.rstrip().rpartition("\n")[2]
        if not result.ok or not last.startswith(_MARK):
            return None
        failed = [(tests[index], seen) for index, seen in json.loads(last.removeprefix(_MARK))]
        told = [one for one in failed if len(one[0].text) + len(one[1]) <= _LONGEST]
        return Symptom(tuple(sorted(told, key=lambda one: len(one[0].text)))) if told else None

    return examine


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def _expected(test: ast.expr, call: ast.AST) -> str:
    match test:
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]) if left is call:
            return ast.unparse(right)
        case _ if test is call:
            return "something true"
        case _:
            return ""


def _claim(test: Test) -> str:
    return f"`{test.text.removeprefix('assert ')}`"


def _confined(root: Path) -> Sandbox:
    return Sandbox(root, readable=python_paths(Path(sys.executable)), limits=_LIMITS, disposable=True)
