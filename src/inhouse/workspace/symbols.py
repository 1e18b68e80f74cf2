"""Where names are defined and used in a file, by its language's own grammar (tree-sitter). Keeps nothing.

Languages are told by suffix. Knows nothing of repositories, caches or ranks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from tree_sitter import Query, QueryCursor, Tree

from inhouse.errors import WorkspaceError
from inhouse.workspace.code.languages import first_error, grammar, language_of, parser
from inhouse.workspace.text import decode

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


_QUERIES = {
    "python": (
        "(function_definition name: (identifier) @function) (class_definition name: (identifier) @class)"
        "(module (expression_statement (assignment left: (identifier) @constant)))"
    ),
    "go": (
        "(function_declaration name: (identifier) @function) (method_declaration name: (field_identifier) @method)"
        "(type_spec name: (type_identifier) @type)"
        "(source_file (const_declaration (const_spec name: (identifier) @constant)))"
    ),
    "rust": (
        "(function_item name: (identifier) @function) (struct_item name: (type_identifier) @class)"
        "(enum_item name: (type_identifier) @class) (trait_item name: (type_identifier) @interface)"
        "(type_item name: (type_identifier) @type) (macro_definition name: (identifier) @macro)"
        "(const_item name: (identifier) @constant) (mod_item name: (identifier) @module)"
    ),
    "java": (
        "(class_declaration name: (identifier) @class) (interface_declaration name: (identifier) @interface)"
        "(enum_declaration name: (identifier) @class) (record_declaration name: (identifier) @class)"
        "(method_declaration name: (identifier) @method) (constructor_declaration name: (identifier) @method)"
    ),
    "c": _C,
    "cpp": _C
    + """
(class_specifier name: (type_identifier) @class body: (_))
(function_definition declarator: (function_declarator declarator: (field_identifier) @method))
(function_definition declarator: (function_declarator declarator: (qualified_identifier name: (identifier) @method)))
(namespace_definition name: (namespace_identifier) @module)
""",
    "javascript": _JAVASCRIPT,
    "typescript": _TYPESCRIPT,
    "tsx": _TYPESCRIPT,
}


@dataclass(frozen=True)
class Definition:
    """A name, what it is, its line (from 1) and the text of that line with its indentation."""

    name: str
    kind: str
    line: int
    text: str


def is_source(path: str) -> bool:
    """Whether a path is of a language that is understood here."""
    return language_of(path) is not None


def definitions_in(path: str, data: bytes) -> tuple[Definition, ...]:
    """What a file defines, in the order of its lines. Broken code gives what can be made out."""
    language = language_of(path)
    if len(data) > MAX_BYTES or language is None:
        return ()
    data = _utf8(path, data)
    return _definitions(parser(language)(data), _query(language), data)


def references_in(path: str, data: bytes, name: str) -> list[tuple[int, str]]:
    """The lines (from 1, with their text) that use a name without defining it, comments and strings left out."""
    language = language_of(path)
    data = _utf8(path, data)
    if language is None or name.encode() not in data or len(data) > MAX_BYTES:
        return []
    tree = parser(language)(data)
    own = {definition.line for definition in _definitions(tree, _query(language), data) if definition.name == name}
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
    language = language_of(path)
    if language is None or language in ("c", "cpp") or len(data) > MAX_BYTES:  # macros look like errors
        return None
    return first_error(parser(language)(data))


def _utf8(path: str, data: bytes) -> bytes:
    """A file's text as the grammars read it, without a byte order mark; what is no text as it is."""
    try:
        return data if data.isascii() else decode(path, data).text.encode()
    except WorkspaceError:
        return data


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
def _query(language: str) -> Query:
    return Query(grammar(language), _QUERIES[language])
