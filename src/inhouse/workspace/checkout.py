"""A copy of the user's repository to work in, and the way back. Knows nothing of models or of what is repaired.

The copy holds what the user has now: uncommitted changes, new files, checked-out submodules, and of what git ignores
what a program may need (`copy_plan`). Where only a folder of a working tree is to be worked on, the copy is of the
whole tree, as tests may need what lies beside the folder; paths and patches are relative to the folder.

Nothing is ever written into the user's `.git`, no worktree is registered there, and if we are killed, all that stays
behind is a directory in /tmp, which the next copy that anyone makes removes. Without git, folders are copied as they
are. What goes back is only what was put into a `Patch`; whatever the tests did in the copy stays there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from inhouse.errors import WorkspaceError
from inhouse.workspace import files
from inhouse.workspace.copy_plan import copy_plan, links_to
from inhouse.workspace.git import toplevel
from inhouse.workspace.history import borrow_history
from inhouse.workspace.listing import listing
from inhouse.workspace.snapshot import Snapshot, remove_tree
from inhouse.workspace.text import TextFile, decode, new_file, unified_diff

Patch = Mapping[str, str]  # path -> the whole new text

_PREFIX = "inhouse-work-"
_OWNER = "owner"  # the lock's name
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_SHOWN = 3  # paths in a remark
_LONGEST_POINTER = 1024  # bytes, as Git LFS has it


class Checkout:
    """The copy. Use as a context manager: it is removed at the end, whatever happens.

    `tree` is the copy of the whole working tree, `top` the original of it; `root` and `repository` are the folder in
    them that is worked on, `prefix` its path in the tree ("" for the tree itself). `paths` are the files that a patch
    may hold, relative to `root`.
    """

    def __init__(self, repository: Path) -> None:
        self.repository = repository.resolve()
        if not self.repository.is_dir():
            raise WorkspaceError(f"{repository}: no such directory; name the repository with --repo")
        self.top, self.under_git = _top(self.repository)
        relative = self.repository.relative_to(self.top).as_posix()
        self.prefix = "" if relative == "." else relative
        _sweep()
        self._holder, self._owner = _claimed_folder()
        self.tree = self._holder / "work"
        self.root = self.tree / self.prefix
        self.borrowed_objects: tuple[Path, ...] = ()  # the user's, which git inside the copy reads
        self.borrowed: Mapping[str, Path] = {}  # path in the tree to the folder or file of the user's that is there
        self.left_out: tuple[str, ...] = ()  # what could not be read, relative to the tree
        self.lfs_pointers: tuple[str, ...] = ()  # files of which only a Git LFS pointer is there, relative to the tree
        self.tree.mkdir()
        self._snapshot = Snapshot(self.tree, self._holder / "pristine")
        try:
            self.paths = self._fill()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Checkout:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._snapshot.close()
        with contextlib.suppress(OSError):
            remove_tree(self._holder)
        self._owner.close()

    def mounts(self, place: Path) -> dict[Path, Path]:
        """What is borrowed, and where it is to be shown, read-only, when commands see the tree at `place`."""
        return {real: place / path for path, real in self.borrowed.items()}

    def link_borrowed(self) -> None:
        """Reach what is borrowed by symbolic links: for runners that cannot show a folder at another place.

        Nothing in the copy keeps commands from writing through them; the runner must.
        """
        for path, real in self.borrowed.items():
            for name, target in links_to(real, path):
                if name == path:
                    self._snapshot.remove(name)
                self._snapshot.add_link(name, target)

    def remarks(self) -> str:
        """What in the copy is not as a test would expect it, and what to do about it; "" if nothing."""
        said = []
        if self.lfs_pointers:
            said.append(
                f"{_named(self.lfs_pointers)}: only a Git LFS pointer is here; git lfs pull fetches the content"
            )
        if self.left_out:
            said.append(f"{_named(self.left_out)}: not in the copy, for lack of permission to read")
        if large := [path for path, real in self.borrowed.items() if not real.is_dir()]:
            said.append(f"{_named(large)}: too large to be copied; tests may read it, and not change it")
        return "; ".join(said)

    def text(self, path: str) -> str:
        """What the user's file says, whatever the copy holds now. Raises WorkspaceError like `files.read_text`."""
        before = self._original(path)
        if before is None:
            raise WorkspaceError(f"{path}: no such file; name a file of the repository")
        return _decoded(path, before).text

    def put(self, patch: Patch) -> None:
        """Make the copy equal the user's files with `patch` on top; undoes everything else, also what commands did.

        Raises EditError where the encoding of a file cannot hold its new text.
        """
        encoded = {path: _changed(path, self._original(path), text).data for path, text in patch.items()}
        self._snapshot.restore(but=[self._inside(path) for path in patch])
        files.replace_files(self.root, encoded)

    def diff(self, patch: Patch) -> str:
        """The patch as a unified diff that `git apply` understands."""
        return "".join(self._file_diff(path, text) for path, text in sorted(patch.items()))

    def originals(self, patch: Patch) -> dict[str, bytes | None]:
        """What the user's files of a patch hold, as `apply` wants to see them again; None for new files."""
        return {path: self._original(path) for path in patch}

    def _inside(self, path: str) -> str:
        """A path relative to the tree."""
        return f"{self.prefix}/{path}" if self.prefix else path

    def _original(self, path: str) -> bytes | None:
        """The bytes of the user's file when the copy was made; None where there was none."""
        inside = self._inside(path)
        if self._snapshot.is_link(inside):
            raise WorkspaceError(f"{path}: is a symbolic link; edit the file it points to by its own path")
        return self._snapshot.content(inside)

    def _file_diff(self, path: str, text: str) -> str:
        before = self._original(path)
        old = None if before is None else _decoded(path, before)
        return unified_diff(old, _changed(path, before, text))

    def _fill(self) -> frozenset[str]:
        """Copy the user's files. Returns those that a patch may hold."""
        if self.under_git:
            self.borrowed_objects = borrow_history(self.top, self.tree)
        plan = copy_plan(self.top, self.prefix)
        left_out: list[str] = []
        pointers: list[str] = []
        for folder in plan.folders:
            self._snapshot.add_folder(folder)
        for path in plan.copied:
            try:
                data = self._copy(path)
            except OSError:
                if os.path.lexists(self.top / path):  # else it went meanwhile
                    left_out.append(path)
                continue
            if len(data) <= _LONGEST_POINTER and data.startswith(_LFS_POINTER):
                pointers.append(path)
        for path, real in plan.borrowed.items():
            if real.is_dir():
                self._snapshot.add_folder(path)
            else:
                self._snapshot.add_file(path, b"", 0o644, 0)
        self._snapshot.add_folder(self.prefix)
        self.borrowed = plan.borrowed
        self.left_out, self.lfs_pointers = tuple(left_out), tuple(pointers)
        below = len(self.prefix) + 1 if self.prefix else 0
        return frozenset(path[below:] for path in plan.editable if path in self._snapshot)

    def _copy(self, path: str) -> bytes:
        """Copy a file or a link; whatever else a path may be (a socket, a device) is left out. Returns the content."""
        source = f"{self.top}/{path}"
        status = os.lstat(source)
        if stat.S_ISLNK(status.st_mode):
            self._snapshot.add_link(path, os.readlink(source))
            return b""
        if not stat.S_ISREG(status.st_mode):
            return b""
        with open(os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            data = file.read()
        self._snapshot.add_file(path, data, status.st_mode, status.st_mtime_ns)
        return data


def apply(repository: Path, patch: Patch, originals: Mapping[str, bytes | None]) -> None:
    """Write a patch into the user's repository: all files or none.

    Raises WorkspaceError, and changes nothing, when one of them is no longer as it was (`originals`).
    """
    for path in patch:
        target = files.locate(repository.resolve(), path)
        now = target.read_bytes() if target.exists() else None
        if now != originals[path]:
            raise WorkspaceError(f"{path}: changed since the work began; nothing was applied, run again")
    encoded = {path: _changed(path, originals[path], text).data for path, text in patch.items()}
    files.replace_files(repository.resolve(), encoded)


def _decoded(path: str, data: bytes) -> TextFile:
    """A file as it is worked on: lines of Python are those that its syntax trees and tracebacks count."""
    return decode(path, data, universal=path.endswith((".py", ".pyi")))


def _changed(path: str, before: bytes | None, text: str) -> TextFile:
    """A file with another text; None is a new one. Raises EditError where its encoding cannot hold that."""
    return new_file(path, text) if before is None else _decoded(path, before).edited(text)


def _named(paths: Sequence[str]) -> str:
    """The first few of some paths."""
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more


def _claimed_folder() -> tuple[Path, IO[bytes]]:
    """A fresh temporary directory, and a lock in it that holds as long as the file is open and we live."""
    holder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    draft = holder / f"{_OWNER}.new"
    owner = draft.open("wb")
    fcntl.flock(owner, fcntl.LOCK_EX)
    draft.rename(holder / _OWNER)  # seen by others only when it is locked
    return holder, owner


def _sweep() -> None:
    """Remove the copies of processes that were killed: those of ours whose lock nobody holds."""
    for holder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another's, in use, or gone meanwhile
            if holder.is_symlink() or holder.stat().st_uid != os.getuid():
                continue
            with (holder / _OWNER).open("rb") as owner:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_tree(holder)


def _top(repository: Path) -> tuple[Path, bool]:
    """The top of the working tree that a folder is to be copied with, and whether that is under git.

    A folder that an outer repository ignores is a tree of its own; so is one in a repository that a home directory
    itself is, as some keep their settings.
    """
    top = toplevel(repository)
    if top is None or top == repository:
        return repository, top is not None
    outer = Path.home().resolve().is_relative_to(top)
    return (repository, False) if outer or not listing(repository).under_git else (top, True)
