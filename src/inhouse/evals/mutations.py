"""Small faults put into Python functions: an operator, comparison, index, branch or call changed. Runs nothing.

Only the changed expression is written anew; comments, docstrings and layout stay as they are, as in a real slip. All
mutations of a text come in a fixed order, so that a seeded draw from them is the same everywhere.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from inhouse.workspace.lines import kept_ends
from inhouse.workspace.source import FunctionNode, find_node

Kind = Literal["operator", "comparison", "index", "branch", "call"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_OPERATORS: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add,), ast.Div: (ast.FloorDiv,),
    ast.FloorDiv: (ast.Mod,), ast.Mod: (ast.FloorDiv,), ast.Pow: (ast.Mult,), ast.BitXor: (ast.BitOr,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip
_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt,), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt,),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
_CALLS = {
    "min": "max", "max": "min", "any": "all", "all": "any", "sum": "max", "ceil": "floor", "floor": "ceil",
    "round": "int", "upper": "lower", "lower": "upper", "isupper": "islower", "islower": "isupper",
    "startswith": "endswith", "endswith": "startswith", "find": "rfind", "rfind": "find", "lstrip": "rstrip",
    "rstrip": "lstrip", "isalpha": "isdigit", "isdigit": "isalpha", "keys": "values", "values": "keys",
}  # fmt: skip

Node = TypeVar("Node", bound=ast.AST)
Changeable = ast.expr | ast.AugAssign


@dataclass(frozen=True)
class Mutation:
    """One fault: the whole text with it, the line (from 1) where it is, and the expression before and after."""

    kind: Kind
    line: int
    before: str
    after: str
    text: str


def mutations(text: str, function: str) -> list[Mutation]:
    """Every fault that can be put into a function of `text`, a method with its class: "Schedule.occurrences"."""
    definition = find_node(ast.parse(text), function)
    if definition is None:
        raise LookupError(f"there is no function {function}")
    found = []
    for part in _parts(definition):
        for kind, node, new in _changed(part):
            mutated = _spliced(text, node, new)
            if mutated is not None:
                found.append(Mutation(kind, node.lineno, ast.unparse(node), ast.unparse(new), mutated))
    return found


def _parts(definition: FunctionNode) -> Iterator[ast.AST]:
    """Everything in a function that may be changed, in the order of the text; no signature, no part of an f-string."""
    stack: list[ast.AST] = list(reversed(definition.body))
    while stack:
        node = stack.pop()
        if isinstance(node, ast.JoinedStr | ast.arguments):  # Python 3.11 does not know where an f-string's parts are
            continue
        yield node
        stack += reversed(list(ast.iter_child_nodes(node)))


def _changed(node: ast.AST) -> Iterator[tuple[Kind, Changeable, Changeable]]:
    """What can be wrong at a node: the expression that changes, and its wrong version."""
    match node:
        case ast.BinOp(op=op) | ast.AugAssign(op=op):
            if not _is_text(node):
                for operator in _OPERATORS.get(type(op), ()):
                    yield "operator", node, _with(node, "op", operator())
        case ast.BoolOp(op=joint):
            yield "operator", node, _with(node, "op", ast.Or() if isinstance(joint, ast.And) else ast.And())
        case ast.Compare(ops=[first, *rest]):
            for comparison in _COMPARISONS.get(type(first), ()):
                yield "comparison", node, _with(node, "ops", [comparison(), *rest])
        case ast.Subscript(slice=place):
            for other in _other_places(place):
                yield "index", node, _with(node, "slice", other)
        case ast.If(test=test) | ast.IfExp(test=test):
            yield "branch", test, _negated(test)
        case ast.comprehension(ifs=[test, *_]):
            yield "branch", test, _negated(test)
        case ast.Call():
            for call in _other_calls(node):
                yield "call", node, call


def _other_places(place: ast.expr) -> Iterator[ast.expr]:
    """An index, or one bound of a slice, off by one."""
    if isinstance(place, ast.Slice):
        for bound in ("lower", "upper"):
            at = getattr(place, bound)
            if at is not None:
                yield from (_with(place, bound, moved) for moved in _moved(at))
    elif not isinstance(place, ast.Tuple) and not (isinstance(place, ast.Constant) and isinstance(place.value, str)):
        yield from _moved(place)


def _moved(at: ast.expr) -> list[ast.expr]:
    match at:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return [ast.Constant(value + 1)]
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))):
            return [ast.UnaryOp(ast.USub(), ast.Constant(value + 1))]
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub(), right=ast.Constant(value=int())):
            return [copy.deepcopy(left)]
        case _:
            return [ast.BinOp(copy.deepcopy(at), ast.Sub(), ast.Constant(1))]


def _other_calls(call: ast.Call) -> Iterator[ast.expr]:
    """Another function, or arguments that are not quite right."""
    function = call.func
    name = (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )
    if other := _CALLS.get(name):
        field = "id" if isinstance(function, ast.Name) else "attr"
        if not (name == "round" and len(call.args) > 1):
            yield _with(call, "func", _with(function, field, other))
    if name == "range":
        last = call.args[min(1, len(call.args) - 1)]
        yield _with(call, "args", [_with_one_less(last) if arg is last else arg for arg in call.args])
    if name in ("sorted", "sort"):
        kept = [keyword for keyword in call.keywords if keyword.arg != "reverse"]
        reversed_now = [] if len(kept) < len(call.keywords) else [ast.keyword("reverse", ast.Constant(True))]
        yield _with(call, "keywords", [*kept, *reversed_now])
        if any(keyword.arg == "key" for keyword in call.keywords):
            yield _with(call, "keywords", [keyword for keyword in call.keywords if keyword.arg != "key"])
    if name in ("abs", "set", "list", "reversed") and len(call.args) == 1:
        yield copy.deepcopy(call.args[0])
    if len(call.args) == 2 and name not in ("range", "isinstance", "append", *_CALLS):
        yield _with(call, "args", list(reversed(call.args)))


def _with_one_less(bound: ast.expr) -> ast.expr:
    match bound:
        case ast.BinOp(left=left, op=ast.Add(), right=ast.Constant(value=1)):
            return copy.deepcopy(left)
        case _:
            return ast.BinOp(copy.deepcopy(bound), ast.Sub(), ast.Constant(1))


def _negated(test: ast.expr) -> ast.expr:
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return copy.deepcopy(test.operand)
    return ast.UnaryOp(ast.Not(), copy.deepcopy(test))


def _is_text(node: ast.BinOp | ast.AugAssign) -> bool:
    """Whether an operand is plainly a text: "%" formats there, and "-" fails at once."""
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    return any(isinstance(side, ast.JoinedStr) or _is_string(side) for side in sides)


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _with(node: Node, field: str, value: object) -> Node:
    new = copy.deepcopy(node)
    setattr(new, field, value)
    return new


def _spliced(text: str, node: Changeable, new: Changeable) -> str | None:
    """`text` with a node written anew; None when that changes nothing or is no Python."""
    lines = kept_ends(text)
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    before = lines[first].encode()[: node.col_offset].decode()
    after = lines[last].encode()[node.end_col_offset :].decode()
    written = ast.unparse(ast.fix_missing_locations(new))
    bare, safe = ("".join([*lines[:first], before, form, after, *lines[last + 1 :]]) for form in _forms(new, written))
    meant = _structure(safe)
    if meant is None or meant == _structure(text):
        return None
    return bare if _structure(bare) == meant else safe  # parentheses only where needed, as somebody would write it


def _forms(new: Changeable, written: str) -> tuple[str, str]:
    return (written, written) if isinstance(new, ast.AugAssign) else (written, f"({written})")


def _structure(text: str) -> str | None:
    try:
        return ast.dump(ast.parse(text))
    except SyntaxError:
        return None
