"""Searching the text of a workspace, as ripgrep does: ignored, hidden and binary files are left out.

The pattern is a regular expression (Python's). git, where it can, picks the files that may match; the lines are found
here. Knows nothing of models.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace.checkout import is_environment
from inhouse.workspace.git import git, listed, toplevel

_SKIPPED = frozenset({"node_modules", "__pycache__"})
_MAX_BYTES = 4 << 20
_LONGEST_LINE = 300


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
    path: str
    line: int
    text: str


def files_of(root: Path, folder: str = ".") -> list[str]:
    """The files that a search looks at, sorted: neither ignored nor hidden. Paths are relative to `root`."""
    start = root / folder
    if start.is_file():
        return [folder]
    if toplevel(root) is not None:
        gone = frozenset(listed(root, "--deleted", "--", folder))
        known = listed(root, "--cached", "--others", "--exclude-standard", "--deduplicate", "--", folder)
        found = [path for path in known if path not in gone]
    else:
        found = list(_walk(root, start))
    return sorted(path for path in found if not any(part.startswith(".") for part in Path(path).parts))


def search(root: Path, query: Query) -> Iterator[Hit]:
    """Matching lines, by path and line. Raises WorkspaceError for a pattern that is no regular expression."""
    flags = re.IGNORECASE if query.ignore_case else 0
    try:
        pattern = re.compile(re.escape(query.pattern) if query.literal else query.pattern, flags)
    except (re.error, RecursionError) as error:
        raise WorkspaceError(
            f"{query.pattern!r} is no regular expression ({error}); escape it, or search with literal = true"
        ) from None
    wanted = glob_filter(query.glob)
    paths = [path for path in files_of(root, query.folder) if wanted.matches(path)]
    candidates = _candidates(root, query) if len(paths) > 200 else None
    for path in paths:
        if candidates is None or path in candidates:
            yield from _hits(root, path, pattern)


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


def _candidates(root: Path, query: Query) -> frozenset[str] | None:
    """The files in which git's grep sees the pattern; None when it cannot tell."""
    options = ["--ignore-case"] if query.ignore_case else []
    options.append("--fixed-strings" if query.literal else "--perl-regexp")
    where = ["--untracked"] if toplevel(root) is not None else ["--no-index", "--exclude-standard"]
    try:
        found = git(
            root, "grep", "-z", "--files-with-matches", "-I", *where, *options, "-e", query.pattern, "--", query.folder,
            expected=(1,),
        )  # fmt: skip
    except WorkspaceError:
        return None
    return frozenset(path for path in found.split("\0") if path)


def _hits(root: Path, path: str, pattern: re.Pattern[str]) -> Iterator[Hit]:
    file = root / path
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > _MAX_BYTES:
            return
        data = file.read_bytes()
    except OSError:
        return
    if b"\0" in data[:8192]:
        return
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1):
        if pattern.search(line):
            yield Hit(path, number, line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " ...")


def _walk(root: Path, start: Path) -> Iterator[str]:
    for folder, directories, names in os.walk(start):
        here = Path(folder)
        directories[:] = [
            name
            for name in directories
            if not name.startswith(".") and name not in _SKIPPED and not is_environment(here / name)
        ]
        yield from ((here / name).relative_to(root).as_posix() for name in names)
