"""Small faults put into functions of Python, JavaScript, TypeScript and Go, by their syntax trees. Runs nothing.

What `mutations` does with Python's own trees, for languages that tree-sitter reads: an operator, comparison, constant,
argument, condition or statement is changed, and nothing else. All faults of a function come in a fixed order, so that
a seeded draw is the same everywhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

from tree_sitter import Language, Node, Parser

from inhouse.evals.mutations import mutations
from inhouse.workspace import source

Kind = Literal["operator", "comparison", "index", "constant", "argument", "call", "branch", "condition", "statement"]

_GRAMMARS = {
    ".py": ("tree_sitter_python", "language"), ".go": ("tree_sitter_go", "language"),
    ".js": ("tree_sitter_javascript", "language"), ".mjs": ("tree_sitter_javascript", "language"),
    ".cjs": ("tree_sitter_javascript", "language"), ".ts": ("tree_sitter_typescript", "language_typescript"),
}  # fmt: skip
_FUNCTIONS = frozenset(
    ("function_declaration", "function_expression", "arrow_function", "method_definition", "method_declaration",
     "generator_function_declaration", "generator_function", "func_literal")
)  # fmt: skip
_OPERATORS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "&&": "||", "||": "&&", "&": "|", "|": "&",
    "+=": "-=", "-=": "+=", "<<": ">>", ">>": "<<",
}  # fmt: skip
_COMPARISONS = {
    "<": ("<=", ">"), "<=": ("<",), ">": (">=", "<"), ">=": (">",), "==": ("!=",), "!=": ("==",), "===": ("!==",),
    "!==": ("===",),
}  # fmt: skip
_INTEGERS = ("integer", "int_literal", "number")
_BOOLEANS = {"true": "false", "false": "true", "True": "False", "False": "True"}
_STATEMENTS = frozenset(
    ("expression_statement", "assignment_statement", "inc_statement", "dec_statement", "continue_statement",
     "break_statement", "augmented_assignment")
)  # fmt: skip
_TEXTS = ("string", "template_string", "interpreted_string_literal", "raw_string_literal", "rune_literal")


@dataclass(frozen=True)
class Place:
    """A function: its name with its class or receiver, and its first and last line, from 1."""

    path: str
    name: str
    first: int
    last: int

    @property
    def lines(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True)
class Fault:
    """One fault: the whole text with it, the line (from 1) where it is, and what stood there before and stands now."""

    kind: Kind
    line: int
    before: str
    after: str
    text: str


def is_known(path: str) -> bool:
    """Whether faults can be put into a file."""
    return path[path.rfind(".") :] in _GRAMMARS


def places(path: str, text: str) -> list[Place]:
    """The named functions of a file, in the order of their lines. Of Python, nested ones belong to theirs."""
    if path.endswith(".py"):
        return [Place(path, one.name, one.first, one.last) for one in source.functions(path, text)]
    found = []
    for node in _walk(_parsed(path, text.encode()).root_node):
        if node.type in _FUNCTIONS and (name := _name(node)):
            found.append(Place(path, name, node.start_point[0] + 1, node.end_point[0] + 1))
    return found


def faults(text: str, place: Place) -> list[Fault]:
    """Every fault that can be put into a function, those inside of its inner named functions left out.

    Few of them break the file's syntax: see `is_sound`.
    """
    data = text.encode()
    tree = _parsed(place.path, data)
    inner = [one for one in places(place.path, text) if holds(place, one)]
    found: list[Fault] = []
    python = place.path.endswith(".py")
    if python and all(one.name != place.name or one == place for one in places(place.path, text)):
        found += [Fault(one.kind, one.line, one.before, one.after, one.text) for one in mutations(text, place.name)]
    body = _body(tree.root_node, place)
    for node in _walk(body) if body is not None else ():
        line = node.start_point[0] + 1
        if any(one.first <= line <= one.last for one in inner):
            continue
        for kind, part, new in _changed(node, python=python):
            mutated = (data[: part.start_byte] + new.encode() + data[part.end_byte :]).decode("utf-8")
            found.append(Fault(kind, part.start_point[0] + 1, _text(part), new or "(nothing)", mutated))
    return found


def is_sound(path: str, text: str) -> bool:
    """Whether a file is of its language; a fault may have made it something else."""
    return not _parsed(path, text.encode()).root_node.has_error


def holds(outer: Place, one: Place) -> bool:
    """Whether a function lies inside of another one of its file."""
    return one.path == outer.path and one != outer and outer.first <= one.first and one.last <= outer.last


def _body(root: Node, place: Place) -> Node | None:
    """The body of a function: what stands between its signature and its end."""
    types = (*_FUNCTIONS, "function_definition")
    for node in _walk(root):
        if node.type in types and node.end_point[0] + 1 == place.last and node.start_point[0] + 1 >= place.first:
            name = node.child_by_field_name("name")
            if node.type != "function_definition" or (name and _text(name) == place.name.rpartition(".")[2]):
                return node.child_by_field_name("body")
    return None


def _changed(node: Node, *, python: bool) -> Iterator[tuple[Kind, Node, str]]:
    """What can be wrong at a node: the part that changes, and its wrong text."""
    kind = node.type
    if not python:  # Python's own tree knows these better
        if kind in ("binary_expression", "augmented_assignment_expression", "assignment_statement"):
            yield from _other_operators(node)
        if kind == "if_statement" and (test := node.child_by_field_name("condition")) is not None:
            yield ("branch", test, f"(!{_text(test)})" if _text(test).startswith("(") else f"!({_text(test)})")
        if kind == "ternary_expression" and (test := node.child_by_field_name("condition")) is not None:
            yield "branch", test, f"!({_text(test)})"
        at = node.child_by_field_name("index") if kind in ("subscript_expression", "index_expression") else None
        if at is not None and at.type not in (*_TEXTS, *_INTEGERS):
            yield "index", at, f"{_text(at)} - 1"
        if kind in ("arguments", "argument_list"):
            yield from _swapped(node)
    if kind in _INTEGERS and _text(node).isdecimal():
        yield "constant", node, str(int(_text(node)) + 1)
    if kind in ("true", "false"):
        yield "constant", node, _BOOLEANS[_text(node)]
    if kind in ("boolean_operator", "binary_expression"):
        left, operator = node.child_by_field_name("left"), node.child_by_field_name("operator")
        if left is not None and operator is not None and _text(operator) in ("and", "or", "&&", "||"):
            yield "condition", node, _text(left)
    inside = node.parent is not None and node.parent.type in ("block", "statement_block", "statement_list")
    if kind in _STATEMENTS and inside and not _is_documentation(node):
        yield "statement", node, "pass" if python else ""


def _other_operators(node: Node) -> Iterator[tuple[Kind, Node, str]]:
    operator = node.child_by_field_name("operator")
    if operator is None:
        return
    if any(side.type in _TEXTS for side in node.children):  # "-" of texts fails at once
        return
    said = _text(operator)
    if said in _OPERATORS:
        yield "operator", operator, _OPERATORS[said]
    for other in _COMPARISONS.get(said, ()):
        yield "comparison", operator, other


def _swapped(node: Node) -> Iterator[tuple[Kind, Node, str]]:
    """A call's first two arguments in the wrong order, and one left out."""
    arguments = [child for child in node.children if child.is_named and child.type != "comment"]
    if len(arguments) == 2 and _text(arguments[0]) != _text(arguments[1]):
        yield "argument", node, f"({_text(arguments[1])}, {_text(arguments[0])})"


def _is_documentation(node: Node) -> bool:
    return len(node.children) > 0 and node.children[0].type in _TEXTS


def _name(node: Node) -> str:
    """What a function is called: by itself, or by what it is assigned to."""
    own = node.child_by_field_name("name")
    receiver = node.child_by_field_name("receiver")
    if own is not None:
        owner = _text(receiver).strip("()").rpartition(" ")[2].lstrip("*") if receiver is not None else ""
        return f"{owner}.{_text(own)}" if owner else _text(own)
    parent = node.parent
    if parent is None:
        return ""
    field = {"variable_declarator": "name", "assignment_expression": "left", "pair": "key"}.get(parent.type, "")
    target = parent.child_by_field_name(field) if field else None
    return _text(target) if target is not None and "\n" not in _text(target) else ""


def _walk(node: Node) -> Iterator[Node]:
    stack = [node]
    while stack:
        here = stack.pop()
        yield here
        stack += reversed(here.children)


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")


def _parsed(path: str, data: bytes):  # type: ignore[no-untyped-def]  # tree_sitter.Tree, which has no stubs
    return _parser(path[path.rfind(".") :]).parse(data)


@cache
def _parser(suffix: str) -> Parser:
    module, language = _GRAMMARS[suffix]
    return Parser(Language(getattr(importlib.import_module(module), language)()))
