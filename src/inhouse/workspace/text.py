"""A text file between its bytes and the text that is worked on, so that an edit changes only the bytes it means.

The text has no byte order mark and "\\n" for every line end. Written back, a line that an edit did not touch has its
own line end and its own bytes again; new lines end as most lines of the file do. A carriage return inside a line is
part of that line (in a `universal` file it ends the line, as it does for Python). Knows no tools and no trees.

The encoding is, in this order: what a byte order mark says; what the file declares (PEP 263; `charset`, `encoding` and
`coding` of HTML, XML, CSS, Emacs and Vim); UTF-8. What is none of these is read byte by byte as Latin-1 and may be
edited with ASCII text alone, for nobody knows how other characters would have to be written.
"""

from __future__ import annotations

import codecs
import difflib
import os
import re
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

from inhouse.errors import WorkspaceError
from inhouse.workspace.edits import EditError
from inhouse.workspace.lines import Span, kept_ends

_BOMS = (  # UTF-32 first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_PEP_263 = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_CODING = re.compile(rb"coding[:=][ \t]*([-\w.]+)")  # Emacs, Vim ("fileencoding="), Ruby
_MARKUP = re.compile(rb"""(?:charset[ \t]*=?|<\?xml[^>]*?encoding[ \t]*=)[ \t]*["']?([-\w.]+)""", re.IGNORECASE)
_MARKUP_SUFFIXES = (".html", ".htm", ".xhtml", ".xml", ".svg", ".css", ".php", ".jsp", ".vue")
_NO_CHARSETS = frozenset({"unicode-escape", "raw-unicode-escape", "punycode", "idna", "undefined", "mbcs", "oem"})
_CONTROLS = bytes({*range(9), *range(14, 27), *range(28, 32), 127})
_CONTROL_SHARE = 0.02  # of a file in no known encoding that passes for text
_ENDS, _UNIVERSAL_ENDS = re.compile(r"\r?\n"), re.compile(r"\r\n|\r|\n")
_QUOTED_IN_DIFF = re.compile('[\x00-\x1f\x7f"\\\\\udc80-\udcff]')
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


@dataclass(frozen=True)
class TextFile:
    """`raw` is the decoded file without its byte order mark, line ends as they are. `known`: its encoding is sure."""

    path: str
    raw: str
    encoding: str = "utf-8"
    bom: bytes = b""
    known: bool = True
    universal: bool = False

    @cached_property
    def text(self) -> str:
        return self._end.sub("\n", self.raw) if "\r" in self.raw else self.raw

    @cached_property
    def data(self) -> bytes:
        """The bytes of the file. Raises EditError where its encoding does not have a character."""
        try:
            return self.bom + self.raw.encode(self.encoding)
        except UnicodeEncodeError as error:
            char, line = self.raw[error.start], self.raw.count("\n", 0, error.start) + 1
            raise EditError(
                f"{self.path}: line {line} has {char!r} (U+{ord(char):04X}), which the file's encoding {self.encoding} "
                "does not have; write it as an escape of the language, or with other characters"
            ) from None

    def edited(self, new: str) -> TextFile:
        """The file with another text; lines that both have keep their bytes. Raises EditError as `spliced`."""
        old = self.text
        start = _common(old, new)
        end = min(_common(old[::-1], new[::-1]), min(len(old), len(new)) - start)
        return self.spliced([Span(start, len(old) - end, new[start : len(new) - end])]) if old != new else self

    def spliced(self, spans: list[Span]) -> TextFile:
        """The file with spans of its text replaced. Raises EditError where its encoding cannot hold the new text."""
        parts, at = [], 0
        for span in sorted(spans, key=lambda span: span.start):
            start, end = self._offset(span.start), self._offset(span.end)
            if not self.known:
                self._check_guess(span)
            parts += [self.raw[at:start], self._with_ends(span)]
            at = end
        new = replace(self, raw="".join([*parts, self.raw[at:]]))
        new = new._declared_anew(self)
        _ = new.data  # raises where the encoding cannot hold it
        return new

    @property
    def _end(self) -> re.Pattern[str]:
        return _UNIVERSAL_ENDS if self.universal else _ENDS

    @cached_property
    def _ends(self) -> list[tuple[int, int]]:
        """Where the line ends of `raw` are."""
        return [match.span() for match in self._end.finditer(self.raw)]

    @cached_property
    def _starts(self) -> list[int]:
        """Where the lines of `text` begin."""
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    @cached_property
    def _usual_end(self) -> str:
        counted = Counter(self.raw[start:end] for start, end in self._ends)
        return counted.most_common(1)[0][0] if counted else "\n"

    def _line(self, offset: int) -> int:
        """The line (from 0) that an offset of `text` lies in."""
        return bisect_right(self._starts, offset) - 1

    def _offset(self, offset: int) -> int:
        """The offset in `raw` of one in `text`."""
        line = self._line(offset)
        before = self._ends[line - 1][1] if line else 0
        return before + offset - self._starts[line]

    def _with_ends(self, span: Span) -> str:
        """A span's new text with line ends: of lines that it keeps their own, of others the usual one."""
        if self._usual_end == "\n" and "\r" not in self.raw:
            return span.new
        first, last = self._line(span.start), self._line(span.end)
        own = [self.raw[start:end] for start, end in self._ends[first:last]]
        old, new = self.text[span.start : span.end].split("\n"), span.new.split("\n")
        ends = [self._usual_end] * (len(new) - 1)
        matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
        for kind, i1, i2, j1, j2 in matcher.get_opcodes():
            if kind == "equal" or (kind == "replace" and i2 - i1 == j2 - j1):
                for i, j in zip(range(i1, i2), range(j1, j2), strict=True):
                    if i < len(own) and j < len(ends):
                        ends[j] = own[i]
        return "".join(line + end for line, end in zip(new, [*ends, ""], strict=True))

    def _check_guess(self, span: Span) -> None:
        """Raise EditError where an edit of a file in an unknown encoding brings what only a known one could write."""
        old = self.text[span.start : span.end]
        lost = next((run for run in _NOT_ASCII.findall(span.new) if run not in old), None)
        if lost is None:
            return
        hint = " (in Python: a first line `# -*- coding: cp1252 -*-`)" if self.path.endswith(".py") else ""
        raise EditError(
            f"{self.path}: its encoding is unknown (neither UTF-8 nor declared), so {lost[:20]!r} cannot be written to "
            f"it; use ASCII alone, or let the user declare the encoding{hint} or convert the file to UTF-8 (iconv)"
        )

    def _declared_anew(self, old: TextFile) -> TextFile:
        """The same text in the encoding that an edit of the declaration asks for."""
        if self.bom or not self.known:
            return self
        before, after = _declared(self.path, _head(old.raw)), _declared(self.path, _head(self.raw))
        return self if before == after else replace(self, encoding=after or "utf-8")


def new_file(path: str, text: str, *, universal: bool = False) -> TextFile:
    """A file that is not there yet: UTF-8 if its text declares nothing else."""
    return TextFile(path, text, _declared(path, _head(text)) or "utf-8", universal=universal)


def decode(path: str, data: bytes, *, universal: bool = False) -> TextFile:
    """The text file that bytes are. Raises WorkspaceError for what is no text."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            try:
                return TextFile(path, data[len(bom) :].decode(encoding), encoding, bom, universal=universal)
            except UnicodeDecodeError:
                break
    if (nul := data.find(b"\0")) >= 0:
        raise WorkspaceError(f"{path}: a binary file (byte {nul} is NUL), not UTF-8 or other text; it is left alone")
    declared = _declared(path, data[:1024])
    order = (declared, "utf-8") if path.endswith((".py", ".pyi")) else ("utf-8", declared)
    for name in order:
        if name is not None and (raw := _decoded(data, name)) is not None:
            return TextFile(path, raw, name, universal=universal)
    if len(data) - len(data.translate(None, _CONTROLS)) > _CONTROL_SHARE * len(data):
        raise WorkspaceError(f"{path}: a binary file, not UTF-8 or other text; it is left alone")
    return TextFile(path, data.decode("latin-1"), "latin-1", known=False, universal=universal)


def unified_diff(old: TextFile | None, new: TextFile) -> str:
    """The change of a file as a unified diff that `git apply` understands, byte order mark and line ends included."""
    before = [] if old is None else kept_ends(_whole(old))
    name = "/dev/null" if old is None else _name_in_diff(f"a/{new.path}")
    lines = difflib.unified_diff(before, kept_ends(_whole(new)), name, _name_in_diff(f"b/{new.path}"))
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)


def _name_in_diff(path: str) -> str:
    """A path as git writes it in a diff's head: quoted as in C where it must be; a tab ends one with blanks."""
    if not _QUOTED_IN_DIFF.search(path):
        return f"{path}\t" if " " in path else path

    def escaped(match: re.Match[str]) -> str:
        character = match[0]
        return f"\\{character}" if character in '"\\' else "".join(f"\\{byte:03o}" for byte in os.fsencode(character))

    return f'"{_QUOTED_IN_DIFF.sub(escaped, path)}"'


def _whole(file: TextFile) -> str:
    return "\ufeff" + file.raw if file.bom else file.raw


def _head(text: str) -> bytes:
    return text[:1024].encode("utf-8", "replace")


def _declared(path: str, head: bytes) -> str | None:
    """The codec of the encoding that a file's beginning declares; None where it declares none that is known."""
    lines = re.split(rb"\r\n|\r|\n", head)[:2]
    if path.endswith((".py", ".pyi")):
        if not lines[0].strip() or lines[0].lstrip().startswith(b"#"):
            found = next((match for line in lines if (match := _PEP_263.match(line))), None)
        else:
            found = _PEP_263.match(lines[0])
    else:
        found = next((match for line in lines if (match := _CODING.search(line))), None)
        if found is None and path.lower().endswith(_MARKUP_SUFFIXES):
            found = _MARKUP.search(head)
    if found is None:
        return None
    name = re.sub(r"-(unix|dos|mac)$", "", found[1].decode("ascii", "replace").lower().replace("_", "-"))
    try:
        codec = codecs.lookup(name)
        holds_ascii = found[0].decode(codec.name).encode("ascii") == found[0]  # else it could not have been read
    except (LookupError, UnicodeError):
        return None
    return codec.name if holds_ascii and codec.name not in _NO_CHARSETS else None


def _decoded(data: bytes, encoding: str) -> str | None:
    """The text of bytes, if it gives the very same bytes again."""
    try:
        text = data.decode(encoding)
        return text if encoding == "utf-8" or text.encode(encoding) == data else None
    except UnicodeError:
        return None


def _common(one: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
