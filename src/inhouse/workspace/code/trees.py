"""What there is to say of a JavaScript, TypeScript, Go or Rust file by its syntax tree: functions, outlines, equality.

Knows no files; columns and offsets are of UTF-8 bytes, lines count from 1 and end with "\\n" alone.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from functools import lru_cache

from tree_sitter import Node

from inhouse.workspace.code.definitions import Definition, definitions, mentioned, test_calls, unwrapped
from inhouse.workspace.code.languages import first_error, language_of, node_text, parser
from inhouse.workspace.source import Function

LANGUAGES = frozenset({"javascript", "typescript", "tsx", "go", "rust"})
NAMES = {"javascript": "JavaScript", "typescript": "TypeScript", "tsx": "TypeScript", "go": "Go", "rust": "Rust"}

_IMPORTS = frozenset({"import_statement", "import_declaration", "use_declaration", "package_clause", "mod_item"})
_COMMENTS = frozenset({"comment", "line_comment", "block_comment", "hash_bang_line"})
_TYPES = frozenset({
    "class_declaration", "abstract_class_declaration", "class", "struct_item", "enum_item", "type_spec",
    "interface_declaration",
})  # fmt: skip
_MAX_SIZE, _MAX_LINE = 512 << 10, 5000  # characters of a file, and of one line
_MAX_OUTLINE = 60  # lines of a type's own declaration


@dataclass(frozen=True)
class Parsed:
    """One text, its bytes, its tree and the functions in it."""

    language: str
    data: bytes
    root: Node
    error: int | None  # the first line that is not of the language
    functions: tuple[Definition, ...]

    def find(self, name: str, first: int | None = None) -> Definition | None:
        """A function by its name; of several the one that begins at line `first`, else the last."""
        found = [one for one in self.functions if one.name == name]
        return next((one for one in found if first_line(one) == first), found[-1] if found else None)


@lru_cache(maxsize=512)
def parsed(path: str, text: str) -> Parsed | None:
    """None for what is in none of these languages, or was written by a program: too large, or minified."""
    language = language_of(path)
    if language not in LANGUAGES or len(text) > _MAX_SIZE or max(map(len, text.split("\n"))) > _MAX_LINE:
        return None
    data = text.encode("utf-8", "surrogatepass")
    tree = parser(language)(data)
    return Parsed(language, data, tree.root_node, first_error(tree), tuple(definitions(language, tree.root_node)))


def errors(file: Parsed) -> int:
    """In how many places a text is not of its language."""
    count, waiting = 0, [file.root] if file.root.has_error else []
    while waiting:
        node = waiting.pop()
        count += node.is_error or node.is_missing
        waiting.extend(child for child in node.children if child.has_error or child.is_error or child.is_missing)
    return count


def first_line(definition: Definition) -> int:
    return int(definition.whole.start_point[0]) + 1


def functions(path: str, file: Parsed) -> list[Function]:
    """The program's functions; tests that stand beside it, as Rust's do, are left out."""
    return [_function(path, one) for one in file.functions if not one.test]


def test_functions(path: str, file: Parsed) -> list[Function]:
    """The tests in a file, by their name or title."""
    if file.language in ("go", "rust"):
        return [_function(path, one) for one in file.functions if one.test]
    return [
        Function(path, title, node.start_point[0] + 1, node.end_point[0] + 1, mentioned(node))
        for title, node in test_calls(file.root)
    ]


def test_lines(file: Parsed) -> list[tuple[int, int]]:
    """First and last lines of the tests that stand in a program's own file, as Rust's do."""
    found = []
    tested = False
    for node in file.root.named_children if file.language == "rust" else ():
        if node.type == "attribute_item":
            tested = tested or bool(re.search(r"\btest\b", node_text(node)))
        elif node.type not in _COMMENTS:
            if tested:
                found.append((node.start_point[0] + 1, node.end_point[0] + 1))
            tested = False
    return found


def normal_form(file: Parsed) -> str:
    """The program's tokens in the order and nesting of its tree, without comments and layout."""
    parts: list[str] = []
    waiting: list[Node | None] = [file.root]
    while waiting:
        node = waiting.pop()
        if node is None:
            parts.append(")")
        elif node.type in _COMMENTS:
            continue
        elif node.children:
            parts.append(f"({node.type}")
            waiting.append(None)
            waiting.extend(reversed(node.children))
        else:
            parts.append(node_text(node))
    return "\n".join(parts)


def signature(definition: Definition) -> str:
    """A function down to its body, on one line."""
    body = definition.body
    if body is None:
        return ""
    start = definition.whole.start_byte
    text = (definition.whole.text or b"")[: body.start_byte - start].decode("utf-8", "replace")
    return " ".join(text.split())


def outline(definition: Definition) -> str:
    """A function's signature below the first line of its comment."""
    before = _comment_before(definition.whole)
    said = next((line for line in (part.strip(" \t/*!") for part in before.split("\n")) if line), "")
    return f"// {said}\n{signature(definition)}" if said else signature(definition)


def is_documented(definition: Definition) -> bool:
    return bool(_comment_before(definition.whole).strip(" \n\t/*!"))


def head(file: Parsed, definition: Definition) -> str:
    """A function down to the brace that opens its body, its comment included, at the left margin.

    Where the body is not a block of its own lines, it ends where parameters begin, and not with a line's end.
    """
    body = definition.body
    if body is None:
        return ""
    row = definition.whole.start_point[0]
    lines = file.data.decode("utf-8", "surrogatepass").split("\n")
    last = body.start_point[0]
    opens = body.type not in ("object",) and (body.text or b"").startswith(b"{")
    if opens and lines[last].rstrip().endswith("{") and body.end_point[0] > last:
        comment = comment_above(definition.whole)
        above = lines[comment.start_point[0] : row] if comment is not None else []
        found = textwrap.dedent("\n".join([*above, *lines[row : last + 1]]))
        if "```" not in found:
            return found + "\n"
        return textwrap.dedent("\n".join(lines[row : last + 1])) + "\n"
    start, value = definition.whole.start_byte, definition.value
    end = value.start_byte if definition.shape == "value" else (value.child_by_field_name("name") or value).end_byte
    text = file.data[start:end].decode("utf-8", "replace")
    return " ".join(text.split()) + ("" if definition.shape == "value" else "(")


def class_outline(file: Parsed, owner: str, leave_out: str) -> str:
    """A type as far as its functions need to know it: its fields, and the signature of each other function of it."""
    name = owner.removesuffix(".prototype").rpartition(".")[2]
    kept: list[str] = []
    for node in _types(file.root):
        found = node.child_by_field_name("name")
        if found is not None and node_text(found) == name:
            kept += _declaration(file, node)
            break
    signatures = [
        signature(one)
        for one in file.functions
        if one.name.rpartition(".")[0] == owner and one.short_name != leave_out and not one.test
    ]
    return "\n".join([*kept, *(f"    {one} ..." for one in signatures)]) if kept or signatures else ""


def declared(file: Parsed) -> list[tuple[tuple[str, ...], int, int]]:
    """Constants, tables and the like at a file's top: their names, first and last line. No functions, no imports."""
    inside = [one.whole.start_byte for one in file.functions]
    found = []
    for node in file.root.named_children:
        inner = node.child_by_field_name("declaration") if node.type == "export_statement" else None
        inner = inner or node
        if inner.type in _IMPORTS or any(inner.start_byte <= start < inner.end_byte for start in inside):
            continue
        if names := _bound(inner):
            found.append((names, int(node.start_point[0]) + 1, int(node.end_point[0]) + 1))
    return found


def top_statement(node: Node) -> Node:
    """The statement of the file itself that a node stands in."""
    while node.parent is not None and node.parent.parent is not None:
        node = node.parent
    return node


def _function(path: str, one: Definition) -> Function:
    first, last = first_line(one), int(one.whole.end_point[0]) + 1
    return Function(path, one.name, first, last, mentioned(one.whole))


def comment_above(node: Node) -> Node | None:
    """The first of the comments that stand directly above a statement."""
    if node.parent is not None and node.parent.type == "export_statement":
        node = node.parent
    found, row = None, node.start_point[0]
    before = node.prev_named_sibling
    while before is not None and before.type in (*_COMMENTS, "attribute_item", "decorator"):
        ends = before.end_point[0] - (before.end_point[1] == 0 and before.end_point[0] > before.start_point[0])
        if ends < row - 1:
            break
        found = before if before.type in _COMMENTS else found
        row = before.start_point[0]
        before = before.prev_named_sibling
    return found


def _comment_before(node: Node) -> str:
    first = comment_above(node)
    if first is None:
        return ""
    parts: list[str] = []
    here: Node | None = first
    while here is not None and here.start_byte < node.start_byte:
        if here.type in _COMMENTS:
            parts.append(node_text(here))
        here = here.next_named_sibling
    return "\n".join(parts)


def _types(root: Node) -> list[Node]:
    found, waiting = [], [root]
    while waiting:
        node = waiting.pop()
        if node.type in _TYPES:
            found.append(node)
        waiting.extend(reversed(node.named_children))
    return found


def _declaration(file: Parsed, node: Node) -> list[str]:
    """The lines of a type without its functions' bodies."""
    lines = file.data.decode("utf-8", "surrogatepass").split("\n")
    rows = set(range(node.start_point[0], node.end_point[0] + 1))
    for one in file.functions:
        if node.start_byte <= one.whole.start_byte and one.whole.end_byte <= node.end_byte:
            rows -= set(range(one.whole.start_point[0], one.whole.end_point[0] + 1))
    kept = [lines[row] for row in sorted(rows) if lines[row].strip()][:_MAX_OUTLINE]
    return textwrap.dedent("\n".join(kept)).split("\n")


def _bound(node: Node) -> tuple[str, ...]:
    """The plain names that a declaration or an assignment at a file's top gives a value."""
    found: list[str] = []
    if node.type in ("lexical_declaration", "variable_declaration"):
        for one in node.named_children:
            name, value = one.child_by_field_name("name"), one.child_by_field_name("value")
            if value is not None and re.match(r"(await\s+)?(require|import)\s*\(", node_text(value)):
                continue
            found += sorted(mentioned(name)) if name is not None else []
    elif node.type == "expression_statement" and node.named_children:
        inner = unwrapped(node.named_children[0])
        left, right = inner.child_by_field_name("left"), inner.child_by_field_name("right")
        plain = ("identifier", "member_expression")
        if inner.type == "assignment_expression" and left is not None and right is not None and right.type not in plain:
            found.append(re.sub(r"\s", "", node_text(left)).rpartition(".")[2])
    elif node.type in ("const_declaration", "var_declaration"):
        waiting = list(node.named_children)
        while waiting:
            spec = waiting.pop(0)
            if spec.type in ("const_spec", "var_spec"):
                found += [node_text(name) for name in spec.children_by_field_name("name")]
            elif spec.type.endswith("_list"):
                waiting += spec.named_children
    elif node.type in ("const_item", "static_item", "enum_declaration"):
        name = node.child_by_field_name("name")
        found += [node_text(name)] if name is not None else []
    return tuple(found)
