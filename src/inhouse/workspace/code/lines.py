"""Which lines of a file hold code that can be wrong by itself: candidates for a fault, line by line.

Python is read by its own syntax tree, JavaScript, TypeScript, Go and Rust by tree-sitter's, any other text by its
letters. Lines count from 1, and "\\n" alone ends one. Knows nothing of ranking.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tree_sitter import Node

from inhouse.workspace.code.languages import language_of, node_text, parser

_BY_TREE = frozenset({"javascript", "typescript", "tsx", "go", "rust", "java"})
_PUNCTUATION = re.compile(r"[\s()\[\]{},;:`]*")
_REQUIRE = re.compile(r"(await\s+)?(require|import)\s*\(")
_PLAIN = re.compile(  # of a text in no known language: comments, and words that only open or close a block
    r"\s*(?:#(?!\[).*|//.*|/?\*.*|--\s.*|[\s()\[\]{},;:]*(?:else|try|finally|end|begin|do|then|fi|done)?[\s()\[\]{},;:]*)"
)
_SILENT_WORDS = frozenset(
    {"else", "try", "finally", "do", "loop", "unsafe", "default", "async", "export", "catch", "pub", "switch", "const"}
)
_IMPORTS = frozenset({
    "import_statement", "import_declaration", "use_declaration", "package_clause", "package_declaration",
    "extern_crate_declaration",
})  # fmt: skip
_SAYS_NOTHING = frozenset({
    "comment", "line_comment", "block_comment", "hash_bang_line", "decorator", "attribute_item", "marker_annotation",
    "inner_attribute_item", "interface_declaration", "type_alias_declaration", "annotation", "ambient_declaration",
    "function_signature", "function_signature_item", "abstract_method_signature", "method_signature",
})  # fmt: skip
_FUNCTIONS = frozenset({
    "function_declaration", "generator_function_declaration", "method_definition", "function_item",
    "method_declaration", "constructor_declaration",
})  # fmt: skip
_BLOCKS = frozenset({
    "class_declaration", "abstract_class_declaration", "class", "impl_item", "trait_item", "struct_item", "enum_item",
    "internal_module", "record_declaration", "catch_clause", "mod_item",
})  # fmt: skip
_NAMING = frozenset({
    "variable_declarator", "assignment_expression", "pair", "field_definition", "public_field_definition",
    "export_statement",
})  # fmt: skip
_CLOSURES = frozenset({"arrow_function", "function_expression", "generator_function"})


def code_lines(path: str, text: str, first: int, last: int) -> list[int]:
    """The lines among first..last (from 1, inclusive) that hold code which can be wrong by itself, in order.

    Left out: blank lines, comments, docstrings, brackets alone, `else`, `try` and the like, decorators, imports, and
    the heads of functions and classes. Conditions and heads of loops count, and so does every line of a statement
    that takes several.
    """
    language = language_of(path)
    found: set[int] | None = None
    if language == "python":
        found = _python(text)
    elif language in _BY_TREE:
        found = set(_by_tree(parser(language)(text.encode("utf-8", "surrogatepass")).root_node))
    lines = text.split("\n")
    if found is None:
        found = {number for number, line in enumerate(lines, 1) if not _PLAIN.fullmatch(line)}
    return [number for number in range(max(1, first), min(last, len(lines)) + 1) if number in found]


def _python(text: str) -> set[int] | None:
    """None for what does not parse."""
    lines = text.replace("\r\n", "\n").replace("\r", " ").split("\n")  # Python would end a line at a lone "\r"
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    inside = {  # lines of strings that go on from another line: nothing in them is a comment or a bracket
        number
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant | ast.JoinedStr) and isinstance(getattr(node, "value", ""), str)
        for number in range(node.lineno + 1, (node.end_lineno or node.lineno) + 1)
    }
    found: set[int] = set()
    for node in ast.walk(tree):
        for start, end in _spans(node):
            for number in range(start, end + 1):
                line = lines[number - 1].strip()
                if line and (number in inside or not (line.startswith("#") or _PUNCTUATION.fullmatch(line))):
                    found.add(number)
    return found


def _spans(node: ast.AST) -> Iterator[tuple[int, int]]:
    """The lines of a simple statement, or of the head of a compound one."""
    match node:
        case ast.Import() | ast.ImportFrom() | ast.Global() | ast.Nonlocal():
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return
        case ast.Expr(value=ast.Constant(value=str())):  # a docstring, or a comment written as one
            return
        case ast.If(test=head) | ast.While(test=head) | ast.For(iter=head) | ast.AsyncFor(iter=head):
            yield node.lineno, head.end_lineno or node.lineno
        case ast.Match(subject=head):
            yield node.lineno, head.end_lineno or node.lineno
        case ast.With(items=items) | ast.AsyncWith(items=items):
            last = items[-1].optional_vars or items[-1].context_expr
            yield node.lineno, last.end_lineno or node.lineno
        case ast.ExceptHandler(type=ast.expr() as kind):
            yield node.lineno, kind.end_lineno or node.lineno
        case ast.match_case(pattern=pattern, guard=guard):
            yield pattern.lineno, (guard or pattern).end_lineno or pattern.lineno
        case ast.Try() | ast.TryStar():
            return
        case ast.stmt():
            yield node.lineno, node.end_lineno or node.lineno


def _by_tree(root: Node) -> Iterator[int]:
    """The lines of every token that says something."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.type in _SAYS_NOTHING or node.type in _IMPORTS or _is_directive(node) or _is_require(node):
            continue
        if node.children:
            waiting.extend(_telling(node))
        elif not (node.type in _SILENT_WORDS or _PUNCTUATION.fullmatch(node_text(node))):
            yield from range(node.start_point[0] + 1, _last_row(node) + 2)


def _telling(node: Node) -> list[Node]:
    """The children of a node that may be wrong: of functions and classes the bodies, of a name for one its value."""
    body = node.child_by_field_name("body")
    if node.type in _FUNCTIONS or node.type in _BLOCKS or (node.type in _CLOSURES and _is_named(node)):
        return [] if body is None else [body]
    if _names_function(node):
        return [child for child in node.children if child.type in _CLOSURES]
    return list(node.children)


def _is_named(closure: Node) -> bool:
    """Whether a closure is the value of a name, which makes its head that of a function."""
    return closure.parent is not None and _names_function(closure.parent)


def _names_function(node: Node) -> bool:
    value = node.child_by_field_name("right" if node.type == "assignment_expression" else "value")
    return node.type in _NAMING and value is not None and value.type in _CLOSURES


def _is_directive(node: Node) -> bool:
    """Whether a statement is a string alone, such as "use strict"."""
    return node.type == "expression_statement" and [c.type for c in node.named_children] == ["string"]


def _is_require(node: Node) -> bool:
    """Whether a declaration only brings modules: `const a = require("a")`."""
    if node.type not in ("lexical_declaration", "variable_declaration"):
        return False
    values = [child.child_by_field_name("value") for child in node.named_children if child.type != "comment"]
    return all(value is not None and _REQUIRE.match(node_text(value)) for value in values)


def _last_row(node: Node) -> int:
    """The row in which a token ends; one that ends with a line's end has nothing on the next."""
    row, column = node.end_point
    return int(row - (column == 0 and row > node.start_point[0]))
