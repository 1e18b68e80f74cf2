"""Tests that a model drafts to show a problem: the file made of an answer, its place, what its failure tells.

Imports are ours rather than the model's: whatever name the program, its tests or the standard library explain is
imported as they do it, so that a draft fails for what the program does. Runs nothing and asks nothing.
"""

from __future__ import annotations

import ast
import builtins
import copy
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from inhouse.repair.localise import Suspect
from inhouse.workspace import source
from inhouse.workspace.edits import EditError, fenced_blocks
from inhouse.workspace.files import is_test_file
from inhouse.workspace.lines import lines_of
from inhouse.workspace.testing.report import TestReport

_EXAMPLES = 2  # tests shown of a suspect
_LONGEST_EXAMPLE = 25  # lines
_FILES = 4096  # whose names are remembered from one draft to the next
_RAISED = re.compile(r"^(?:[\w.]+\.)?(\w+)(?::|$)")
_OBJECT = re.compile(r"assert <(?:async_)?(?:generator|coroutine|map|filter|zip|\S+) object\b[^>]*> (?:==|is) ")
_SPEAKS_OF_ERRORS = re.compile(
    r"crash|exception|error|raise|traceback|fail|reject|refuse|invalid|accept", re.IGNORECASE
)


@dataclass(frozen=True)
class Example:
    """Tests of the user's that show how a suspect is used, and the file that they stand in ("" for none)."""

    path: str
    tests: tuple[str, ...]


def example(suspect: Suspect, test_texts: Mapping[str, str]) -> Example:
    """The shortest of the tests that use a suspect, else the file of tests that is named after its module."""
    owner, _, name = suspect.name.rpartition(".")
    found = []
    for path, text in test_texts.items():
        imported = source.imported_modules(text)
        if not any(part.rpartition(".")[2] in (name, owner or name, _stem(suspect.path)) for part in imported):
            continue
        for function in source.functions(path, text):
            lines = function.last - function.first + 1
            if function.short_name.startswith("test") and name in function.mentions and lines <= _LONGEST_EXAMPLE:
                found.append((lines, path, function.text(text)))
    if found:
        found.sort()
        path = found[0][1]
        return Example(path, tuple(text for _, where, text in found if where == path)[:_EXAMPLES])
    near = [path for path in test_texts if _stem(suspect.path) in path.rpartition("/")[2]]
    return Example(min([*near, *test_texts], key=lambda path: (path not in near, path), default=""), ())


def new_path(beside: str, taken: Iterable[str], suspect: Suspect) -> str:
    """A free path for a new test file, in the folder of `beside` and called as files there are."""
    folder, _, neighbour = beside.rpartition("/")
    names = {path.rpartition("/")[2] for path in taken}
    what = re.sub(r"\W+", "_", suspect.name.rpartition(".")[2].strip("_")).lower() or "program"
    for number in ("", *(f"_{n}" for n in range(2, 100))):
        stem = f"{what}_reproduction{number}"
        name = f"{stem}_test.py" if neighbour.endswith("_test.py") else f"test_{stem}.py"
        if name not in names:
            break
    return f"{folder}/{name}" if folder else name


def opening(suspect: Suspect, problem: str) -> str:
    """The beginning of a draft, which the model goes on from: the import, and a test as far as it is known.

    A call of the suspect that the problem quotes with its arguments is what the test must try.
    """
    head = f"from {module(suspect.path)} import {_top(suspect)}\n\n\ndef test_"
    call = quoted_call(suspect, problem)
    return f"{head}{suspect.name.rpartition('.')[2].strip('_')}():\n    assert {call}" if call else head


def quoted_call(suspect: Suspect, problem: str) -> str:
    """The first call of a suspect in a problem's text whose arguments are all values; "" where there is none."""
    owner, _, name = suspect.name.rpartition(".")
    for match in re.finditer(rf"(?<![\w.])((?:\w+\.)*){re.escape(name)}\(", problem):
        of = match[1].rstrip(".").rpartition(".")[2]
        if of not in ((owner,) if owner else ("", _stem(suspect.path))):
            continue
        ends = [end for end in range(match.end(), min(len(problem), match.end() + 400)) if problem[end] == ")"]
        for end in ends:
            tree = source.parse(problem[match.start() : end + 1])
            if tree is None:
                continue
            call = tree.body[0].value if len(tree.body) == 1 and isinstance(tree.body[0], ast.Expr) else None
            if isinstance(call, ast.Call) and call.args and all(map(_is_value, call.args)):
                return ast.unparse(call)
            break
    return ""


def told(said: str, problem: str) -> float:
    """Which share of an assertion's values stand in the problem's text; 0 where it has none."""
    tree = source.parse(said)
    nodes = list(ast.walk(tree)) if tree else []
    signed = {n.operand: f"-{ast.unparse(n.operand)}" for n in nodes if isinstance(n, ast.UnaryOp) and _is_minus(n)}
    constants = [(signed.get(node, str(node.value)), node.value) for node in nodes if isinstance(node, ast.Constant)]
    values = [text for text, value in constants if value is not None and not isinstance(value, bool)]
    found = [value for value in values if value and re.search(rf"(?<![\w.-]){re.escape(value)}(?!\w|\.\d)", problem)]
    return len(found) / len(values) if values else 0.0


def module(path: str) -> str:
    """What a file of the repository is imported as."""
    return path.removesuffix(".py").removeprefix("src/").removesuffix("/__init__").replace("/", ".")


def drafted(suspect: Suspect, answer: str, texts: Mapping[str, str], test_texts: Mapping[str, str]) -> str:
    """The test file that an answer amounts to: its first test, with the imports it needs. Raises EditError.

    `texts` are the program's files, `test_texts` those of its tests.
    """
    blocks = fenced_blocks(answer)
    code = blocks[0] if blocks else ""
    tree = source.parse(code)
    tests = [node for node in tree.body if isinstance(node, source.FunctionNode)] if tree else []
    tests = [node for node in tests if node.name.startswith("test")]
    if tree is None or not tests:
        raise EditError(f"there is no test in the answer ({source.syntax_error(code) or 'no function test_...'})")
    test = tests[0]
    if _top(suspect) not in source.mentioned(test) and suspect.name.rpartition(".")[2] not in source.mentioned(test):
        raise EditError(f"the test does not use {suspect.name}")
    if not any(isinstance(node, ast.Assert) or _calls(node, "raises") for node in ast.walk(test)):
        raise EditError("the test asserts nothing")
    lines = lines_of(code)
    body = "\n".join(lines[source.first_line(test) - 1 : test.end_lineno])
    imports = _imports(suspect, _unbound(test), tree, texts, test_texts)
    return f"{imports}\n\n\n{body.rstrip()}\n" if imports else f"{body.rstrip()}\n"


def assertion(text: str, line: int | None) -> str:
    """What a draft holds to be true at a line: its assertion, with the names that were given values put in."""
    tree = copy.deepcopy(source.parse(text))  # names in it are replaced
    test = next((node for node in tree.body if isinstance(node, source.FunctionNode)), None) if tree else None
    if test is None:
        return ""
    values: dict[str, ast.expr] = {}
    found: ast.AST = test
    for statement in test.body:
        found = statement
        if line is not None and line <= (statement.end_lineno or statement.lineno):
            break
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
            if isinstance(target, ast.Name):
                values[target.id] = _Inlined(values).visit(statement.value)
    found = found.test if isinstance(found, ast.Assert) else found
    return ast.unparse(_Inlined(values).visit(found))


@dataclass(frozen=True)
class Shown:
    """A draft's failure: what it says, and at which line of the draft; `named`: an exception that the problem names."""

    says: str
    line: int | None
    named: bool = False


def shown(outcome: TestReport, path: str, problem: str) -> Shown | str:
    """How a draft at `path` failed, where the program's behaviour is why; else why not, in words.

    An assertion that does not hold is one; an exception only if it comes out of the program's code, and the problem
    speaks of errors. Anything that goes wrong in the draft itself is the draft's own mistake.
    """
    if outcome.stopped:
        return f"it was stopped: {outcome.stopped}"
    mine = [failure for failure in outcome.failures if failure.id.startswith(f"{path}::")]
    others = [failure for failure in outcome.failures if failure not in mine]
    if others:
        return f"it cannot be run: {_first(others[0].message)}"
    if not mine:
        return "it passes"
    failure = mine[0]
    if not failure.message:
        return "its failure is not described"
    if not failure.places:
        return f"a mistake of its own: {_first(failure.message)}"
    line = next((place.line for place in reversed(failure.places) if place.path == path), None)
    first = _first(failure.message)
    if compared := _OBJECT.search(first):
        return f"it compares an object with a value, and would fail with every patch: {compared[0]}"
    raised = [match[1] for said in failure.message.splitlines() if (match := _RAISED.match(said))]
    name = raised[-1] if raised else ""
    inside = not is_test_file(failure.places[-1].path)
    if first.startswith(("assert ", "AssertionError")) or (name == "Failed" and "DID NOT RAISE" in first):
        if name == "Failed" and not _SPEAKS_OF_ERRORS.search(problem):
            return f"the problem speaks of no error: {first}"
        return Shown(failure.message, line)
    if not inside:
        return f"a mistake of its own: {first}"
    named = bool(name) and re.search(rf"\b{re.escape(name)}\b", problem) is not None
    if not named and not _SPEAKS_OF_ERRORS.search(problem):
        return f"the problem speaks of no error: {first}"
    return Shown(failure.message, line, named)


def _imports(
    suspect: Suspect, names: Sequence[str], tree: ast.Module, texts: Mapping[str, str], test_texts: Mapping[str, str]
) -> str:
    """The import statements that bind `names`, as far as anything tells what they are."""
    said: dict[str, str] = {}
    for text in [*texts.values(), *test_texts.values()]:
        said = _imported(text) | said
    answered: dict[str, str] = {}
    for statement in tree.body:
        answered |= _bindings(statement)
    ours = {p.removeprefix("src/").partition("/")[0].removesuffix(".py") for p in texts}
    lines = []
    for name in names:
        defined = [p for p, text in texts.items() if p.endswith(".py") and name in _definitions(text)]
        if defined:
            lines.append(f"from {module(min(defined, key=lambda p: p != suspect.path))} import {name}")
        elif line := said.get(name) or answered.get(name):
            lines.append(line)
        elif name in sys.stdlib_module_names or name == "pytest" or name in ours:
            lines.append(f"import {name}")
    groups = {line: line.split()[1].partition(".")[0] in ours for line in _merged(lines)}
    first, last = ([line for line, own in groups.items() if own is wanted] for wanted in (False, True))
    return "\n\n".join("\n".join(group) for group in (first, last) if group)


def _merged(lines: Sequence[str]) -> list[str]:
    """Import statements, those from one module made one, sorted."""
    modules: dict[str, list[str]] = {}
    for line in dict.fromkeys(lines):
        head, _, name = line.partition(" import ") if line.startswith("from ") else (line, "", "")
        modules.setdefault(head, []).append(name)
    merged = (f"{head} import {', '.join(sorted(names))}" if names[0] else head for head, names in modules.items())
    return sorted(merged, key=lambda line: (line.startswith("from "), line))


def _bindings(statement: ast.stmt) -> dict[str, str]:
    """Name to the import statement that binds it, absolute ones only."""
    if isinstance(statement, ast.Import):
        return {
            (alias.asname or alias.name.partition(".")[0]): ast.unparse(ast.Import([alias]))
            for alias in statement.names
        }
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        if statement.module == "__future__":
            return {}
        return {
            (alias.asname or alias.name): ast.unparse(ast.ImportFrom(statement.module, [alias], 0))
            for alias in statement.names
        }
    return {}


@lru_cache(_FILES)
def _imported(text: str) -> dict[str, str]:
    """Name to the first import statement of a file that binds it."""
    tree, found = source.parse(text), dict[str, str]()
    for statement in tree.body if tree else ():
        found = _bindings(statement) | found
    return found


@lru_cache(_FILES)
def _definitions(text: str) -> frozenset[str]:
    tree = source.parse(text)
    found: set[str] = set()
    for node in tree.body if tree else ():
        if isinstance(node, source.FunctionNode | ast.ClassDef):
            found.add(node.name)
        else:
            found |= source.assigned(node)
    return frozenset(found)


def _unbound(test: source.FunctionNode) -> list[str]:
    """The names that a test takes from outside, in order."""
    bound = {node.id for node in ast.walk(test) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(test) if isinstance(node, ast.arg)}
    bound |= {alias.asname or alias.name for n in ast.walk(test) if isinstance(n, ast.Import | ast.ImportFrom)
              for alias in n.names}  # fmt: skip
    bound |= {node.name for node in ast.walk(test) if isinstance(node, source.FunctionNode | ast.ClassDef)}
    bound |= {node.name for node in ast.walk(test) if isinstance(node, ast.ExceptHandler) and node.name}
    used = [n.id for n in ast.walk(test) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    return sorted({name for name in used if name not in bound and not hasattr(builtins, name)})


def _is_minus(node: ast.UnaryOp) -> bool:
    return isinstance(node.op, ast.USub)


def _is_value(node: ast.expr) -> bool:
    """Whether an expression means the same wherever it stands: no names in it but those of what it calls."""
    called = {call.func for call in ast.walk(node) if isinstance(call, ast.Call)}
    return not any(isinstance(n, ast.Name) and n not in called for n in ast.walk(node))


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name


def _top(suspect: Suspect) -> str:
    return suspect.name.partition(".")[0]


def _stem(path: str) -> str:
    return module(path).rpartition(".")[2]


def _first(text: str) -> str:
    return next(iter(text.strip().splitlines()), "")


class _Inlined(ast.NodeTransformer):
    """Puts values in the places of names."""

    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._values.get(node.id, node)
