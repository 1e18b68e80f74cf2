"""Which files a working tree holds: tracked, untracked, ignored; checked-out submodules and nested repositories too.

Git says what it ignores. Without git, or outside of a repository, the tree is walked and the usual names of caches and
installed dependencies tell. Paths are relative to the folder that was asked about, with forward slashes; bytes that are
no UTF-8 are escaped as `os.fsdecode` does. Links are listed and never followed. Reads no file's content.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace.git import git, toplevel

REPOSITORIES = frozenset({".git", ".hg", ".svn"})
# Made again by whatever wants them, and never part of a program.
CACHES = frozenset(
    {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".tox", ".nox", ".eggs"}
)
DEPENDENCIES = frozenset({"node_modules"})  # virtual environments are known by what they hold
_NEVER_LISTED = REPOSITORIES | CACHES
_GITLINK = "160000"


@dataclass(frozen=True)
class Listing:
    """`tracked` and `untracked` are files and links that are there; `untracked` are those that git does not ignore.

    `nested` are the folders of checked-out submodules and of other repositories inside, whose files are listed as well.
    `dependencies` are folders of installed packages that are not ignored and yet nobody's work: none of their files are
    listed. Outside of git everything is untracked.
    """

    tracked: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    dependencies: tuple[str, ...] = ()
    under_git: bool = False

    @property
    def files(self) -> tuple[str, ...]:
        return self.tracked + self.untracked


def listing(folder: Path) -> Listing:
    """The files below a folder. Raises WorkspaceError for a repository that git cannot read."""
    top = toplevel(folder)
    if top is None:
        return _walked(folder)
    found = _listed(folder)
    if not found.files and top != Path(os.path.realpath(folder)):
        return _walked(folder)  # an outer repository ignores all of it, so it says nothing of it
    return found


def ignored(folder: Path, nested: Iterable[str] = ()) -> list[str]:
    """What git ignores below a folder, and in the repositories `nested` there; caches are left out.

    Of a folder that is ignored as a whole it is the name alone, which ends in a slash.
    """
    found: list[str] = []
    for prefix in ("", *(f"{path}/" for path in nested)):
        options = ("--others", "--ignored", "--exclude-standard", "--directory")
        paths = _fields(git(folder / prefix, "ls-files", "-z", *options))
        found += [f"{prefix}{path}" for path in paths if not _NEVER_LISTED.intersection(path.split("/"))]
    return found


def empty_folders(folder: Path, nested: Iterable[str] = ()) -> list[str]:
    """Folders in which no file is listed, or that are new as a whole: git does not list them with the files."""
    found: list[str] = []
    for prefix in ("", *(f"{path}/" for path in nested)):
        paths = _fields(git(folder / prefix, "ls-files", "-z", "--others", "--exclude-standard", "--directory"))
        found += [f"{prefix}{path}".rstrip("/") for path in paths if path.endswith("/")]
    return [path for path in found if not os.path.lexists(folder / path / ".git")]


def is_environment(directory: Path) -> bool:
    """Whether a directory is a Python virtual environment."""
    return (directory / "pyvenv.cfg").is_file()


def _listed(folder: Path) -> Listing:
    out = git(folder, "ls-files", "-z", "-t", "--stage", "--deleted", "--others", "--exclude-standard")
    tracked: dict[str, None] = {}
    untracked: list[str] = []
    nested: list[str] = []
    gone: set[str] = set()
    for field in _fields(out):
        tag, rest = field[0], field[2:]
        mode, path = ("", rest) if tag == "?" else (rest[:6], rest.partition("\t")[2])
        if tag == "?":
            if path.endswith("/"):
                nested.append(path.rstrip("/"))
            else:
                untracked.append(path)
        elif mode == _GITLINK:
            nested.append(path)
        elif tag == "R" or (tag == "S" and not os.path.lexists(folder / path)):  # deleted; left out by sparse checkout
            gone.add(path)
        else:
            tracked[path] = None
    dependencies = _dependencies(untracked)
    own = Listing(
        tuple(path for path in tracked if path not in gone),
        tuple(path for path in untracked if not _is_below(path, dependencies) and not _is_cached(path)),
        dependencies=tuple(sorted(dependencies)),
        under_git=True,
    )
    for path in dict.fromkeys(nested):
        if os.path.lexists(folder / path / ".git"):
            own = _joined(own, path, _nested(folder / path))
    return own


def _nested(folder: Path) -> Listing:
    try:
        return _listed(folder)
    except WorkspaceError:  # damaged, or not trusted by git: what is in it can still be read
        return _walked(folder)


def _joined(outer: Listing, path: str, inner: Listing) -> Listing:
    """A listing with that of a repository at `path` in it."""

    def moved(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(f"{path}/{name}" for name in paths)

    return Listing(
        outer.tracked + moved(inner.tracked),
        outer.untracked + moved(inner.untracked),
        (*outer.nested, path, *moved(inner.nested)) if inner.under_git else outer.nested,
        outer.dependencies + moved(inner.dependencies),
        outer.under_git,
    )


def _dependencies(untracked: Iterable[str]) -> set[str]:
    """Folders of installed packages among untracked paths, the outermost of each."""
    found = set()
    for path in untracked:
        if path.endswith("/pyvenv.cfg"):
            found.add(path.removesuffix("/pyvenv.cfg"))
        elif "node_modules/" in path:
            parts = path.split("/")
            if "node_modules" in parts[:-1]:
                found.add("/".join(parts[: parts.index("node_modules") + 1]))
    return {path for path in found if not _is_below(path, found - {path})}


def _is_below(path: str, folders: set[str]) -> bool:
    return bool(folders) and any(path[:at] in folders for at, letter in enumerate(path) if letter == "/")


def _is_cached(path: str) -> bool:
    return not CACHES.isdisjoint(path.split("/")[:-1])


def _walked(folder: Path) -> Listing:
    dependencies: list[str] = []
    files = tuple(_walk(str(folder), "", dependencies))
    return Listing(untracked=files, dependencies=tuple(dependencies))


def _walk(root: str, start: str, dependencies: list[str]) -> Iterator[str]:
    waiting = [start]
    while waiting:
        here = waiting.pop()
        try:
            entries = sorted(os.scandir(f"{root}/{here}"), key=lambda entry: entry.name)
        except OSError:  # not ours to read
            continue
        inside = []
        for entry in entries:
            path = f"{here}{entry.name}"
            if not entry.is_dir(follow_symlinks=False):
                if entry.is_symlink() or entry.is_file(follow_symlinks=False):
                    yield path
            elif entry.name in DEPENDENCIES or is_environment(Path(entry.path)):
                dependencies.append(path)
            elif entry.name not in _NEVER_LISTED:
                inside.append(f"{path}/")
        waiting += reversed(inside)


def _fields(out: str) -> list[str]:
    return [field for field in out.split("\0") if field]
