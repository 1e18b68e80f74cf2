"""Whether a changed function still returns the same kind of thing: callers rely on it where no test does.

A generator that became a function which returns a list, or a dictionary's view that became a list, makes one
reproduced value right and breaks who calls `next` or iterates lazily. Judged by the syntax alone; what it does not tell
is allowed.
"""

from __future__ import annotations

import ast
import re

from inhouse.workspace import source

_KINDS = {
    "list": "list", "sorted": "list", "tuple": "tuple", "dict": "dict", "set": "set", "frozenset": "frozenset",
    "str": "string", "map": "iterator", "filter": "iterator", "zip": "iterator", "iter": "iterator",
    "reversed": "iterator", "enumerate": "iterator", "range": "range",
}  # fmt: skip
_VIEWS = {"items": "dictionary view", "keys": "dictionary view", "values": "dictionary view"}
_LITERALS: dict[type[ast.expr], str] = {
    ast.List: "list", ast.ListComp: "list", ast.Tuple: "tuple", ast.Dict: "dict", ast.DictComp: "dict",
    ast.Set: "set", ast.SetComp: "set", ast.GeneratorExp: "iterator", ast.JoinedStr: "string",
}  # fmt: skip
_ASKED_FOR = re.compile(
    r"\b(generators?|iterators?|lazy|lazily|instead of an? (?:list|tuple|dict|set|generator|iterator|view)|"
    r"an? (?:list|tuple|dict|set|generator|iterator) (?:is|was|should be) (?:expected|returned)|"
    r"should (?:be|return|yield|give) an? (?:list|tuple|dict|set|generator|iterator))\b",
    re.IGNORECASE,
)


def kind_changed(before: str, after: str, name: str, report: str) -> str:
    """How the kind of a function's result differs between two texts of a Python file, in words; "" if it does not.

    `report` is what the user asks for; where it speaks of a kind, any is right.
    """
    if _ASKED_FOR.search(report):
        return ""
    old, new = _node(before, name), _node(after, name)
    if old is None or new is None:
        return ""
    if type(old) is not type(new):
        return f"{name} would no longer be {'a coroutine' if isinstance(old, ast.AsyncFunctionDef) else 'a function'}"
    if _is_generator(old) != _is_generator(new):
        return f"{name} would no longer be a generator" if _is_generator(old) else f"{name} would be a generator"
    kinds, other = _kinds(old), _kinds(new)
    if kinds and other and not kinds & other:
        return f"{name} would return a {'/'.join(sorted(other))}, no {'/'.join(sorted(kinds))}"
    return ""


def _node(text: str, name: str) -> source.FunctionNode | None:
    tree = source.parse(text)
    return source.find_node(tree, name) if tree is not None else None


def _own(node: ast.AST) -> list[ast.AST]:
    """What is below a function, without the functions and classes in it."""
    found: list[ast.AST] = []
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            found += [child, *_own(child)]
    return found


def _is_generator(node: source.FunctionNode) -> bool:
    return any(isinstance(part, ast.Yield | ast.YieldFrom) for part in _own(node))


def _kinds(node: source.FunctionNode) -> frozenset[str]:
    """The kinds of what is returned, as far as expressions tell."""
    returned = (part.value for part in _own(node) if isinstance(part, ast.Return) and part.value is not None)
    return frozenset(kind for value in returned if (kind := _kind(value)))


def _kind(value: ast.expr) -> str:
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        return "string"
    if isinstance(value, ast.Call):
        if isinstance(value.func, ast.Name):
            return _KINDS.get(value.func.id, "")
        if isinstance(value.func, ast.Attribute) and not value.args:
            return _VIEWS.get(value.func.attr, "")
    return _LITERALS.get(type(value), "")
