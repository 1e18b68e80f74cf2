"""What a change takes away from tests: tests removed or skipped, assertions removed, expected values changed.

Python is read as a syntax tree; JavaScript, TypeScript, Go, Rust and Java line by line. Knows two texts of a file, no
repository and no runner.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T", str, tuple[str, str], tuple[str, ...])

_SKIP = re.compile(r"\b(?:skip|skipif|skipIf|skipUnless|skipTest|xfail|expectedFailure)\b")
_SKIP_ELSEWHERE = re.compile(
    r"\b(?:it|test|describe|context|suite)\.(?:skip|todo|failing)\b|\b(?:xit|xtest|xdescribe)\(|\bt\.Skip(?:f|Now)?\(|"
    r"#\[ignore|@(?:Disabled|Ignore)\b|\bskip:\s*true\b"
)
_NAMES_ELSEWHERE = re.compile(
    r"\b(?:it|test|specify)(?:\.(?:only|skip|todo|failing))?\(\s*(?P<quote>['\"`])(?P<name>.+?)(?P=quote)|"
    r"\bx(?:it|test)\(\s*(?P<xquote>['\"`])(?P<xname>.+?)(?P=xquote)|"
    r"^func (?P<go>Test\w+)\(|#\[(?:\w+::)?test\](?:\s*#\[[^\]]*\])*\s*(?:pub )?(?:async )?fn (?P<rust>\w+)|"
    r"@Test\b[^;{]*?\bvoid (?P<java>\w+)\(",
    re.MULTILINE,
)
_ASSERTION = re.compile(r"\bassert\w*\b|\bexpect\w*\(|\bshould\b|\brequire\.\w+\(|\bt\.(?:Error|Fatal)f?\(")
_LITERAL = re.compile(
    r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|`[^`]*`|\b-?\d[\w.]*\b|\b(?:true|false|null|undefined|nil)\b"
)
_DESELECTED = re.compile(r"--deselect|--ignore\b|collect_ignore|norecursedirs|-k\s*['\"]?not\b|testPathIgnorePatterns")


@dataclass
class _Test:
    """One test: whether it is skipped, its assertions as (subject, expected), its parametrised cases."""

    skipped: bool = False
    assertions: list[tuple[str, str]] = field(default_factory=list)
    cases: list[tuple[str, ...]] = field(default_factory=list)


def weakened(texts: Mapping[str, tuple[str, str]], *, configuration: Iterable[str] = ()) -> list[str]:
    """What was taken away, a phrase each. `texts`: a test file's text before and after, by path; "" is no file.

    `configuration` are those of the paths that only configure the tests. Tests that moved to another of the files are
    not lost.
    """
    plain = set(configuration)
    said: list[str] = []
    kept = {
        name.rpartition(".")[2] for path, (_, new) in texts.items() if path not in plain for name in _names(path, new)
    }
    for path, (old, new) in texts.items():
        if path in plain:
            said += _deselected(path, old, new)
            continue
        lost = [name for name in _names(path, old) if name.rpartition(".")[2] not in kept]
        said += [f"{path}: removed {name}" for name in dict.fromkeys(lost)]
        before, after = _python(path, old), _python(path, new)
        if before is None or after is None:
            said += _by_lines(path, old, new)
        else:
            for name, test in before.items():
                if name in after:
                    said += [f"{path}: {name}: {what}" for what in _less(test, after[name])]
            if "" in after and "" not in before:
                said.append(f"{path}: the whole file is skipped")
        said += _deselected(path, old, new)
    return said


def _names(path: str, text: str) -> list[str]:
    tests = _python(path, text)
    if tests is not None:
        return [name for name in tests if name]
    return [next(name for key, name in found.groupdict().items() if name and not key.endswith("quote"))
            for found in _NAMES_ELSEWHERE.finditer(text)]  # fmt: skip


def _python(path: str, text: str) -> dict[str, _Test] | None:
    """The tests of a Python file by name; "" is the file itself, if it is skipped. None of any other file."""
    if not path.endswith(".py"):
        return None
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    found: dict[str, _Test] = {}
    for node in tree.body:
        marks = isinstance(node, ast.Assign) and any(_is_named(target, "pytestmark") for target in node.targets)
        if (marks or isinstance(node, ast.Expr)) and _SKIP.search(ast.unparse(node)) and not _is_text(node):
            found[""] = _Test(skipped=True)
    _collect(tree.body, "", False, found)
    return found


def _collect(body: Sequence[ast.stmt], prefix: str, skipped: bool, found: dict[str, _Test]) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            _collect(node.body, f"{prefix}{node.name}.", skipped or _is_skipped(node.decorator_list), found)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            inside = any(
                isinstance(one, ast.Call) and _SKIP.search(ast.unparse(one.func))
                for one in (part for statement in node.body for part in ast.walk(statement))
            )
            found[f"{prefix}{node.name}"] = _Test(
                skipped or inside or _is_skipped(node.decorator_list),
                list(_assertions(node)),
                [case for one in node.decorator_list for case in _cases(one)],
            )


def _is_skipped(decorators: Sequence[ast.expr]) -> bool:
    return any(_SKIP.search(ast.unparse(one.func if isinstance(one, ast.Call) else one)) for one in decorators)


def _assertions(test: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(test):
        if isinstance(node, ast.Assert):
            yield _compared(node.test)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                call = item.context_expr
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(("raises", "assertRaises", "warns")):
                    inside = "; ".join(ast.unparse(one) for one in node.body)
                    yield f"{ast.unparse(call.func)} of {inside}", ", ".join(map(ast.unparse, call.args))
        elif (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr.startswith("assert")
        ):
            arguments = [ast.unparse(one) for one in node.args]
            yield f"{node.func.attr}({', '.join(arguments[:1])})", ", ".join(arguments[1:])


def _compared(test: ast.expr) -> tuple[str, str]:
    """An assertion's subject, and what is expected of it."""
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        left, right = test.left, test.comparators[0]
        if _is_constant(left) and not _is_constant(right):
            left, right = right, left
        return ast.unparse(left), f"{type(test.ops[0]).__name__} {ast.unparse(right)}"
    return ast.unparse(test), ""


def _is_constant(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _cases(decorator: ast.expr) -> Iterator[tuple[str, ...]]:
    if not isinstance(decorator, ast.Call) or not ast.unparse(decorator.func).endswith("parametrize"):
        return
    if len(decorator.args) > 1 and isinstance(decorator.args[1], ast.List | ast.Tuple):
        for row in decorator.args[1].elts:
            yield tuple(map(ast.unparse, row.elts)) if isinstance(row, ast.Tuple | ast.List) else (ast.unparse(row),)


def _less(old: _Test, new: _Test) -> Iterator[str]:
    """What a test holds less than before."""
    if new.skipped and not old.skipped:
        yield "skipped"
    lost, gained = _difference(old.assertions, new.assertions)
    for subject, expected in lost:
        instead = next((other for other in gained if other[0] == subject), None)
        if instead is not None:
            gained.remove(instead)
            yield f"expected value of {_short(subject)} changed from {_value(expected)} to {_value(instead[1])}"
        elif len(new.assertions) < len(old.assertions):
            yield f"removed the assertion of {_short(subject)}"
    rows_lost, rows_gained = _difference(old.cases, new.cases)
    for row in rows_lost:
        other = next((one for one in rows_gained if len(one) > 1 and one[:-1] == row[:-1]), None)
        if other is not None:
            rows_gained.remove(other)
            yield f"expected value of the case ({_short(', '.join(row[:-1]))}) changed from {row[-1]} to {other[-1]}"
        elif len(new.cases) < len(old.cases):
            yield f"removed the case ({_short(', '.join(row))})"


def _by_lines(path: str, old: str, new: str) -> list[str]:
    """The same for languages that are not parsed here: from the lines that differ."""
    said = []
    if len(_SKIP_ELSEWHERE.findall(new)) > len(_SKIP_ELSEWHERE.findall(old)):
        said.append(f"{path}: tests are skipped")
    lost, gained = _difference(_asserting(old), _asserting(new))
    for line in lost:
        skeleton = _LITERAL.sub("_", line)
        instead = next((other for other in gained if _LITERAL.sub("_", other) == skeleton), None)
        if instead is not None:
            gained.remove(instead)
            said.append(f"{path}: expected value changed: {_short(line)} is now {_short(instead)}")
        elif len(_asserting(new)) < len(_asserting(old)) and _kept_tests(path, old, new):
            said.append(f"{path}: removed the assertion {_short(line)}")
    return said


def _kept_tests(path: str, old: str, new: str) -> bool:
    """Whether no test was removed as a whole, which would be said already."""
    return set(_names(path, old)) <= set(_names(path, new))


def _asserting(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if _ASSERTION.search(line)]


def _deselected(path: str, old: str, new: str) -> list[str]:
    _, gained = _difference(old.splitlines(), new.splitlines())
    return [f"{path}: tests are left out by {_short(line.strip())}" for line in gained if _DESELECTED.search(line)]


def _difference(old: Sequence[T], new: Sequence[T]) -> tuple[list[T], list[T]]:
    """What only the one and only the other has, in order."""
    left, right = Counter(old), Counter(new)
    return list((left - right).elements()), list((right - left).elements())


def _value(expected: str) -> str:
    return _short(expected.removeprefix("Eq ")) or "(true)"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
