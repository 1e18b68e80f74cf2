"""A tree of files as it was when it was taken, and how to make a folder equal it again. Knows neither git nor tests.

The contents lie one behind the other in a single file outside of the tree. `restore` walks the folder and writes what
is not as it was left: it costs one lstat a file, and the bytes of what changed.

What changed is told by the inode and its time of status change, which every change of content, mode or times sets, and
no program can. As the clock of a file system is coarse, a file that was written within one tick of being looked at
could change unseen: such files are compared byte by byte the next time (git calls entries of this kind racily clean).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inhouse.errors import WorkspaceError

_TICK_NS = 20_000_000  # of the coarsest usual clock, twice

_Stamp = tuple[int, int]  # inode, time of status change

BUILT = ".inhouse-build"  # a folder in which compilers keep what serves the next run too; it stays


@dataclass(frozen=True)
class _File:
    offset: int  # of the content in the pack
    size: int
    mode: int
    mtime_ns: int


class Snapshot:
    """Of the tree `root`, which it fills; `pack` is the file that keeps the contents. Close it at the end.

    Paths are relative to `root`. A `.git` at the top is nobody's business here: it is neither looked at nor removed.
    """

    def __init__(self, root: Path, pack: Path) -> None:
        self._root = root
        self._pack = os.open(pack, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._end = 0
        self._files: dict[str, _File] = {}
        self._links: dict[str, str] = {}
        self._folders: set[str] = {""}
        self._modes: dict[str, int] = {"": stat.S_IMODE(root.lstat().st_mode)}
        self._stamps: dict[str, _Stamp] = {}  # of files and links that are known to be as they were
        self._racy: set[str] = set()

    def close(self) -> None:
        if self._pack >= 0:
            os.close(self._pack)
        self._pack = -1

    def __contains__(self, path: str) -> bool:
        return path in self._files or path in self._links

    def add_file(self, path: str, data: bytes, mode: int, mtime_ns: int) -> None:
        """A file, written into the tree at once."""
        os.pwrite(self._pack, data, self._end)
        self._files[path] = _File(self._end, len(data), mode & 0o777, mtime_ns)
        self._end += len(data)
        self._add_folders(path)
        self._write(path, data)

    def add_link(self, path: str, target: str) -> None:
        """A symbolic link."""
        self._links[path] = target
        self._add_folders(path)
        self._link(path)

    def add_folder(self, path: str) -> None:
        """A folder that is there whether it holds something or not."""
        self._add_folders(f"{path}/")

    def remove(self, path: str) -> None:
        """Take out a file or an empty folder, so that something else may take its place."""
        self._files.pop(path, None)
        self._folders.discard(path)
        self._forget(path)
        remove_tree(self._root / path)

    def is_link(self, path: str) -> bool:
        return path in self._links

    def content(self, path: str) -> bytes | None:
        """The bytes of a file; None where there was none."""
        file = self._files.get(path)
        return None if file is None else os.pread(self._pack, file.size, file.offset)

    def restore(self, but: Iterable[str] = ()) -> None:
        """Make the tree what it was. Files of `but` are about to be written by somebody else: they count as changed
        the next time."""
        present = self._kept()
        for folder in sorted(self._folders - present):
            self._make_folder(folder)
        for path in sorted(self._files.keys() - present):
            self._write(path, self.content(path) or b"")
        for path in sorted(self._links.keys() - present):
            self._link(path)
        for path in but:
            self._forget(path)

    def _kept(self) -> set[str]:
        """The paths that are as they were; everything else is removed."""
        kept: set[str] = set()
        stamps, racy = self._stamps, self._racy
        waiting = [""]
        while waiting:  # the innermost lines run once a file, dozens of times a minute
            here = waiting.pop()
            kept.add(here[:-1])
            with self._opened(here) as entries:
                for entry in entries:
                    path = here + entry.name
                    known = stamps.get(path)
                    if known is not None and path not in racy and known == _stamp(entry.stat(follow_symlinks=False)):
                        kept.add(path)
                    elif path in self._folders and entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{path}/")
                    elif self._is_same(path):
                        kept.add(path)
                    elif path != ".git" and entry.name != BUILT:
                        self._forget(path)
                        remove_tree(self._root / path)
        return kept

    def _opened(self, here: str) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        """The entries of a folder, whose mode a command may have changed."""
        folder, mode = f"{self._root}/{here}", self._modes.get(here[:-1], 0o755)
        if stat.S_IMODE(os.lstat(folder).st_mode) != mode:
            os.chmod(folder, mode)
        return os.scandir(folder)

    def _is_same(self, path: str) -> bool:
        """Whether a file or link that may have changed within one tick has not."""
        if path not in self._racy:
            return False
        self._racy.discard(path)
        file, place = self._files.get(path), f"{self._root}/{path}"
        status = os.lstat(place)
        if self._stamps.get(path) != _stamp(status):
            return False
        if file is None:
            return os.readlink(place) == self._links.get(path)
        if Path(place).read_bytes() != self.content(path):
            return False
        self._note(path, status)
        return True

    def _write(self, path: str, data: bytes) -> None:
        """Write one of the files anew; there is nothing in its place."""
        file = self._files[path]
        target = f"{self._root}/{path}"
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            written = os.write(descriptor, data)
            while written < len(data):
                written += os.write(descriptor, data[written:])
            os.fchmod(descriptor, file.mode)
            os.utime(descriptor, ns=(file.mtime_ns, file.mtime_ns))
            status = os.fstat(descriptor)
        except OSError as error:
            raise WorkspaceError(
                f"{target}: {error.strerror}; make room there, or set TMPDIR to another disk"
            ) from error
        finally:
            os.close(descriptor)
        self._note(path, status)

    def _link(self, path: str) -> None:
        place = f"{self._root}/{path}"
        os.symlink(self._links[path], place)
        self._note(path, os.lstat(place))

    def _note(self, path: str, status: os.stat_result) -> None:
        self._stamps[path] = _stamp(status)
        if status.st_ctime_ns > time.time_ns() - _TICK_NS:
            self._racy.add(path)

    def _forget(self, path: str) -> None:
        self._stamps.pop(path, None)
        self._racy.discard(path)

    def _add_folders(self, path: str) -> None:
        """Make the folders that a path lies in."""
        folder = path.rpartition("/")[0]
        if folder in self._folders:
            return
        self._add_folders(folder)
        self._make_folder(folder)
        self._folders.add(folder)

    def _make_folder(self, folder: str) -> None:
        place = f"{self._root}/{folder}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(place)
        self._modes[folder] = stat.S_IMODE(os.lstat(place).st_mode)


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_ctime_ns


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a whole folder, whatever the modes are."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return

    def again(function: Callable[..., Any], name: str, _: object) -> None:
        for place in (os.path.dirname(name), name):
            if not os.path.islink(place):
                os.chmod(place, 0o700)
        if function is os.unlink or function is os.rmdir:
            function(name)
        else:  # the folder could not be read
            shutil.rmtree(name)

    shutil.rmtree(path, onerror=again)
