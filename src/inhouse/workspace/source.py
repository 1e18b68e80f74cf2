"""The functions of a Python file and what they mention, by its syntax tree. Knows no repositories and no ranking."""

from __future__ import annotations

import ast
import copy
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from inhouse.workspace.lines import line_number, lines_of, margin

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Function:
    """A function or method; lines count from 1, decorators and the last line included."""

    path: str
    name: str  # with its class: "Schedule.occurrences"
    first: int
    last: int
    mentions: frozenset[str]  # every identifier and attribute in it

    @property
    def owner(self) -> str | None:
        """The class that it belongs to."""
        return self.name.rpartition(".")[0] or None

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]

    def text(self, source: str) -> str:
        """Its lines in `source`, indented to the left margin."""
        return "\n".join(dedented(lines_of(source)[self.first - 1 : self.last]))


def functions(path: str, source: str) -> list[Function]:
    """Top-level functions and methods, in order (nested ones belong to theirs); none of a file that does not parse."""
    return list(_functions(path, source))


@lru_cache(maxsize=4096)
def _functions(path: str, source: str) -> tuple[Function, ...]:
    tree = parse(source)
    if tree is None:
        return ()
    return tuple(
        Function(path, name, first_line(node), node.end_lineno or node.lineno, mentioned(node))
        for name, node in _walk(tree, "")
    )


def dedented(lines: list[str]) -> list[str]:
    """Lines of code without the first one's margin. What has less of it is inside of a string, and stays."""
    base = margin(lines[0]).lstrip("\f\v") if lines else ""
    return [line.lstrip("\f\v").removeprefix(base) if line.strip() else "" for line in lines]


def find_node(tree: ast.Module, name: str) -> FunctionNode | None:
    """The node of a function by its name with its class; the last one wins, as it does at run time."""
    found = [node for path, node in _walk(tree, "") if path == name]
    return found[-1] if found else None


def class_outline(source: str, name: str, leave_out: str = "") -> str:
    """A class as far as its methods need to know it: fields and other statements, and each method's signature.

    Empty when there is no such class. `leave_out` names a method that is shown elsewhere.
    """
    tree = parse(source)
    found = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name == name] if tree else []
    if not found:
        return ""
    node, lines = found[-1], lines_of(source)
    kept = lines[first_line(node) - 1 : node.body[0].lineno - 1]
    for statement in node.body:
        if isinstance(statement, FunctionNode):
            if statement.name != leave_out:
                kept.append(f"    {signature(statement)} ...")
        elif not _is_docstring(statement):
            kept += lines[statement.lineno - 1 : statement.end_lineno]
    return textwrap.dedent("\n".join(kept))


def class_bases(source: str) -> list[tuple[str, frozenset[str]]]:
    """Every class with the last names of those that it is derived from, such as `Base` of `module.Base`."""
    tree = parse(source)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)] if tree else []
    return [
        (n.name, frozenset(ast.unparse(base).partition("[")[0].rpartition(".")[2] for base in n.bases)) for n in nodes
    ]


def signature(node: FunctionNode) -> str:
    """`def name(arguments) -> result:` on one line."""
    prefix = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{prefix} {node.name}({ast.unparse(node.args)}){result}:"


def outline(source: str, name: str) -> str:
    """A function's signature and the first line of its docstring; empty when there is no such function."""
    tree = parse(source)
    node = find_node(tree, name) if tree else None
    if node is None:
        return ""
    documentation = lines_of(ast.get_docstring(node) or "")
    return signature(node) + (f'\n    """{documentation[0]}"""' if documentation else " ...")


def imported_modules(source: str) -> frozenset[str]:
    """The dotted names that a file imports, and each `module.name` of its from-imports."""
    tree = parse(source)
    found: set[str] = set()
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(found)


@lru_cache(maxsize=512)
def parse(source: str) -> ast.Module | None:
    """The syntax tree, not to be changed, as it is kept; None for what is not Python (or breaks the parser)."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def syntax_error(source: str) -> str | None:
    """What is wrong with a Python source, in one line; None when it parses."""
    try:
        ast.parse(source)
    except SyntaxError as error:
        return f"line {line_number('.py', source, error.lineno or 1)}: {error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return str(error) or type(error).__name__
    return None


def without_comments(source: str) -> str | None:
    """The program in one normal form, without comments and docstrings; None for what does not parse."""
    tree = parse(source)
    if tree is None:
        return None
    tree = copy.deepcopy(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | FunctionNode) and node.body and _is_docstring(node.body[0]):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def first_line(node: FunctionNode | ast.ClassDef) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def mentioned(node: ast.AST) -> frozenset[str]:
    """Every identifier and attribute name below a node."""
    names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
    return frozenset(names | {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)})


def assigned(node: ast.stmt) -> frozenset[str]:
    """The plain names that an assignment binds; empty for any other statement."""
    if isinstance(node, ast.Assign):
        return frozenset(target.id for target in node.targets if isinstance(target, ast.Name))
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return frozenset({node.target.id})
    return frozenset()


def _walk(node: ast.Module | ast.ClassDef | ast.stmt, prefix: str) -> Iterator[tuple[str, FunctionNode]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, FunctionNode):
            yield prefix + child.name, child
        elif isinstance(child, ast.ClassDef):
            yield from _walk(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.If | ast.Try | ast.With):
            yield from _walk(child, prefix)


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
