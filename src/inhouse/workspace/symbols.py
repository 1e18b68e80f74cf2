"""Where names are defined and used in a file, by its language's own grammar (tree-sitter). Keeps nothing.

Languages are told by suffix. Knows nothing of repositories, caches or ranks.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from tree_sitter import Language, Parser, Query, QueryCursor, Tree

MAX_BYTES = 512 << 10  # of a file; larger ones are generated
_MAX_LINE = 110  # characters kept of a definition's first line

_C = """
(function_definition declarator: (function_declarator declarator: (identifier) @function))
(function_definition
  declarator: (pointer_declarator declarator: (function_declarator declarator: (identifier) @function)))
(struct_specifier name: (type_identifier) @class body: (_))
(enum_specifier name: (type_identifier) @type body: (_))
(type_definition declarator: (type_identifier) @type)
(preproc_function_def name: (identifier) @macro)
"""
_JAVASCRIPT = """
(function_declaration name: (identifier) @function)
(generator_function_declaration name: (identifier) @function)
(method_definition name: (property_identifier) @method)
(variable_declarator name: (identifier) @function value: [(arrow_function) (function_expression)])
(class_declaration name: (_) @class)
"""
_TYPESCRIPT = (
    _JAVASCRIPT
    + """
(abstract_class_declaration name: (type_identifier) @class)
(interface_declaration name: (type_identifier) @interface)
(type_alias_declaration name: (type_identifier) @type)
(enum_declaration name: (identifier) @type)
"""
)


@dataclass(frozen=True)
class _Grammar:
    module: str
    query: str
    function: str = "language"


_PYTHON = _Grammar(
    "tree_sitter_python",
    "(function_definition name: (identifier) @function) (class_definition name: (identifier) @class)"
    "(module (expression_statement (assignment left: (identifier) @constant)))",
)
_GO = _Grammar(
    "tree_sitter_go",
    "(function_declaration name: (identifier) @function) (method_declaration name: (field_identifier) @method)"
    "(type_spec name: (type_identifier) @type)"
    "(source_file (const_declaration (const_spec name: (identifier) @constant)))",
)
_RUST = _Grammar(
    "tree_sitter_rust",
    "(function_item name: (identifier) @function) (struct_item name: (type_identifier) @class)"
    "(enum_item name: (type_identifier) @class) (trait_item name: (type_identifier) @interface)"
    "(type_item name: (type_identifier) @type) (macro_definition name: (identifier) @macro)"
    "(const_item name: (identifier) @constant) (mod_item name: (identifier) @module)",
)
_JAVA = _Grammar(
    "tree_sitter_java",
    "(class_declaration name: (identifier) @class) (interface_declaration name: (identifier) @interface)"
    "(enum_declaration name: (identifier) @class) (record_declaration name: (identifier) @class)"
    "(method_declaration name: (identifier) @method) (constructor_declaration name: (identifier) @method)",
)
_CPP = _Grammar(
    "tree_sitter_cpp",
    _C
    + """
(class_specifier name: (type_identifier) @class body: (_))
(function_definition declarator: (function_declarator declarator: (field_identifier) @method))
(function_definition declarator: (function_declarator declarator: (qualified_identifier name: (identifier) @method)))
(namespace_definition name: (namespace_identifier) @module)
""",
)
_BY_SUFFIX = {
    ".py": _PYTHON, ".pyi": _PYTHON, ".go": _GO, ".rs": _RUST, ".java": _JAVA,
    ".c": _Grammar("tree_sitter_c", _C), ".h": _CPP, ".hh": _CPP, ".hpp": _CPP, ".cc": _CPP, ".cpp": _CPP, ".cxx": _CPP,
    ".js": _Grammar("tree_sitter_javascript", _JAVASCRIPT), ".jsx": _Grammar("tree_sitter_javascript", _JAVASCRIPT),
    ".mjs": _Grammar("tree_sitter_javascript", _JAVASCRIPT), ".cjs": _Grammar("tree_sitter_javascript", _JAVASCRIPT),
    ".ts": _Grammar("tree_sitter_typescript", _TYPESCRIPT, "language_typescript"),
    ".mts": _Grammar("tree_sitter_typescript", _TYPESCRIPT, "language_typescript"),
    ".tsx": _Grammar("tree_sitter_typescript", _TYPESCRIPT, "language_tsx"),
}  # fmt: skip


@dataclass(frozen=True)
class Definition:
    """A name, what it is, its line (from 1) and the text of that line with its indentation."""

    name: str
    kind: str
    line: int
    text: str


def is_source(path: str) -> bool:
    """Whether a path is of a language that is understood here."""
    return path[path.rfind(".") :] in _BY_SUFFIX


def definitions_in(path: str, data: bytes) -> tuple[Definition, ...]:
    """What a file defines, in the order of its lines. Broken code gives what can be made out."""
    if len(data) > MAX_BYTES or not is_source(path):
        return ()
    parse, query = _tools(_BY_SUFFIX[path[path.rfind(".") :]])
    return _definitions(parse(data), query, data)


def references_in(path: str, data: bytes, name: str) -> list[tuple[int, str]]:
    """The lines (from 1, with their text) that use a name without defining it, comments and strings left out."""
    if not is_source(path) or name.encode() not in data or len(data) > MAX_BYTES:
        return []
    parse, query = _tools(_BY_SUFFIX[path[path.rfind(".") :]])
    tree = parse(data)
    own = {definition.line for definition in _definitions(tree, query, data) if definition.name == name}
    lines = data.split(b"\n")
    found: dict[int, str] = {}
    for match in re.finditer(rb"(?<![\w$])" + re.escape(name.encode()) + rb"(?![\w$])", data):
        node = tree.root_node.descendant_for_byte_range(match.start(), match.end())
        if node is not None and node.type.endswith("identifier"):
            row = node.start_point[0]
            if row + 1 not in own:
                found[row + 1] = lines[row].decode("utf-8", "replace").strip()[:_MAX_LINE]
    return sorted(found.items())


def broken_line(path: str, data: bytes) -> int | None:
    """The line (from 1) at which a file stops being of its language; None when it is whole, or cannot be told."""
    suffix = path[path.rfind(".") :]
    grammar = _BY_SUFFIX.get(suffix)
    if grammar is None or "preproc" in grammar.query or len(data) > MAX_BYTES:  # macros look like errors
        return None
    parse, _ = _tools(grammar)
    node = parse(data).root_node
    if not node.has_error:
        return None
    while not (node.is_error or node.is_missing):
        inner = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inner is None:
            break
        node = inner
    return int(node.start_point[0]) + 1


def _definitions(tree: Tree, query: Query, data: bytes) -> tuple[Definition, ...]:
    lines = data.split(b"\n")
    found = []
    for kind, nodes in QueryCursor(query).captures(tree.root_node).items():
        for node in nodes:
            row = node.start_point[0]
            name = data[node.start_byte : node.end_byte].decode("utf-8", "replace")
            text = lines[row].decode("utf-8", "replace").rstrip()[:_MAX_LINE]
            found.append(Definition(name, kind, row + 1, text))
    found.sort(key=lambda definition: definition.line)
    return tuple(found)


@cache
def _tools(grammar: _Grammar) -> tuple[Callable[[bytes], Tree], Query]:
    language = Language(getattr(importlib.import_module(grammar.module), grammar.function)())
    return Parser(language).parse, Query(language, grammar.query)
