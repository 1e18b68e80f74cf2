"""What a copy of a working tree consists of: which files are copied, and what is too large and read where it lies.

The tracked files are copied, the untracked ones, and of what git ignores what a program may need when it runs: built
extensions, generated modules, installed dependencies, virtual environments, build results. Only caches are left out.
Large folders and files are borrowed: shown in the copy at their places, read-only. Decides, and copies nothing.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from inhouse.workspace.listing import (
    CACHES,
    DEPENDENCIES,
    REPOSITORIES,
    Listing,
    empty_folders,
    ignored,
    is_environment,
    listing,
)

LARGE_FILE = 64 << 20  # bytes; larger ones are borrowed
_SMALL_FILES, _SMALL_BYTES = 2000, 32 << 20  # an ignored folder up to this size is copied
_MOST_BESIDE = 10_000  # files copied beside the folder that is worked on, before its large neighbours are borrowed
_LARGE_NEIGHBOUR = 1000  # files
_MADE_AGAIN = (".pyc", ".pyo", ".swp", ".swo", "~", ".log")
_STORES = frozenset({".pnpm", ".store", ".package-lock.json", ".modules.yaml", ".yarn-integrity", ".yarn-state.yml"})
_MADE_AGAIN_NAMES = frozenset({".DS_Store", "Thumbs.db", ".coverage", ".eslintcache"})


@dataclass(frozen=True)
class CopyPlan:
    """Paths are relative to the top of the working tree.

    `copied` are files and links, `folders` are made even if nothing lies in them. `editable` are the files that may be
    part of a patch: those below the folder that is worked on which git does not ignore. `borrowed`: path to the place
    where the files really are.
    """

    copied: tuple[str, ...]
    editable: frozenset[str]
    folders: tuple[str, ...] = ()
    borrowed: dict[str, Path] = field(default_factory=dict)


def copy_plan(top: Path, prefix: str) -> CopyPlan:
    """For the working tree `top`, of which the folder `prefix` ("" for all) is worked on."""
    found = listing(top)
    editable = frozenset(path for path in found.files if not prefix or path.startswith(f"{prefix}/"))
    copied: dict[str, None] = dict.fromkeys(found.files)
    folders: dict[str, None] = {}
    borrowed: dict[str, Path] = {}
    beside = _large_neighbours(found, prefix)
    for path in _needed(top, found):
        name = path.rstrip("/")
        real = top / name
        if any(parent.as_posix() in beside for parent in (PurePosixPath(name), *PurePosixPath(name).parents)):
            continue
        if path.endswith("/") and not real.is_symlink():
            inside = None if is_environment(real) else _small(real)
            if inside is None:
                borrowed[name] = real
            else:
                folders |= dict.fromkeys([name, *(f"{name}/{one}" for one in inside[1])])
                copied |= dict.fromkeys(f"{name}/{one}" for one in inside[0])
        elif (installed := _linked_installation(real)) is not None:
            borrowed[name] = installed
        elif not name.endswith(_MADE_AGAIN) and PurePosixPath(name).name not in _MADE_AGAIN_NAMES:
            copied[name] = None
    if found.under_git:
        for name in empty_folders(top, found.nested):
            folders |= dict.fromkeys(_folders_below(top, name))
    for path in list(copied):
        if _is_in(path, beside):
            del copied[path]
        elif _size(top / path) > LARGE_FILE:
            borrowed[path] = top / path
            del copied[path]
    borrowed |= {name: top / name for name in beside}
    kept = {name: real for name, real in borrowed.items() if not _is_in(name, borrowed.keys() - {name})}
    folders = {name: None for name in folders if not _is_in(name, kept.keys())}
    return CopyPlan(tuple(copied), editable - kept.keys(), tuple(folders), kept)


def links_to(real: Path, path: str) -> Iterator[tuple[str, str]]:
    """The symbolic links, by path in the copy, that show what is borrowed at `path` there.

    One is enough, but for installed packages: those that are links themselves (a workspace's own packages, commands)
    have to lead to the copy's files, not to the user's, and what tools write beside the packages (`.cache`) is to go
    into the copy.
    """
    if real.name not in DEPENDENCIES:
        yield path, str(real)
        return
    waiting = [""]
    while waiting:
        here = waiting.pop()
        for entry in os.scandir(f"{real}/{here}"):
            name = f"{here}{entry.name}"
            if entry.is_symlink():
                yield f"{path}/{name}", os.readlink(entry.path)
            elif entry.is_dir(follow_symlinks=False) and (entry.name.startswith("@") or entry.name == ".bin"):
                waiting.append(f"{name}/")
            elif not entry.name.startswith(".") or entry.name in _STORES:
                yield f"{path}/{name}", entry.path


def _needed(top: Path, found: Listing) -> Iterator[str]:
    """What git ignores and installed dependencies, outermost only; folders end in a slash."""
    paths = [f"{name}/" for name in found.dependencies]
    if found.under_git:
        paths += ignored(top, found.nested)
    folders: set[str] = set()
    for path in sorted(paths, key=lambda path: path.rstrip("/")):
        if not _is_in(path.rstrip("/"), folders):
            yield path
            if path.endswith("/"):
                folders.add(path.rstrip("/"))


def _small(folder: Path) -> tuple[list[str], list[str]] | None:
    """The files and folders below a folder; None if they are many or large."""
    files: list[str] = []
    folders: list[str] = []
    room = _SMALL_BYTES
    waiting = [""]
    while waiting:
        here = waiting.pop()
        try:
            entries = list(os.scandir(f"{folder}/{here}"))
        except OSError:
            continue
        for entry in entries:
            path = f"{here}{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in CACHES and entry.name not in REPOSITORIES:
                    if is_environment(Path(entry.path)):
                        return None
                    folders.append(path)
                    waiting.append(f"{path}/")
            elif not path.endswith(_MADE_AGAIN):
                files.append(path)
                room -= entry.stat(follow_symlinks=False).st_size
            if len(files) + len(folders) > _SMALL_FILES or room < 0:
                return None
    return files, folders


def _linked_installation(path: Path) -> Path | None:
    """Where a link leads, if it stands for a folder of installed packages that lies elsewhere."""
    if not path.is_symlink() or not path.is_dir():
        return None
    real = Path(os.path.realpath(path))
    inside = real.is_relative_to(os.path.realpath(path.parent))
    return real if not inside and (real.name in DEPENDENCIES or is_environment(real)) else None


def _large_neighbours(found: Listing, prefix: str) -> frozenset[str]:
    """Folders beside the one that is worked on that hold so many files that copying them would take long."""
    if not prefix:
        return frozenset()
    chain = prefix.split("/")
    counts: Counter[str] = Counter()
    for path in found.files:
        parts = path.split("/")
        shared = next((at for at, part in enumerate(chain) if at >= len(parts) or parts[at] != part), len(chain))
        if shared < len(chain) and shared < len(parts) - 1:
            counts["/".join(parts[: shared + 1])] += 1
    if sum(counts.values()) <= _MOST_BESIDE:
        return frozenset()
    return frozenset(folder for folder, count in counts.items() if count > _LARGE_NEIGHBOUR)


def _folders_below(top: Path, name: str) -> Iterator[str]:
    """A folder without files in the listing, and the folders in it."""
    for folder, inside, _ in os.walk(top / name):
        inside[:] = [one for one in inside if one not in CACHES and one not in REPOSITORIES | DEPENDENCIES]
        yield Path(folder).relative_to(top).as_posix()


def _is_in(path: str, folders: Set[str]) -> bool:
    return bool(folders) and any(path[:at] in folders for at, letter in enumerate(path) if letter == "/")


def _size(path: Path) -> int:
    try:
        status = path.lstat()
    except OSError:
        return 0
    return status.st_size if stat.S_ISREG(status.st_mode) else 0
