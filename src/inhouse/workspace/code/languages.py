"""The languages that are understood, by a path's suffix, and their parsers (tree-sitter). Knows no repositories.

Rows of trees count "\\n" alone, as all line numbers here do.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache

from tree_sitter import Language, Node, Parser, Tree

_C, _CPP = ("tree_sitter_c", "language"), ("tree_sitter_cpp", "language")
_GRAMMARS = {
    "python": ("tree_sitter_python", "language"), "go": ("tree_sitter_go", "language"),
    "rust": ("tree_sitter_rust", "language"), "java": ("tree_sitter_java", "language"), "c": _C, "cpp": _CPP,
    "javascript": ("tree_sitter_javascript", "language"), "tsx": ("tree_sitter_typescript", "language_tsx"),
    "typescript": ("tree_sitter_typescript", "language_typescript"),
}  # fmt: skip
_BY_SUFFIX = {
    ".py": "python", ".pyi": "python", ".go": "go", ".rs": "rust", ".java": "java",
    ".c": "c", ".h": "cpp", ".hh": "cpp", ".hpp": "cpp", ".cc": "cpp", ".cpp": "cpp", ".cxx": "cpp",
    ".js": "javascript", ".jsx": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".ts": "typescript", ".mts": "typescript", ".cts": "typescript", ".tsx": "tsx",
}  # fmt: skip


def language_of(path: str) -> str | None:
    """The language of a file, such as "python" or "typescript"; None where it is not understood."""
    return _BY_SUFFIX.get(path[path.rfind(".") :])


@cache
def grammar(language: str) -> Language:
    """The grammar of a language that `language_of` names."""
    module, function = _GRAMMARS[language]
    return Language(getattr(importlib.import_module(module), function)())


@cache
def parser(language: str) -> Callable[[bytes], Tree]:
    """From a file's bytes to its tree."""
    return Parser(grammar(language)).parse


def node_text(node: Node) -> str:
    """The text of a node of a tree."""
    return (node.text or b"").decode("utf-8", "replace")


def first_error(tree: Tree) -> int | None:
    """The line (from 1) at which a text stops being of its language; None when it is whole."""
    node = tree.root_node
    if not node.has_error:
        return None
    while not (node.is_error or node.is_missing):
        inner = next((child for child in node.children if child.has_error or child.is_missing), None)
        if inner is None:
            break
        node = inner
    return int(node.start_point[0]) + 1
