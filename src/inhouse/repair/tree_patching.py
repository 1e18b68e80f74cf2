"""From a model's answer to new text of a JavaScript, TypeScript, Go or Rust file. Runs nothing and asks nothing.

As in Python's files, other functions that the answer defines are replaced as well, and helpers and modules that the
file lacks are added: a repair may need more than one place. Tests that stand in the same file stay as they are.
"""

from __future__ import annotations

from inhouse.workspace.code import imports, splicing, trees
from inhouse.workspace.code.definitions import Definition, mentioned
from inhouse.workspace.code.languages import node_text
from inhouse.workspace.code.trees import Parsed
from inhouse.workspace.edits import EditError


def rewritten(path: str, text: str, name: str, blocks: list[str], first: int | None) -> str:
    """`text` with function `name`, which begins at line `first`, as the last block that defines it says.

    Raises EditError when none does, when the code does not parse, or when the file would not any more.
    """
    answer, chosen = _answer(path, name, blocks)
    file = trees.parsed(path, text)
    old = file.find(name, first) if file is not None else None
    if file is None or old is None:
        raise EditError(f"there is no function {name} in the file")
    new = splicing.put_in(file, old, answer, chosen)
    owner = name.rpartition(".")[0]
    for other in answer.functions:
        if other.short_name != chosen.short_name and not other.test:
            new = _with_other(path, new, owner, name, answer, other)
    new = imports.with_imports(path, imports.without_unused(path, new, text), answer)
    checked = trees.parsed(path, new)
    if checked is not None and trees.errors(checked) > trees.errors(file):
        where = f" (line {checked.error})" if checked.error else ""
        raise EditError(f"the file with the new code is not valid {trees.NAMES[file.language]}{where}")
    return new


def defined(path: str, text: str, blocks: list[str]) -> list[str]:
    """The functions of a file that blocks define, by the file's names, in the order of the blocks."""
    file = trees.parsed(path, text)
    found: dict[str, None] = {}
    for block in blocks:
        for one in file.functions if file is not None else ():
            try:
                if not one.test and (answer := splicing.read_answer(path, block, one.name)) and _named(answer[1], one):
                    found[one.name] = None
            except EditError:
                break
    return list(found)


def _named(version: Definition, one: Definition) -> bool:
    return version.short_name == one.short_name


def _answer(path: str, name: str, blocks: list[str]) -> tuple[Parsed, Definition]:
    problem: EditError | None = None
    for block in reversed(blocks):
        try:
            if (found := splicing.read_answer(path, block, name)) is not None:
                return found
        except EditError as error:
            problem = problem or error
    raise problem or EditError(f"there is no code block that defines {name}; write the whole function in one block")


def _with_other(path: str, text: str, owner: str, name: str, answer: Parsed, other: Definition) -> str:
    """`text` with another function of the answer: replaced where the file has it, else put before the main one."""
    file = trees.parsed(path, text)
    if file is None:
        return text
    own = f"{owner}.{other.name}" if owner and "." not in other.name else other.name
    same = f"{owner}.{other.short_name}" if owner and other.shape == "method" else own
    for full in (own, same, other.name):
        known = file.find(full)
        if known is not None and not known.test and known.variant == other.variant:
            if node_text(known.whole) == node_text(other.whole):
                return text
            return splicing.put_in(file, known, answer, other)
    main = file.find(name)
    statement = trees.top_statement(other.whole)
    alone = statement.start_byte == other.whole.start_byte or statement.type == "export_statement"
    if main is None or not alone or other.shape == "method" or other.short_name not in mentioned(file.root):
        return text
    return splicing.with_statement(file, node_text(other.whole), main)
