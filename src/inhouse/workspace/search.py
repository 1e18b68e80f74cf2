"""Searching the text of a workspace, as ripgrep does: ignored, hidden and binary files are left out.

The pattern is a regular expression (Python's). git, where it can, picks the files that may match; the lines are found
here. Knows nothing of models.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace.files import MOST_BYTES
from inhouse.workspace.git import git
from inhouse.workspace.lines import excerpt, lines_of, shown
from inhouse.workspace.listing import Listing, listing
from inhouse.workspace.text import decode

_LONGEST_LINE = 300
_MOST_IN_LINE = 5  # places shown of a long line
_CRLF = r"\r$"
_MARKS = r"^(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)"  # byte order marks


@dataclass(frozen=True)
class Query:
    """`folder` and paths of hits are relative to the workspace; `glob` as ripgrep's -g, "!" in front excludes."""

    pattern: str
    folder: str = "."
    glob: str = ""
    ignore_case: bool = False
    literal: bool = False


@dataclass(frozen=True)
class Hit:
    """A line (from 1) with a match. Of a long one `text` is what is around it, `column` (from 1) where it begins."""

    path: str
    line: int
    text: str
    column: int | None = None


def files_of(root: Path, folder: str = ".") -> list[str]:
    """The files that a search looks at, sorted: neither ignored nor hidden. Paths are relative to `root`.

    Those of checked-out submodules and of other repositories inside are among them.
    """
    start = root / folder
    return [folder] if start.is_file() else _visible(folder, listing(start))


def search(root: Path, query: Query, too_large: list[str] | None = None) -> Iterator[Hit]:
    """Matching lines, by path and line. Raises WorkspaceError for a pattern that is no regular expression.

    Files that are not searched for their size are added to `too_large`.
    """
    flags = re.IGNORECASE if query.ignore_case else 0
    given = unicodedata.normalize("NFC", query.pattern)
    try:
        pattern = re.compile(re.escape(given) if query.literal else given, flags)
    except (re.error, RecursionError) as error:
        raise WorkspaceError(
            f"{query.pattern!r} is no regular expression ({error}); escape it, or search with literal = true"
        ) from None
    wanted = glob_filter(query.glob)
    start = root / query.folder
    found = Listing() if start.is_file() else listing(start)
    paths = [query.folder] if start.is_file() else _visible(query.folder, found)
    paths = [path for path in paths if wanted.matches(path)]
    candidates = _candidates(root, query, found) if len(paths) > 200 else None
    for path in paths:
        if candidates is None or path in candidates:
            yield from _hits(root, path, pattern, too_large if too_large is not None else [])


@dataclass(frozen=True)
class _Glob:
    """Which paths a glob lets through."""

    pattern: re.Pattern[str] | None
    exclude: bool

    def matches(self, path: str) -> bool:
        return self.pattern is None or (self.pattern.fullmatch(path) is not None) != self.exclude


def glob_filter(glob: str) -> _Glob:
    """The filter of one of ripgrep's globs; without a slash it matches file names in any folder."""
    text = glob.strip().removeprefix("./")
    exclude = text.startswith("!")
    text = text.removeprefix("!")
    if not text:
        return _Glob(None, False)
    anchored = "/" in text.rstrip("/")
    text = text.strip("/") if anchored else text
    if text.endswith("/"):
        text += "**"
    return _Glob(re.compile(("" if anchored else "(?:.*/)?") + _translated(text)), exclude)


def _translated(glob: str) -> str:
    """A glob as a regular expression: * and ? stop at slashes, ** does not, {a,b} and [...] choose."""
    out, at, depth = [], 0, 0
    while at < len(glob):
        rest = glob[at:]
        if rest.startswith("**/"):
            out.append("(?:.*/)?")
            at += 3
            continue
        if rest.startswith("**"):
            out.append(".*")
            at += 2
            continue
        char = glob[at]
        at += 1
        if char in "*?":
            out.append("[^/]*" if char == "*" else "[^/]")
        elif char == "[" and (end := glob.find("]", at + 1)) > 0:
            inner = glob[at:end].replace("\\", "\\\\")
            out.append(f"[{'^' + inner[1:] if inner[0] in '!^' else inner}]")
            at = end + 1
        elif char == "{":
            out.append("(?:")
            depth += 1
        elif char == "}" and depth:
            out.append(")")
            depth -= 1
        elif char == "," and depth:
            out.append("|")
        else:
            out.append(re.escape(char))
    return "".join(out) + ")" * depth


def _candidates(root: Path, query: Query, found: Listing) -> frozenset[str] | None:
    """The files in which git's grep sees the pattern; None when it cannot tell."""
    if found.dependencies and not found.under_git:
        return None  # git would read them all
    if not query.pattern.isascii() or "\0" in query.pattern:  # git sees no other encodings, and no other forms
        return None
    options = ["--ignore-case"] if query.ignore_case else []
    options.append("--fixed-strings" if query.literal else "--perl-regexp")
    start = root / query.folder
    try:
        seen = _grep(start, found, "-I", *options, "-e", query.pattern)
        seen |= _grep(start, found, "--text", "--perl-regexp", "-e", _MARKS)
        if "$" in query.pattern and not query.literal:
            seen |= _grep(start, found, "-I", "--perl-regexp", "-e", _CRLF)
    except WorkspaceError:
        return None
    return frozenset(_placed(query.folder, seen))


def _grep(folder: Path, found: Listing, *options: str) -> set[str]:
    """Asked once for each repository: git's grep does not enter submodules while it looks at untracked files."""
    where = ["--untracked"] if found.under_git else ["--no-index", "--no-exclude-standard"]
    seen: set[str] = set()
    for inside in ("", *found.nested):
        out = git(folder / inside, "grep", "-z", "--files-with-matches", *where, *options, expected=(1,))
        seen.update(f"{inside}/{path}" if inside else path for path in out.split("\0") if path)
    return seen


def _visible(folder: str, found: Listing) -> list[str]:
    """The files of a folder's listing that are not hidden in it, sorted, relative to where the folder is."""
    return sorted(_placed(folder, (path for path in found.files if not path.startswith(".") and "/." not in path)))


def _placed(folder: str, paths: Iterable[str]) -> list[str]:
    """Paths relative to a folder, relative to where that is."""
    base = posixpath.normpath(folder)
    return list(paths) if base == "." else [f"{base}/{path}" for path in paths]


def _hits(root: Path, path: str, pattern: re.Pattern[str], too_large: list[str]) -> Iterator[Hit]:
    file = root / path
    try:
        if file.is_symlink() or not file.is_file():
            return
        if file.stat().st_size > MOST_BYTES:
            too_large.append(path)
            return
        text = decode(path, file.read_bytes()).text
    except (OSError, WorkspaceError):
        return
    for number, line in enumerate(lines_of(text), 1):
        composed = line if line.isascii() else unicodedata.normalize("NFC", line)
        if len(line) <= _LONGEST_LINE:
            if pattern.search(line) or (composed != line and pattern.search(composed)):
                yield Hit(path, number, shown(line))
            continue
        if not pattern.search(line):
            line = composed
        for match in islice(pattern.finditer(line), _MOST_IN_LINE):
            start = match.start() - _LONGEST_LINE // 3
            yield Hit(path, number, excerpt(line, start, _LONGEST_LINE), match.start() + 1)
