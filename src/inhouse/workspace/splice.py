"""A function of a Python file replaced by another version of it, so that only the lines that differ change.

The new version is laid out as the old one was: its indentation (tabs stay tabs), its form feeds, trailing blanks and
tabs wherever a line says the same as before. Knows no files and no models.
"""

from __future__ import annotations

import ast
import difflib
import io
import re
import textwrap
import tokenize
from dataclasses import dataclass

from inhouse.workspace import source
from inhouse.workspace.edits import EditError
from inhouse.workspace.lines import margin

_OPENED = frozenset(getattr(tokenize, name, -1) for name in ("FSTRING_START", "TSTRING_START"))  # Python 3.12, 3.14
_CLOSED = frozenset(getattr(tokenize, name, -1) for name in ("FSTRING_END", "TSTRING_END"))
_FEEDS = "\f\v"
_QUIET = frozenset({tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER})


@dataclass(frozen=True)
class _Row:
    """One line of a function. `level` counts indentations; `beyond` is what a continued line has more of them."""

    kind: str  # code, continued, text (inside of a string), document (inside of a docstring), blank
    level: int
    beyond: str


def even(code: str) -> str:
    """A model's code at the left margin, tabs before its lines made blanks where it mixes them."""
    code = textwrap.dedent(code.replace("\r\n", "\n").replace("\r", "\n"))
    expanded = [margin(line).expandtabs(4) + line[len(margin(line)) :] for line in code.split("\n")]
    tries = (code, "\n".join(source.dedented(code.split("\n"))), textwrap.dedent("\n".join(expanded)))
    return next((one for one in tries if source.parse(one) is not None), code)


def replace_function(text: str, name: str, code: str) -> str:
    """`text` with the function `name` ("Class.method" for a method) replaced by its definition in `code`.

    `code` may hold more (a class around the method, imports, a sentence of prose as comment): only the definition is
    taken, and laid out as the old one was. Raises EditError when `code` does not parse or lacks the definition.
    """
    tree = source.parse(text)
    old = source.find_node(tree, name) if tree else None
    if old is None:
        raise EditError(f"there is no function {name} in the file")
    code = even(code)
    problem = source.syntax_error(code)
    if problem:
        raise EditError(f"the new code of {name} is not valid Python ({problem})")
    new = [f for f in source.functions("", code) if f.short_name == name.rpartition(".")[2]]
    if not new:
        raise EditError(f"the code block does not define {name.rpartition('.')[2]}; write the whole function")
    chosen = next((function for function in new if function.name == name), new[-1])
    lines = text.split("\n")
    first, last = source.first_line(old), old.end_lineno or old.lineno
    body = chosen.text(code)
    if not body.lstrip().startswith("@"):  # models drop decorators; they stay
        first = old.lineno
    return "\n".join([*lines[: first - 1], *laid_out(body, lines[first - 1 : last], text), *lines[last:]])


def laid_out(body: str, old: list[str], text: str, base: str | None = None) -> list[str]:
    """The lines of a function, given at the left margin, as they are to stand in `text` in place of its lines `old`.

    `base` is what they are indented by, where there are no old ones.
    """
    base = margin(old[0]).lstrip(_FEEDS) if base is None else base
    rows, own = _rows(body.split("\n"))
    if not rows:
        return [base + line if line.strip() else "" for line in body.split("\n")]
    stripped = [line.lstrip(_FEEDS).removeprefix(base) for line in old]
    old_rows, levels = _rows(stripped)
    margins, blanks = _margins(levels, own, text), len(own[1]) if len(own) > 1 and not own[1].strip(" ") else 4
    new = [_indented(line, row, base, margins, blanks) for line, row in zip(body.split("\n"), rows, strict=True)]
    new = [_in_string(line, row, base, old, old_rows) for line, row in zip(new, rows, strict=True)]
    merged = _merged(old, old_rows, new, rows) if old_rows else new
    if old and (feeds := re.match(f"[{_FEEDS}]+", old[0])) and not merged[0].startswith(feeds[0]):
        merged[0] = feeds[0] + merged[0]
    return merged if _same_program(merged, new) else new


def _indented(line: str, row: _Row, base: str, margins: list[str], blanks: int) -> str:
    """A line of the new version with the file's margin; `blanks` are what the new version indents by."""
    if row.kind == "blank":
        return ""
    if row.kind in ("text", "document"):
        return base + line if line.strip() else line  # the left margin took it away
    beyond = row.beyond
    unit = margins[1] if len(margins) > 1 else ""
    if "\t" in unit and not beyond.strip(" "):
        beyond = "\t" * (len(beyond) // blanks) + " " * (len(beyond) % blanks)
    return base + margins[row.level] + beyond + line[len(margin(line)) :]


def _in_string(line: str, row: _Row, base: str, old: list[str], old_rows: list[_Row]) -> str:
    """A line inside of a string with the margin that such lines of the old version have, or none."""
    if row.kind != "text" or not base:
        return line
    before = [one for one, kind in zip(old, old_rows, strict=False) if kind.kind == "text" and one.strip()]
    bare = line.removeprefix(base)
    if bare in before or any(_but_for_tabs(one, bare) for one in before):
        return bare
    all_have = all(one.startswith(base) for one in before)
    return line if all_have or line in before or any(_but_for_tabs(one, line) for one in before) else bare


def _margins(levels: list[str], own: list[str], text: str) -> list[str]:
    """The margin of each level: as the old function had them, else as its file does, else as the new one has them."""
    if len(levels) > 1:
        unit = levels[1]
    elif re.search(r"^\t+\S", text, re.MULTILINE) and not re.search(r"^ {2,}\S", text, re.MULTILINE):
        unit = "\t"
    else:
        return own
    known = list(levels) or [""]
    while len(known) < len(own):
        known.append(known[-1] + unit)
    return known


def _rows(lines: list[str]) -> tuple[list[_Row], list[str]]:
    """What each line of a function is, and the margin of each level; nothing of what is no Python."""
    rows: dict[int, _Row] = {}
    levels, stack = [""], [""]
    begun: int | None = None  # the first row of the logical line
    opened: list[int] = []
    document = False
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines) + "\n").readline):
            row, last = token.start[0] - 1, token.end[0] - 1
            if token.type == tokenize.INDENT:
                stack.append(token.string)
                if len(stack) > len(levels):
                    levels.append(token.string)
            elif token.type == tokenize.DEDENT:
                stack.pop()
            elif token.type == tokenize.NEWLINE:
                begun = None
            elif token.type == tokenize.COMMENT and begun is None and row not in rows:
                at = margin(lines[row])
                level = stack.index(at) if at in stack else len(stack) - 1
                rows[row] = _Row("code", level, _beyond(at, stack[level]))
            elif token.type not in _QUIET and token.type != tokenize.COMMENT:
                if begun is None:
                    begun, document = row, token.type == tokenize.STRING
                    rows.setdefault(row, _Row("code", len(stack) - 1, ""))
                if token.type in _OPENED:
                    opened.append(row)
                if opened or token.type == tokenize.STRING:
                    for inside in range((opened[0] if opened else row) + 1, last + 1):
                        rows.setdefault(inside, _Row("document" if document else "text", 0, ""))
                if token.type in _CLOSED:
                    opened.pop()
                rows.setdefault(row, _Row("continued", len(stack) - 1, _beyond(margin(lines[row]), stack[-1])))
    except (tokenize.TokenError, SyntaxError, IndexError):
        return [], levels
    return [rows.get(index, _Row("blank", 0, "")) for index in range(len(lines))], levels


def _beyond(at: str, of_line: str) -> str:
    return at.removeprefix(of_line) if at.startswith(of_line) else ""


def _merged(old: list[str], old_rows: list[_Row], new: list[str], rows: list[_Row]) -> list[str]:
    """The new lines, but the old ones wherever both say the same."""
    before = [_key(line, row) for line, row in zip(old, old_rows, strict=True)]
    after = [_key(line, row) for line, row in zip(new, rows, strict=True)]
    out: list[str] = []
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            out += old[i1:i2]
        elif kind == "replace" and i2 - i1 == j2 - j1:
            out += [o if _but_for_tabs(o, n) else n for o, n in zip(old[i1:i2], new[j1:j2], strict=True)]
        else:
            out += new[j1:j2]
    return out


def _key(line: str, row: _Row) -> tuple[str, int, str]:
    """What makes two lines the same; inside of strings every blank counts."""
    if row.kind == "text":
        return "text", 0, line
    return row.kind, row.level if row.kind == "code" else 0, line.strip()


def _but_for_tabs(old: str, new: str) -> bool:
    """Whether two lines differ in nothing but tabs of the old one that became blanks."""
    if "\t" not in old:
        return False
    parts = [" +" if "\t" in part else re.escape(part) for part in re.split(r"([ \t]*\t[ \t]*)", old.rstrip())]
    return re.fullmatch("".join(parts), new.expandtabs(4).rstrip()) is not None


def _same_program(one: list[str], other: list[str]) -> bool:
    """Whether two layouts are the same code, blanks inside of strings left out of account."""
    dumps = []
    for lines in (one, other):
        tree = source.parse("\n".join(["if 1:", *(f" {line.lstrip(_FEEDS)}" for line in lines)]))
        for node in ast.walk(tree) if tree else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = " ".join(node.value.split())
        dumps.append(ast.dump(tree) if tree else "")
    return dumps[0] == dumps[1]
