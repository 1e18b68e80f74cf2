"""The functions that a JavaScript, TypeScript, Go or Rust tree defines, by the names that a reader would call them.

Names join what a function belongs to with dots: a class, an object, a Go receiver's type, the type of a Rust `impl`.
Functions inside of functions belong to theirs, but for those whose body is a module: an immediately called function, a
callback of a call that stands alone, or a long function, which mostly holds others. Knows no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tree_sitter import Node

from inhouse.workspace.code.languages import node_text

Shape = Literal["declaration", "method", "value"]

CLOSURES = frozenset({"arrow_function", "function_expression", "generator_function"})
_DECLARED = frozenset({"function_declaration", "generator_function_declaration"})
_CLASSES = frozenset({"class_declaration", "abstract_class_declaration", "class"})
_WRAPPERS = frozenset({"parenthesized_expression", "as_expression", "satisfies_expression", "non_null_expression"})
_ANONYMOUS = frozenset({"module.exports", "exports", "default"})  # names that say less than a function's own
_TEST_CALLS = frozenset({"test", "it", "specify", "describe", "context", "suite"})
_LONG = 60  # lines of a function that is looked into
_PLAIN_NAME = re.compile(r"[\w$#]+(\.[\w$#]+)*")


@dataclass(frozen=True)
class Definition:
    """A function: its name, the node that has its parameters and its body, and the node that gives it its name.

    `variant` tells apart what shares a name: "get", "set", the trait of a Rust `impl`. `test`: it is part of the tests.
    """

    name: str
    whole: Node
    value: Node
    variant: str = ""
    test: bool = False

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def shape(self) -> Shape:
        if self.value.type == "method_definition":
            return "method"
        return "value" if self.value.type in CLOSURES or self.value.type == "func_literal" else "declaration"

    @property
    def body(self) -> Node | None:
        return self.value.child_by_field_name("body")


def definitions(language: str, root: Node) -> list[Definition]:
    """All functions with a body, in the order of the text."""
    walked = _go(root) if language == "go" else _rust(root, "") if language == "rust" else _javascript(root, "")
    found = [one for one in walked if one.body is not None]
    return sorted(found, key=lambda one: one.whole.start_byte)


def test_calls(root: Node) -> list[tuple[str, Node]]:
    """The tests of a JavaScript file by their titles: calls such as `it("adds", () => { ... })`, in order."""
    found: list[tuple[str, Node]] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.type == "call_expression" and (title := _title(node)) is not None:
            found.append((title, node))
        waiting.extend(reversed(node.named_children))
    return found


def mentioned(node: Node) -> frozenset[str]:
    """Every identifier, property, field and type name below a node."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if not here.children and here.type.endswith(("identifier", "identifier_pattern")):
            found.add(node_text(here))
        waiting.extend(here.children)
    return frozenset(found)


def unwrapped(node: Node) -> Node:
    """An expression without its parentheses and type assertions."""
    while node.type in _WRAPPERS and node.named_children:
        node = node.named_children[0]
    return node


def _javascript(node: Node, prefix: str) -> Iterator[Definition]:
    for child in node.named_children:
        yield from _statement(child, prefix)


def _statement(node: Node, prefix: str) -> Iterator[Definition]:
    name = _field_text(node, "name")
    if node.type in _DECLARED:
        yield Definition(prefix + name, node, node)
        yield from _inside(node, f"{prefix}{name}.")
    elif node.type in _CLASSES:
        yield from _class(node, f"{prefix}{name}.")
    elif node.type == "internal_module":
        yield from _javascript(node.child_by_field_name("body") or node, f"{prefix}{name}.")
    elif node.type == "export_statement":
        inner, value = node.child_by_field_name("declaration"), node.child_by_field_name("value")
        if inner is not None:
            yield from _statement(inner, prefix)
        elif value is not None:
            yield from _value(f"{prefix}default", value, value)
    elif node.type in ("lexical_declaration", "variable_declaration"):
        for one in node.named_children:
            value, named = one.child_by_field_name("value"), one.child_by_field_name("name")
            if value is not None and named is not None and named.type == "identifier":
                whole = node if node.named_child_count == 1 else one
                yield from _value(prefix + node_text(named), whole, value)
    elif node.type == "expression_statement" and node.named_children:
        yield from _expression(node.named_children[0], node, prefix)
    elif node.type.endswith(("_statement", "_block", "_clause", "_case", "_default", "_body")):
        yield from _javascript(node, prefix)


def _expression(node: Node, whole: Node, prefix: str) -> Iterator[Definition]:
    node = unwrapped(node)
    if node.type == "internal_module":
        yield from _statement(node, prefix)
    elif node.type == "assignment_expression":
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        name = re.sub(r"\s", "", node_text(left)) if left is not None else ""
        if right is not None and _PLAIN_NAME.fullmatch(name):
            yield from _value(prefix + name, whole, right)
    elif node.type == "call_expression":
        yield from _called(node, prefix)
    elif node.type in ("unary_expression", "await_expression", "sequence_expression"):
        for child in node.named_children:
            yield from _expression(child, child, prefix)


def _called(call: Node, prefix: str) -> Iterator[Definition]:
    """What is defined in the bodies of functions that are called at once, or handed to a call that stands alone."""
    callee = _closure_called(call)
    arguments = call.child_by_field_name("arguments")
    for closure in [callee, *map(unwrapped, arguments.named_children if arguments is not None else ())]:
        body = closure.child_by_field_name("body") if closure is not None and closure.type in CLOSURES else None
        if body is not None and body.type == "statement_block":
            yield from _javascript(body, prefix)


def _inside(function: Node, prefix: str) -> Iterator[Definition]:
    """What is defined in the body of a long function."""
    body = function.child_by_field_name("body")
    if body is not None and body.type == "statement_block" and body.end_point[0] - body.start_point[0] >= _LONG:
        yield from _javascript(body, prefix)


def _closure_called(call: Node) -> Node | None:
    """The function that is written where it is called, `.call(this)` included."""
    callee = call.child_by_field_name("function")
    callee = unwrapped(callee) if callee is not None else None
    if callee is not None and callee.type == "member_expression":
        target = callee.child_by_field_name("object")
        callee = unwrapped(target) if target is not None else None
    return callee if callee is not None and callee.type in CLOSURES else None


def _value(name: str, whole: Node, value: Node) -> Iterator[Definition]:
    """The functions in what a name stands for."""
    value = unwrapped(value)
    if value.type in CLOSURES:
        own = _field_text(value, "name")
        name = own if own and name in _ANONYMOUS else name
        yield Definition(name, whole, value)
        yield from _inside(value, f"{name}.")
    elif value.type == "object":
        yield from _object(value, f"{name}.")
    elif value.type in _CLASSES:
        own = _field_text(value, "name") if name in _ANONYMOUS else ""
        yield from _class(value, f"{own or name}.")
    elif value.type == "assignment_expression" and (right := value.child_by_field_name("right")) is not None:
        yield from _value(name, whole, right)
    elif value.type in ("call_expression", "new_expression"):
        if value.type == "call_expression" and _closure_called(value) is not None:
            yield from _called(value, "")
            return
        arguments = value.child_by_field_name("arguments")
        given = [unwrapped(one) for one in (arguments.named_children if arguments is not None else ())]
        closures = [one for one in given if one.type in CLOSURES]
        if len(closures) == 1:
            yield Definition(name, whole, closures[0])
        for one in given:
            if one.type == "object":
                yield from _object(one, f"{name}.")


def _object(node: Node, prefix: str) -> Iterator[Definition]:
    for member in node.named_children:
        if member.type == "method_definition":
            yield _method(member, prefix)
        elif member.type == "pair":
            key, value = member.child_by_field_name("key"), member.child_by_field_name("value")
            if key is not None and value is not None:
                yield from _value(prefix + _key_name(key), member, value)


def _class(node: Node, prefix: str) -> Iterator[Definition]:
    body = node.child_by_field_name("body")
    for member in body.named_children if body is not None else ():
        if member.type == "method_definition":
            yield _method(member, prefix)
        elif member.type in ("field_definition", "public_field_definition"):
            key = member.child_by_field_name("property") or member.child_by_field_name("name")
            value = member.child_by_field_name("value")
            if key is not None and value is not None and unwrapped(value).type in CLOSURES:
                yield Definition(prefix + _key_name(key), member, unwrapped(value))


def _method(member: Node, prefix: str) -> Definition:
    name = member.child_by_field_name("name")
    variant = next((child.type for child in member.children if child.type in ("get", "set")), "")
    return Definition(prefix + (_key_name(name) if name is not None else ""), member, member, variant)


def _key_name(node: Node) -> str:
    return node_text(node).strip("'\"") if node.type == "string" else node_text(node)


def _title(call: Node) -> str | None:
    """The title of a test; None for any other call."""
    callee, arguments = call.child_by_field_name("function"), call.child_by_field_name("arguments")
    while callee is not None and callee.type == "call_expression":  # test.each(...)("title", ...)
        callee = callee.child_by_field_name("function")
    words = node_text(callee).split(".") if callee is not None and len(node_text(callee)) < 60 else []
    given = arguments.named_children if arguments is not None else []
    if len(given) < 2 or not (words and (words[0] in _TEST_CALLS or words[-1] in _TEST_CALLS)):
        return None
    if given[0].type not in ("string", "template_string"):
        return None
    return node_text(given[0])[1:-1]


def _go(root: Node) -> Iterator[Definition]:
    for node in root.named_children:
        if node.type == "function_declaration":
            name = _field_text(node, "name")
            yield Definition(name, node, node, test=bool(re.match(r"(Test|Benchmark|Fuzz|Example)([A-Z_]|$)", name)))
        elif node.type == "method_declaration":
            receiver = _field_text(node, "receiver")
            owner = re.search(r"(\w+)\s*(\[[^\]]*\])?\s*,?\s*\)$", receiver)
            yield Definition(
                f"{owner[1]}.{_field_text(node, 'name')}" if owner else _field_text(node, "name"), node, node
            )
        elif node.type == "var_declaration":
            for spec in node.named_children:
                values = spec.child_by_field_name("value")
                literal = values.named_children[0] if values is not None and values.named_children else None
                if spec.type == "var_spec" and literal is not None and literal.type == "func_literal":
                    yield Definition(_field_text(spec, "name"), node, literal)


def _rust(node: Node, prefix: str, variant: str = "", test: bool = False) -> Iterator[Definition]:
    attributes = ""
    for child in node.named_children:
        if child.type == "attribute_item":
            attributes += node_text(child)
            continue
        if child.type in ("line_comment", "block_comment"):
            continue
        tested = test or bool(re.search(r"\btest\b", attributes))
        attributes = ""
        body = child.child_by_field_name("body")
        if child.type == "function_item":
            yield Definition(prefix + _field_text(child, "name"), child, child, variant, tested)
        elif child.type == "mod_item" and body is not None:
            yield from _rust(body, f"{prefix}{_field_text(child, 'name')}.", "", tested)
        elif child.type in ("impl_item", "trait_item") and body is not None:
            owner = _field_text(child, "type") or _field_text(child, "name")
            owner = re.sub(r"<.*", "", owner, flags=re.DOTALL).rpartition("::")[2].strip("& ")
            yield from _rust(body, f"{prefix}{owner}.", _field_text(child, "trait"), tested)


def _field_text(node: Node, field: str) -> str:
    found = node.child_by_field_name(field)
    return node_text(found) if found is not None else ""
