"""A function of a JavaScript, TypeScript, Go or Rust file replaced by another version of it.

An answer may give a function in another form than the file has it: `function total() {}` for `exports.total = ...`, a
method with or without its class around it. The file's form is kept. Lines that say the same as before stay as they
are, new ones are indented as the file is. Knows no files and no models.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections import Counter
from itertools import pairwise

from tree_sitter import Node

from inhouse.workspace.code import trees
from inhouse.workspace.code.definitions import CLOSURES, Definition, unwrapped
from inhouse.workspace.code.languages import node_text
from inhouse.workspace.code.trees import Parsed
from inhouse.workspace.edits import EditError

_AROUND = {  # what an answer may have been written inside of
    "javascript": ("{}", "class Around {{\n{}\n}}", "({{\n{}\n}})", "(\n{}\n)"),
    "typescript": ("{}", "class Around {{\n{}\n}}", "({{\n{}\n}})", "(\n{}\n)"),
    "tsx": ("{}", "class Around {{\n{}\n}}", "({{\n{}\n}})", "(\n{}\n)"),
    "go": ("{}", "package around\n{}"),
    "rust": ("{}", "impl Around {{\n{}\n}}"),
}
_SUFFIX = {"javascript": ".js", "typescript": ".ts", "tsx": ".tsx", "go": ".go", "rust": ".rs"}
_MULTILINE = frozenset({
    "string_fragment", "template_string", "raw_string_literal", "string_content", "raw_string_literal_content",
    "interpreted_string_literal_content", "jsx_text",
})  # fmt: skip


def read_answer(path: str, code: str, name: str) -> tuple[Parsed, Definition] | None:
    """An answer's code in the form in which it parses, and its version of function `name`; None where it has none.

    Raises EditError for code that is not of the file's language.
    """
    code = textwrap.dedent(code.replace("\r\n", "\n")).strip("\n")
    language = trees.parsed(path, code)
    if language is None:
        raise EditError(f"{path}: functions of this kind of file are not understood; change its lines instead")
    whole = False
    for around in _AROUND[language.language]:
        file = trees.parsed(path, around.format(code))
        if file is None or file.error is not None:
            continue
        whole = True
        if (found := _version(file, name)) is not None:
            return file, found
    if not whole:
        said = f"line {language.error}"
        raise EditError(f"the new code of {name} is not valid {trees.NAMES[language.language]} ({said})")
    return None


def put_in(file: Parsed, old: Definition, answer: Parsed, new: Definition) -> str:
    """The file's text with `old` as `new` has it."""
    target = old.value if old.shape == "value" else old.whole
    body = _with_head(old, target, _in_form(old, new), new)
    start, end = target.start_byte, target.end_byte
    data = file.data
    begin = data.rfind(b"\n", 0, start) + 1
    before = data[begin:start].decode("utf-8", "surrogatepass")
    was = data[begin:end].decode("utf-8", "surrogatepass").split("\n")
    lines = _laid_out(body, before, was, file, _margin_of(answer, new), _string_rows(file.language, old, body))
    head, tail = data[:begin].decode("utf-8", "surrogatepass"), data[end:].decode("utf-8", "surrogatepass")
    return head + "\n".join(lines) + tail


def with_statement(file: Parsed, code: str, before: Definition) -> str:
    """The file's text with a statement of its own before the one that a function stands in."""
    at = trees.top_statement(before.whole)
    first = trees.comment_above(at) or at
    start = file.data.rfind(b"\n", 0, first.start_byte) + 1
    head, tail = file.data[:start].decode("utf-8", "surrogatepass"), file.data[start:].decode("utf-8", "surrogatepass")
    return f"{head}{code.strip()}\n\n{tail}"


def _version(file: Parsed, name: str) -> Definition | None:
    """The definition in an answer that is meant for `name`."""
    short = name.rpartition(".")[2]
    named = [one for one in file.functions if one.short_name == short and not one.test]
    exact = [one for one in named if one.name == name]
    if exact or named:
        return (exact or named)[-1]
    if short in ("exports", "default") and len(file.functions) == 1:  # functions that have no name of their own
        return file.functions[0]
    return _bare(file, name)


def _bare(file: Parsed, name: str) -> Definition | None:
    """A function that an answer gives without any name."""
    statements = [node for node in file.root.named_children if node.type != "comment"]
    if len(statements) != 1 or statements[0].type != "expression_statement":
        return None
    value = unwrapped(statements[0].named_children[0])
    if value.type not in CLOSURES or _field(value, "name") not in ("", name.rpartition(".")[2]):
        return None
    return Definition(name, statements[0], value)


def _in_form(old: Definition, new: Definition) -> str:
    """The text of the new version in the form that the old one has."""
    if old.shape == "value":
        text = node_text(new.value) if new.shape == "value" else _closure(old, new)
    elif old.shape == "method":
        text = _method(old, new)
    elif new.shape == "declaration":
        text = _with_visibility(old, new)
    else:
        name = _field(old.value, "name")
        text = f"{_async(new)}function{_star(new)} {name}{_parameters(new)} {_block(new)}"
    if _async(old) and not _async(new):  # what the function's callers wait for stays
        if old.shape != "method":
            return f"async {text}"
        said = "".join(f"{word} " for word in _modifiers(old))
        return f"{said}async {text.removeprefix(said)}"
    return text


def _closure(old: Definition, new: Definition) -> str:
    """A declaration or a method as the value of a name."""
    if old.value.type == "arrow_function" and not _star(new):
        return f"{_async(new)}{_parameters(new)} => {_block(new)}"
    own = _field(old.value, "name")
    return f"{_async(new)}function{_star(new)}{f' {own}' if own else ''}{_parameters(new)} {_block(new)}"


def _method(old: Definition, new: Definition) -> str:
    """Any form as a method, with the old one's modifiers: `static`, `get`, `private` and the like."""
    if new.shape == "method" and _modifiers(new) == _modifiers(old):
        return node_text(new.whole)
    modifiers = _modifiers(old)
    said = " ".join(modifiers) + (" " if modifiers else "")
    return f"{said}{_async(new)}{_star(new)}{_field(old.value, 'name')}{_parameters(new)} {_block(new)}"


def _modifiers(method: Definition) -> list[str]:
    name = method.value.child_by_field_name("name")
    modifiers = []
    for child in method.value.children:
        if name is not None and child.start_byte >= name.start_byte:
            break
        if child.type not in ("async", "*"):
            modifiers.append(node_text(child))
    return modifiers


def _with_visibility(old: Definition, new: Definition) -> str:
    """A declaration; a Rust function stays as visible as it was, a Go method keeps its receiver."""
    text = node_text(new.whole)
    seen = next((node_text(child) for child in old.whole.children if child.type == "visibility_modifier"), "")
    if seen and not any(child.type == "visibility_modifier" for child in new.whole.children):
        return f"{seen} {text}"
    receiver = _field(old.whole, "receiver")
    if receiver and not _field(new.whole, "receiver") and text.startswith("func "):
        return f"func {receiver} {text.removeprefix('func ')}"
    return text


def _parameters(one: Definition) -> str:
    single = _field(one.value, "parameter")  # `x => ...`
    given = f"({single})" if single else _field(one.value, "parameters")
    return f"{_field(one.value, 'type_parameters')}{given}{_field(one.value, 'return_type')}"


def _block(one: Definition) -> str:
    body = one.body
    if body is None:
        return "{}"
    return node_text(body) if body.type == "statement_block" else f"{{ return {node_text(body)}; }}"


def _async(one: Definition) -> str:
    return "async " if any(child.type == "async" for child in one.value.children) else ""


def _star(one: Definition) -> str:
    return "*" if any(child.type == "*" for child in one.value.children) else ""


def _field(node: Node, field: str) -> str:
    found = node.child_by_field_name(field)
    return node_text(found) if found is not None else ""


def _margin_of(file: Parsed, one: Definition) -> str:
    """The blanks before the line that a definition begins in."""
    begin = file.data.rfind(b"\n", 0, one.whole.start_byte) + 1
    line = file.data[begin : one.whole.start_byte].decode("utf-8", "replace")
    return line[: len(line) - len(line.lstrip(" \t"))]


def _with_head(old: Definition, target: Node, body: str, new: Definition) -> str:
    """A new version with the file's own blanks in its head, where that says the same as before."""
    before, after = old.body, new.body
    if before is None or after is None or not body.endswith(node_text(after)):
        return body
    was = (target.text or b"")[: before.start_byte - target.start_byte].decode("utf-8", "replace")
    head = body[: len(body) - len(node_text(after))]
    return was + node_text(after) if "".join(was.split()) == "".join(head.split()) else body


def _laid_out(body: str, before: str, was: list[str], file: Parsed, own: str, inside: set[int]) -> list[str]:
    """The lines of a new version, the first after `before`, in place of the lines `was`.

    `own` is the new version's margin; rows (from 0) that begin `inside` of a string stay as they are.
    """
    first, *rest = body.split("\n")
    base = before[: len(before) - len(before.lstrip(" \t"))]
    theirs = _unit([own + first, *rest])
    ours = _unit(was) or _unit(file.data.decode("utf-8", "surrogatepass").split("\n"))
    lines = [before + first]
    for number, line in enumerate(rest, 1):
        if number in inside:
            lines.append(line)
        elif not line.strip():
            lines.append("")
        else:
            line = line.removeprefix(own)
            lines.append(base + _indented(line, theirs, ours or theirs))
    return _kept(was, lines, inside)


def _kept(was: list[str], lines: list[str], inside: set[int]) -> list[str]:
    """The new lines, but the old ones where both say the same."""
    before = [line.strip() for line in was]
    after = [f"\0{line}" if number in inside else line.strip() for number, line in enumerate(lines)]
    out: list[str] = []
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        same = kind == "equal" and _moved(was[i1:i2], lines[j1:j2]) == 0
        out += was[i1:i2] if same else lines[j1:j2]
    return out


def _moved(was: list[str], lines: list[str]) -> int:
    """How many lines of a run lie deeper or less deep than they did, which a block around them explains."""
    depth = [(len(_blanks(line).expandtabs(4)), line.strip()) for line in lines]
    return sum(
        len(_blanks(line).expandtabs(4)) != width for line, (width, said) in zip(was, depth, strict=True) if said
    )


def _blanks(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(lines: list[str]) -> str:
    """What lines are indented by after one that opens a block: a tab, or so many blanks; "" where that is not seen."""
    steps: Counter[str] = Counter()
    for line, following in pairwise(line for line in lines if line.strip()):
        margin, deeper = _blanks(line), _blanks(following)
        if line.rstrip().endswith(("{", "(", "[", "=>")) and deeper.startswith(margin) and deeper != margin:
            steps[deeper[len(margin) :]] += 1
    return max(steps, key=lambda step: (steps[step], -len(step)), default="")


def _indented(line: str, theirs: str, ours: str) -> str:
    """A line with its indentation in the file's unit; what is beyond whole units stays."""
    margin = _blanks(line)
    if theirs in ("", ours):
        return line
    levels = len(re.match(f"(?:{theirs})*", margin)[0]) // len(theirs)  # type: ignore[index]  # it matches nothing too
    return ours * levels + margin[levels * len(theirs) :] + line[len(margin) :]


def _string_rows(language: str, old: Definition, body: str) -> set[int]:
    """The rows of a function's text (from 0) that begin inside of a string, where every blank counts."""
    around = {"method": "class Around {{ {}\n}}", "value": "x = {}"}.get(old.shape, "{}")
    file = trees.parsed(f"x{_SUFFIX[language]}", around.format(body))
    found: set[int] = set()
    waiting = [file.root] if file is not None else []
    while waiting:
        node = waiting.pop()
        if node.type in _MULTILINE and node.end_point[0] > node.start_point[0]:
            found.update(range(node.start_point[0] + 1, node.end_point[0] + 1))
        waiting.extend(node.children)
    return found
