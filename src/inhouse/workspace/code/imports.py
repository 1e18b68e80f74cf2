"""What a JavaScript, TypeScript, Go or Rust answer brings with it: modules that the file lacks, added where it imports.

Only what is beyond doubt is added: in the style that the file has, under names that nothing in it has yet. Go refuses
programs that import what they do not use, so there a module that is no longer named is taken out. Knows no files.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Container, Sequence

from tree_sitter import Node

from inhouse.workspace.code import trees
from inhouse.workspace.code.definitions import mentioned
from inhouse.workspace.code.languages import node_text
from inhouse.workspace.code.trees import Parsed

# Packages of Go's standard library by the one name that they are used by. Source: pkg.go.dev/std, Go 1.21.
_GO_STANDARD = {path.rpartition("/")[2]: path for path in (
    "bufio", "bytes", "cmp", "context", "encoding/base64", "encoding/hex", "encoding/json", "errors", "fmt", "io",
    "maps", "math", "math/big", "math/bits", "net/url", "os", "path/filepath", "reflect", "regexp", "slices", "sort",
    "strconv", "strings", "sync", "sync/atomic", "time", "unicode", "unicode/utf8",
)}  # fmt: skip
_SCRIPTS = (".js", ".ts", ".tsx", ".jsx", ".mjs", ".cjs", ".mts", ".cts")
_RELATIVE = re.compile(r"""(?:\brequire\s*\(|\bfrom\b|\bimport\b\s*\(?)\s*['"](\.{1,2}(?:/[^'"]*)?)['"]""")
_STYLES = {"import_statement": "module", "export_statement": "module"}
_BINDING = {"short_var_declaration": ("left",), "range_clause": ("left",)}  # beside all that has a name
_REQUIRED = re.compile(r"=\s*(await\s+)?require\s*\(")


def with_imports(path: str, text: str, answer: Parsed) -> str:
    """`text` with the modules that the answer's code needs and its own imports, or Go's standard library, bring."""
    file = trees.parsed(path, text)
    if file is None:
        return text
    if file.language == "go":
        return _go(file, text, answer)
    if file.language == "rust":
        wanted = [n for n in answer.root.named_children if n.type == "use_declaration" and node_text(n) not in text]
        return _inserted(file, text, [node_text(node) for node in wanted], ("use_declaration",))
    style = _style(file, path)
    wanted = [node for node in answer.root.named_children if _brings(node) == style]
    used = _used(answer)
    missing = [
        node_text(node)
        for node in wanted
        if (names := _names(node)) and names <= used and not names & _bound(file.root)
    ]
    return _inserted(file, text, missing, ("import_statement", "lexical_declaration", "variable_declaration"))


def imported_files(path: str, text: str, known: Container[str]) -> frozenset[str]:
    """The repository's own files that a JavaScript or TypeScript file imports, by paths relative to it."""
    folder = posixpath.dirname(path)
    found = set()
    for match in _RELATIVE.finditer(text) if path.endswith(_SCRIPTS) else ():
        base = posixpath.normpath(posixpath.join(folder, match[1]))
        plain = re.sub(r"\.[cm]?js$", "", base)  # TypeScript imports its sources by the names of what they become
        stems = [base, *(stem + suffix for stem in (base, plain) for suffix in _SCRIPTS)]
        stems += [posixpath.normpath(f"{base}/index{suffix}") for suffix in _SCRIPTS]
        found.update(next(([stem] for stem in stems if stem in known), []))
    return frozenset(found)


def _style(file: Parsed, path: str) -> str:
    """Whether a file takes modules by `import` or by `require`."""
    if path.endswith((".mjs", ".mts")):
        return "module"
    own = {_STYLES[node.type] for node in file.root.named_children if node.type in _STYLES}
    return "module" if own and not path.endswith((".cjs", ".cts")) else "require"


def _brings(node: Node) -> str:
    """How a statement brings modules; "" when it does not."""
    if node.type == "import_statement":
        return "module"
    required = node.type in ("lexical_declaration", "variable_declaration") and _REQUIRED.search(node_text(node))
    return "require" if required else ""


def _names(node: Node) -> frozenset[str]:
    """The names that an import gives to what it brings."""
    if node.type == "import_statement":
        clauses = [child for child in node.named_children if child.type == "import_clause"]
        found: set[str] = set()
        for clause in clauses:
            waiting = [clause]
            while waiting:
                here = waiting.pop()
                if here.type == "import_specifier":
                    name = here.child_by_field_name("alias") or here.child_by_field_name("name")
                    found.add(node_text(name) if name is not None else "")
                elif here.type == "identifier":
                    found.add(node_text(here))
                else:
                    waiting.extend(here.named_children)
        return frozenset(found)
    patterns = [child.child_by_field_name("name") for child in node.named_children]
    return frozenset().union(*(mentioned(pattern) for pattern in patterns if pattern is not None))


def _used(answer: Parsed) -> frozenset[str]:
    """The names in an answer's code outside of what it brings."""
    return frozenset().union(*(mentioned(node) for node in answer.root.named_children if not _brings(node)))


def _bound(root: Node) -> frozenset[str]:
    """Every name that something in a tree gives a meaning."""
    bound: set[str] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.type in ("formal_parameters", "import_clause"):
            bound |= mentioned(node)
        for field in _BINDING.get(node.type, ("name", "parameter")):
            for name in node.children_by_field_name(field):
                bound |= mentioned(name)
        waiting.extend(node.named_children)
    return frozenset(bound)


def _inserted(file: Parsed, text: str, statements: Sequence[str], kinds: Sequence[str]) -> str:
    """Statements after the last of their kind at the file's top, else before its first statement."""
    if not statements:
        return text
    last = 0
    for node in file.root.named_children:
        brings = node.type == "use_declaration" or bool(_brings(node))
        if node.type in kinds and brings:
            last = node.end_point[0] + (node.end_point[1] > 0)
    lines = text.split("\n")
    if last == 0:
        last = next((node.start_point[0] for node in file.root.named_children if not _stands_first(node)), 0)
        comment = next((n for n in file.root.named_children if not _stands_first(n)), None)
        above = trees.comment_above(comment) if comment is not None else None
        if above is not None and above.start_point[0] > 0:
            last = above.start_point[0]
    return "\n".join([*lines[:last], *statements, *lines[last:]])


def _stands_first(node: Node) -> bool:
    """Whether nothing may come before a statement: comments at the top, directives, inner attributes."""
    if node.type in ("comment", "line_comment", "block_comment", "hash_bang_line", "inner_attribute_item"):
        return True
    return node.type == "expression_statement" and [child.type for child in node.named_children] == ["string"]


def _go(file: Parsed, text: str, answer: Parsed) -> str:
    before, after = _go_imports(file), _go_imports(answer)
    used = _go_packages(file) - _bound(file.root)
    wanted = {name: spec for name, spec in after.items() if name in used}
    for name in sorted(used & _GO_STANDARD.keys()):
        wanted.setdefault(name, f'"{_GO_STANDARD[name]}"')
    missing = [spec for name, spec in wanted.items() if name not in before]
    lines = text.split("\n")
    declarations = [node for node in file.root.named_children if node.type == "import_declaration"]
    grouped = [node for node in declarations if any(child.type == "import_spec_list" for child in node.children)]
    if missing and grouped:
        row = grouped[-1].end_point[0]
        lines[row:row] = [f"\t{spec}" for spec in missing]
    elif missing:
        package = next((node for node in file.root.named_children if node.type == "package_clause"), None)
        row = (declarations[-1] if declarations else package or file.root).end_point[0] + 1
        lines[row:row] = [*([] if declarations else [""]), *(f"import {spec}" for spec in missing)]
    return "\n".join(lines)


def without_unused(path: str, text: str, before: str) -> str:
    """A Go file without the imports that its old text used and its new one does not; any other file as it is."""
    file, old = trees.parsed(path, text), trees.parsed(path, before)
    if file is None or old is None or file.language != "go":
        return text
    gone = _go_packages(old) - _go_packages(file)
    rows = set()
    for node in _specs(file.root):
        if _go_name(node) in gone and node.start_point[0] == node.end_point[0]:
            rows.add(node.start_point[0])
    return "\n".join(line for row, line in enumerate(text.split("\n")) if row not in rows)


def _go_packages(file: Parsed) -> frozenset[str]:
    """The names before a dot: packages, and variables with fields."""
    found: set[str] = set()
    waiting = [file.root]
    while waiting:
        node = waiting.pop()
        if node.type in ("selector_expression", "qualified_type") and not node.named_children[0].children:
            found.add(node_text(node.named_children[0]))
        waiting.extend(node.named_children)
    return frozenset(found)


def _specs(root: Node) -> list[Node]:
    found, waiting = [], [node for node in root.named_children if node.type == "import_declaration"]
    while waiting:
        node = waiting.pop()
        if node.type == "import_spec":
            found.append(node)
        waiting.extend(reversed(node.named_children))
    return found


def _go_imports(file: Parsed) -> dict[str, str]:
    """The packages that a file imports, as specs, by the name that they are used by."""
    return {_go_name(node): node_text(node) for node in _specs(file.root)}


def _go_name(spec: Node) -> str:
    name, path = spec.child_by_field_name("name"), spec.child_by_field_name("path")
    if name is not None:
        return node_text(name)
    said = node_text(path).strip('"`') if path is not None else ""
    parts = [part for part in said.split("/") if not re.fullmatch(r"v\d+", part)]
    return parts[-1].removeprefix("go-").partition(".")[0] if parts else ""
