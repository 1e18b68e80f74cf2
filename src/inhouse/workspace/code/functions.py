"""The functions of a source file in any language that is understood: their names, their places, how they look.

The one way in for those who rank, show and replace functions: Python is read by its own syntax tree, JavaScript,
TypeScript, Go and Rust by tree-sitter's; of any other text there are no functions. Knows no repositories.
"""

from __future__ import annotations

import ast
import re
import textwrap
from functools import lru_cache

from inhouse.workspace import source
from inhouse.workspace.code import trees
from inhouse.workspace.code.languages import language_of
from inhouse.workspace.source import Function


def is_understood(path: str) -> bool:
    """Whether functions are told in files of this name."""
    return path.endswith(".py") or language_of(path) in trees.LANGUAGES


def language_name(path: str) -> str:
    """The language in prose: "Python", "TypeScript"; "" of any other file."""
    return "Python" if path.endswith(".py") else trees.NAMES.get(language_of(path) or "", "")


def fence(path: str) -> str:
    """What a code block of such a file is marked with; "" where no mark is known."""
    return language_of(path) or ""


def functions(path: str, text: str) -> list[Function]:
    """The functions and methods of a file, in order; none of what is not understood, and no tests beside a program."""
    return source.functions(path, text) if path.endswith(".py") else list(_of_tree(path, text))


@lru_cache(maxsize=2048)
def _of_tree(path: str, text: str) -> tuple[Function, ...]:
    file = trees.parsed(path, text)
    return tuple(trees.functions(path, file)) if file is not None else ()


def test_functions(path: str, text: str) -> list[Function]:
    """The tests of a file, by the names or titles that their runner shows."""
    if path.endswith(".py"):
        return source.functions(path, text)
    file = trees.parsed(path, text)
    return trees.test_functions(path, file) if file is not None else []


def test_lines(path: str, text: str) -> list[tuple[int, int]]:
    """First and last lines of the tests that stand in a program's own file, as Rust's do."""
    file = trees.parsed(path, text)
    return trees.test_lines(file) if file is not None else []


def find(path: str, text: str, name: str, first: int | None = None) -> Function | None:
    """A function by its name; of several of that name the one that begins at line `first`, else the last."""
    found = [one for one in functions(path, text) if one.name == name]
    return next((one for one in found if one.first == first), found[-1] if found else None)


def syntax_error(path: str, text: str) -> str | None:
    """What is wrong with a file, in one line; None when it parses, or its language is not understood."""
    if path.endswith(".py"):
        return source.syntax_error(text)
    file = trees.parsed(path, text)
    return f"line {file.error}" if file is not None and file.error is not None else None


def normal_form(path: str, text: str) -> str | None:
    """What two versions of a file have in common that differ in comments, documentation or layout alone.

    None for what does not parse, or is not understood.
    """
    if path.endswith(".py"):
        return source.without_comments(text)
    file = trees.parsed(path, text)
    return trees.normal_form(file) if file is not None and file.error is None else None


def outline(path: str, text: str, function: Function) -> str:
    """A function's signature and the first line of what is said of it."""
    if path.endswith(".py"):
        return source.outline(text, function.name)
    file = trees.parsed(path, text)
    found = file.find(function.name, function.first) if file is not None else None
    return trees.outline(found) if found is not None else ""


def class_outline(path: str, text: str, name: str, leave_out: str = "") -> str:
    """A class as far as its functions need to know it; "" where there is none. `leave_out` is shown elsewhere."""
    if path.endswith(".py"):
        return source.class_outline(text, name, leave_out)
    file = trees.parsed(path, text)
    return trees.class_outline(file, name, leave_out) if file is not None else ""


def is_documented(path: str, text: str, function: Function) -> bool:
    """Whether a function says what it should do, and has a body beside that."""
    if path.endswith(".py"):
        tree = source.parse(text)
        node = source.find_node(tree, function.name) if tree else None
        return node is not None and len(ast.get_docstring(node) or "") > 0 and len(node.body) > 1
    file = trees.parsed(path, text)
    found = file.find(function.name, function.first) if file is not None else None
    return found is not None and trees.is_documented(found)


def head(path: str, text: str, function: Function) -> str:
    """A function down to its first statement, at the left margin, so that what goes on from it is that function.

    It ends with a line's end, or, of a function on one line, where its parameters begin.
    """
    if not path.endswith(".py"):
        file = trees.parsed(path, text)
        found = file.find(function.name, function.first) if file is not None else None
        return trees.head(file, found) if file is not None and found is not None else ""
    tree = source.parse(text)
    node = source.find_node(tree, function.name) if tree else None
    if node is None:
        return f"def {function.short_name}("
    statements = node.body[1:] if len(node.body) > 1 and ast.get_docstring(node) is not None else node.body
    lines = text.split("\n")[node.lineno - 1 : statements[0].lineno - 1]
    found_head = textwrap.dedent("\n".join(lines))
    if statements[0].lineno == node.lineno or "```" in found_head:  # all on one line, or it would close the block
        return source.signature(node).partition("(")[0] + "("
    return found_head + "\n"


def declared(path: str, text: str) -> list[tuple[tuple[str, ...], int, int]]:
    """Constants, tables, patterns at a file's top: their names, first and last line. No functions, no imports."""
    if path.endswith(".py"):
        tree = source.parse(text)
        return [
            (tuple(sorted(names)), node.lineno, node.end_lineno or node.lineno)
            for node in (tree.body if tree else ())
            if (names := source.assigned(node) - {"__all__"})
        ]
    file = trees.parsed(path, text)
    return trees.declared(file) if file is not None else []


def mentioned(path: str, text: str) -> frozenset[str]:
    """Every identifier and attribute in a text; of what does not parse, every word."""
    if path.endswith(".py"):
        tree = source.parse(text)
        return source.mentioned(tree) if tree else frozenset(re.findall(r"\w+", text))
    return frozenset(re.findall(r"[\w$]+", text))
