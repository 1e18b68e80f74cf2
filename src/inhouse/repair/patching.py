"""From a model's answer to new text of the files. Runs nothing and asks nothing.

A whole function is expected in a code block. Other functions of the same file that the block defines are replaced as
well, helpers and imports that the file lacks are added: a repair may need more than one place.
"""

from __future__ import annotations

import ast
import sys
import textwrap

from inhouse.repair import tree_patching
from inhouse.workspace import source
from inhouse.workspace.edits import EditError, apply_search_replace, fenced_blocks, search_replace_blocks
from inhouse.workspace.indentation import fitted
from inhouse.workspace.lines import margin
from inhouse.workspace.splice import even, laid_out, replace_function


def rewritten_function(path: str, text: str, name: str, answer: str, first: int | None = None) -> str:
    """`text` with function `name` replaced as the answer says. Raises EditError, worded for the model.

    `first` is the line at which it begins, where several functions share a name.
    """
    blocks = fenced_blocks(answer)
    if not path.endswith(".py"):
        return tree_patching.rewritten(path, text, name, blocks, first)
    code = _defining(blocks, name.rpartition(".")[2])
    if code is None:
        raise EditError(f"there is no code block that defines {name}; write the whole function in one block")
    code = even(code)
    new = replace_function(text, name, code)
    for function in source.functions("", code):
        new = _with_other_function(new, name, function, code)
    return _with_modules(_with_imports(new, code), code)


def rewritten_file(path: str, text: str, answer: str) -> str:
    """`text` with every function of it that the answer defines replaced; of several versions the last counts.

    Raises EditError when the answer defines none of them, or not in the file's language.
    """
    blocks = fenced_blocks(answer) or [answer]
    if path.endswith(".py"):
        names = {function.name for function in source.functions("", text)}
        defined = [f.name for block in blocks for f in source.functions("", even(block)) if f.name in names]
    else:
        defined = tree_patching.defined(path, text, blocks)
    if not defined:
        raise EditError("the answer defines no function of the file; write one whole function in one block")
    fenced = answer if fenced_blocks(answer) else f"```\n{answer}\n```"
    for name in dict.fromkeys(defined):
        text = rewritten_function(path, text, name, fenced)
    return text


def rewritten_lines(text: str, first: int, last: int, answer: str) -> str:
    """`text` with lines first..last (from 1, inclusive) replaced by the answer's code block."""
    blocks = fenced_blocks(answer)
    if not blocks:
        raise EditError("there is no code block in the answer; write the corrected lines in one block")
    new = blocks[-1].rstrip("\n").split("\n")
    lines = text.split("\n")
    old = lines[first - 1 : last]
    # The lines were shown at the left margin; the answer has them there, or where they stand.
    wanted = old if _is_indented(new) else textwrap.dedent("\n".join(old)).split("\n")
    return "\n".join([*lines[: first - 1], *fitted(new, wanted, old), *lines[last:]])


def edited(text: str, answer: str) -> str:
    """`text` after the answer's SEARCH/REPLACE blocks. Raises EditError."""
    edits = search_replace_blocks(answer)
    if not edits:
        raise EditError("there is no SEARCH/REPLACE block in the answer")
    for edit in edits:
        text = apply_search_replace(text, edit)
    return text


def _defining(blocks: list[str], short_name: str) -> str | None:
    """The last block that defines a function; else the last whose text speaks of doing so, for its error message."""
    parsed = [block for block in blocks if any(f.short_name == short_name for f in source.functions("", even(block)))]
    spoken = [block for block in blocks if f"def {short_name}" in block]
    found = parsed or spoken
    return found[-1] if found else None


def _with_other_function(text: str, name: str, function: source.Function, code: str) -> str:
    """`text` with another function of the answer: replaced where the file has it, else put before the main one."""
    tree = source.parse(text)
    if tree is None or function.short_name == name.rpartition(".")[2]:
        return text
    owner = name.rpartition(".")[0]
    full = function.name if "." in function.name or not owner else f"{owner}.{function.name}"
    if source.find_node(tree, full):
        return replace_function(text, full, code)
    if source.find_node(tree, function.name):
        return replace_function(text, function.name, code)
    main = source.find_node(tree, name)
    if main is None:
        return text
    lines = text.split("\n")
    first = source.first_line(main)
    # A helper of the same kind as the main function stands before it; a plain function beside a class before the class.
    method = bool(owner) and ("." in function.name or _takes_self(function.text(code)))
    if owner and not method:
        first = min(source.first_line(c) for c in tree.body if isinstance(c, ast.ClassDef) and c.name == owner)
    base = margin(lines[first - 1]).lstrip("\f\v")
    body = laid_out(function.text(code), [], text, base)
    return "\n".join([*lines[: first - 1], *body, *([""] if base else ["", ""]), *lines[first - 1 :]])


def _takes_self(text: str) -> bool:
    node = (source.parse(text) or ast.Module([], [])).body
    return (
        bool(node) and isinstance(node[0], source.FunctionNode) and [a.arg for a in node[0].args.args[:1]] == ["self"]
    )


def _with_imports(text: str, code: str) -> str:
    """`text` with the answer's top-level imports that it lacks, after its own."""
    tree, new = source.parse(text), source.parse(code)
    if tree is None or new is None:
        return text
    have = {alias for node in tree.body for alias in _imported(node)}
    missing = [
        ast.unparse(node)
        for node in new.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and not have.issuperset(_imported(node))
        and not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
    ]
    if not missing:
        return text
    last = max((n.end_lineno or 0 for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)), default=0)
    if last == 0 and ast.get_docstring(tree) is not None:
        last = tree.body[0].end_lineno or 0
    lines = text.split("\n")
    return "\n".join([*lines[:last], *missing, *lines[last:]])


def _with_modules(text: str, code: str) -> str:
    """`text` with imports of the standard modules that the answer uses as such and nothing brings.

    An answer that goes on from a function's head has no place to import them.
    """
    tree, new = source.parse(text), source.parse(code)
    if tree is None or new is None:
        return text
    used = {
        node.value.id for node in ast.walk(new) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    missing = sorted((used & sys.stdlib_module_names) - _bound(tree))
    return _with_imports(text, "\n".join(f"import {name}" for name in missing)) if missing else text


def _bound(tree: ast.Module) -> set[str]:
    """Every name that something in a module gives a value, wherever it holds."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                found.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add(asname or name.partition(".")[0])
    return found


def _imported(node: ast.stmt) -> set[tuple[str, str]]:
    """(module, name) of each thing that an import statement brings."""
    if isinstance(node, ast.Import):
        return {(alias.asname or alias.name, "") for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {(node.module or ".", alias.asname or alias.name) for alias in node.names}
    return set()


def _is_indented(lines: list[str]) -> bool:
    return all(margin(line) for line in lines if line.strip())
