"""Indentation and other blanks of new lines, made like those of the file that they go into. Knows no files.

Models see tabs and write blanks. Where a file's lines tell what was meant, that is put right; what they leave open
stays as it was written.
"""

from __future__ import annotations

import difflib
import io
import re
import tokenize
from collections.abc import Callable
from itertools import pairwise
from math import gcd
from pathlib import PurePosixPath

from inhouse.workspace.lines import Span, margin

_BLANK_INDENTED = re.compile(r" {2,}(?=[^\s*])")  # a comment's " * " is no indentation
_TOKENS = re.compile(r"\s+|\w+|[^\w\s]")
_RULE = re.compile(r"[^\s#=:][^=:#]*::?(?![:=])")  # a rule's head in a makefile; `a := b` is none
_DIRECTIVE = re.compile(
    r"\s*(#|(ifn?eq|ifn?def|else|endif|-?include|sinclude|define|endef|(un)?export|override|vpath)\b)"
)
_BLANKS_COUNT = (".yml", ".yaml", ".md", ".markdown", ".rst", ".txt", ".adoc", ".csv")  # tabs would mean something else


def fitted(new: list[str], wanted: list[str], old: list[str]) -> list[str]:
    """The new lines of an edit that replaces `old`, which it gives as `wanted`: the same but for blanks.

    Lines of `wanted` that the edit keeps are the file's; the others are indented as the file is.
    """
    indented, unit = _translation(new, wanted, old)
    out: list[str] = []
    before, after = ([_key(line, unit) for line in lines] for lines in (wanted, new))
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind == "equal":
            out += old[i1:i2]
            continue
        paired = i2 - i1 == j2 - j1
        for offset, line in enumerate(new[j1:j2]):
            if not line.strip():
                out.append(line)
            elif paired and margin(line) == margin(wanted[i1 + offset]) and wanted[i1 + offset].strip():
                out.append(_merged(line, wanted[i1 + offset], old[i1 + offset]))
            else:
                out.append(indented(margin(line)) + line[len(margin(line)) :])
    return out


def _key(line: str, unit: int) -> str:
    """What makes two lines of an edit the same: all but blanks at the end, and tabs that stand for blanks."""
    return margin(line).expandtabs(unit) + line[len(margin(line)) :].rstrip()


def _translation(new: list[str], wanted: list[str], old: list[str]) -> tuple[Callable[[str], str], int]:
    """From a margin as the edit has it to that of the file; and how many blanks of the edit a tab of the file is."""
    known: dict[str, str] = {}
    for w, o in zip(wanted, old, strict=True):
        if w.strip():
            known.setdefault(margin(w), margin(o).lstrip("\f\v"))
    tabs = any("\t" in value for value in known.values())
    unit = _unit(known, [margin(line) for line in [*wanted, *new] if line.strip()])

    def translated(given: str) -> str:
        if given in known:
            return known[given]
        base = max((key for key in known if given.startswith(key)), key=len, default=None)
        if base is not None:
            rest = given[len(base) :]
            if tabs and not rest.strip(" "):
                rest = "\t" * (len(rest) // unit) + " " * (len(rest) % unit)
            return known[base] + rest
        nearest = min(known, key=len, default="")
        if tabs and "\t" in nearest and given and not given.strip(" "):  # tabs were seen, blanks came
            one = next(size for size in (4, 8, 2, 3, len(given)) if len(given) % size == 0)
            return "\t" * (len(given) // one)
        less = len(nearest) - len(given)
        whole = known.get(nearest, given)
        return whole[: max(0, len(whole) - (-(-less // unit) if tabs else less))]

    return translated, unit


def _unit(known: dict[str, str], margins: list[str]) -> int:
    """How many blanks of an edit stand for one tab of the file."""
    pairs = sorted((len(w), o.count("\t")) for w, o in known.items() if not w.strip(" "))
    for (width, tabs), (more, more_tabs) in pairwise(pairs):
        if more_tabs > tabs and (more - width) % (more_tabs - tabs) == 0:
            return (more - width) // (more_tabs - tabs)
    for width, tabs in pairs:
        if width and tabs and width % tabs == 0 and width // tabs in (2, 3, 4, 8):
            return width // tabs
    return gcd(*(len(one) for one in margins if one and not one.strip(" "))) or 4


def _merged(new: str, wanted: str, old: str) -> str:
    """A changed line with the blanks of the file's old one wherever the edit did not mean others."""
    before, given, asked = (_TOKENS.findall(line.strip()) for line in (old, wanted, new))
    body = new[len(margin(new)) :]
    if len(before) == len(given) and before != given:
        parts: list[str] = []
        for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, given, asked, autojunk=False).get_opcodes():
            parts += before[i1:i2] if kind == "equal" else asked[j1:j2]
        body = "".join(parts)
    return margin(old) + body


def with_tabs(path: str, text: str, span: Span) -> Span:
    """A span of `text` whose new lines are indented with tabs where they came with blanks and the file has tabs."""
    start = text.rfind("\n", 0, span.start) + 1
    whole = text[start : span.start] + span.new
    lines = whole.split("\n")
    first = 0 if start == span.start else 1  # the first line's margin may be the file's
    before = text[:start].split("\n")[:-1]
    others = text[: span.start] + text[span.end :]
    replaced = set(text[start : span.end].split("\n"))
    chosen = [
        number
        for number in range(first, len(lines))
        if _BLANK_INDENTED.match(lines[number]) and lines[number] not in replaced
    ]
    if not chosen:
        return span
    if is_makefile(path):
        done = _recipes(before, lines, chosen)
    elif path.lower().endswith(_BLANKS_COUNT) or not _has_tabs_alone(others):
        return span
    else:
        done = _tabbed(before, lines, chosen)
        if path.endswith((".py", ".pyi")):
            inside = _in_strings("\n".join([*before, *done]) + text[span.end :])
            done = [
                old if len(before) + n in inside else new for n, (old, new) in enumerate(zip(lines, done, strict=True))
            ]
    return Span(span.start, span.end, "\n".join(done)[span.start - start :])


def _in_strings(text: str) -> set[int]:
    """The lines (from 0) of a Python program that begin inside of a string."""
    middle = getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)
    found: set[int] = set()
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in (tokenize.STRING, middle):
                found.update(range(token.start[0], token.end[0]))
    except (tokenize.TokenError, SyntaxError):
        pass  # what was seen before counts
    return found


def is_makefile(path: str) -> bool:
    name = PurePosixPath(path).name
    return name in ("Makefile", "makefile", "GNUmakefile") or name.endswith((".mk", ".mak"))


def _has_tabs_alone(text: str) -> bool:
    """Whether the lines of a text that are indented are so with tabs."""
    lines = text.split("\n")
    return any(line.startswith("\t") for line in lines) and not any(map(_BLANK_INDENTED.match, lines))


def _tabbed(before: list[str], lines: list[str], chosen: list[int]) -> list[str]:
    """The lines with tabs in the chosen ones; no line can be deeper than the one above it allows."""
    widths = [len(margin(lines[number])) for number in chosen]
    above = next((line for line in reversed([*before, *lines[: chosen[0]]]) if line.strip()), "")
    deepest = margin(above).count("\t") + above.rstrip().endswith((":", "{", "(", "["))
    units = [unit for unit in (4, 8, 2, 3) if all(width % unit == 0 for width in widths)]
    unit = next((unit for unit in units if widths[0] // unit <= deepest), next(iter(units), gcd(*widths)))
    if unit < 2:
        return lines
    out = list(lines)
    for number, width in zip(chosen, widths, strict=True):
        out[number] = "\t" * (width // unit) + " " * (width % unit) + lines[number][width:]
    return out


def _recipes(before: list[str], lines: list[str], chosen: list[int]) -> list[str]:
    """The lines of a makefile with a tab before those of recipes."""
    out = list(lines)
    least = 0  # blanks before the first line of a recipe
    for number in chosen:
        above = next((line for line in reversed([*before, *out[:number]]) if line.strip()), "")
        if (above.startswith("\t") or _RULE.match(above)) and not _DIRECTIVE.match(lines[number]):
            width = len(margin(lines[number]))
            least = min(least, width) if least and above.startswith("\t") else width
            out[number] = "\t" + lines[number][least:]
    return out
