"""A copy of the user's repository to work in, and the way back. Knows nothing of models or of what is repaired.

The copy holds what the user has now, uncommitted changes and new files included, in a throw-away clone that borrows
the objects of theirs (`git clone --shared`): nothing is ever written into the user's `.git`, no worktree is registered
there, and if we are killed, all that stays behind is a directory in /tmp, which the next copy that anyone makes
removes. Other directories are copied into a fresh repository.

What goes back is only what was put into a `Patch`; whatever the tests did in the copy stays there.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

from inhouse.errors import WorkspaceError
from inhouse.workspace import files
from inhouse.workspace.git import git, listed, toplevel
from inhouse.workspace.lines import lines_of
from inhouse.workspace.text import TextFile, decode, new_file, unified_diff

Patch = Mapping[str, str]  # path -> the whole new text

_PREFIX = "inhouse-work-"
_OWNER = "owner"  # the lock's name
_SKIPPED_DIRECTORIES = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".tox", ".nox", ".idea"}
)
_IMPORTED_SUFFIXES = (".so", ".pyd", ".py", ".egg-link")  # ignored by git, yet needed to import what was built in place


class Checkout:
    """The copy. Use as a context manager: it is removed at the end, whatever happens."""

    def __init__(self, repository: Path) -> None:
        self.repository = repository.resolve()
        if not self.repository.is_dir():
            raise WorkspaceError(f"{repository}: no such directory; name the repository with --repo")
        _sweep()
        self._holder, self._owner = _claimed_folder()
        self.root = self._holder / "work"
        self._before: dict[str, bytes | None] = {}
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
        shutil.rmtree(self._holder, ignore_errors=True)
        self._owner.close()

    @property
    def borrowed_objects(self) -> tuple[Path, ...]:
        """Directories of the user's repository that git inside the copy reads."""
        alternates = self.root / ".git" / "objects" / "info" / "alternates"
        if not alternates.is_file():
            return ()
        return tuple(
            Path(line) for line in lines_of(alternates.read_text("utf-8", "surrogateescape")) if line.startswith("/")
        )

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
        git(self.root, "checkout-index", "--force", "--all", "--quiet")
        git(self.root, "clean", "-ffdxq")
        files.replace_files(self.root, encoded)

    def diff(self, patch: Patch) -> str:
        """The patch as a unified diff that `git apply` understands."""
        return "".join(self._file_diff(path, text) for path, text in sorted(patch.items()))

    def originals(self, patch: Patch) -> dict[str, bytes | None]:
        """What the user's files of a patch hold, as `apply` wants to see them again; None for new files."""
        return {path: self._original(path) for path in patch}

    def _original(self, path: str) -> bytes | None:
        """The bytes of the user's file when the copy was made."""
        if path not in self._before:
            if path in self.paths:
                git(self.root, "checkout-index", "--force", "--", path)  # a command may have changed it meanwhile
                self._before[path] = files.read_bytes(self.root, path)
            else:
                self._before[path] = None
        return self._before[path]

    def _file_diff(self, path: str, text: str) -> str:
        before = self._original(path)
        old = None if before is None else _decoded(path, before)
        return unified_diff(old, _changed(path, before, text))

    def _fill(self) -> frozenset[str]:
        """Copy the user's files and remember them in the index of the copy. Returns their paths."""
        top = toplevel(self.repository)
        if top == self.repository:
            git(self._holder, "clone", "--quiet", "--shared", "--no-checkout", str(self.repository), str(self.root))
        else:
            self.root.mkdir()
            git(self.root, "init", "--quiet")
        paths = self._user_paths(in_git=top is not None)
        for path in paths:
            source, target = self.repository / path, self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
        for name, value in (("core.autocrlf", "false"), ("gc.auto", "0"), ("user.name", "-"), ("user.email", "-")):
            git(self.root, "config", name, value)
        # Bytes go in and come out as they are, whatever the repository's attributes say of line ends and filters.
        attributes = self.root / ".git" / "info" / "attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text("* -text -filter -ident -working-tree-encoding\n")
        git(self.root, "add", "--all", "--force")
        return frozenset(paths)

    def _user_paths(self, *, in_git: bool) -> list[str]:
        if in_git:
            kept = listed(self.repository, "--cached", "--others", "--exclude-standard", "--deduplicate")
            ignored = listed(self.repository, "--others", "--ignored", "--exclude-standard")
            kept += [path for path in ignored if path.endswith(_IMPORTED_SUFFIXES) and not _in_environment(path)]
            candidates = [path for path in kept if not _SKIPPED_DIRECTORIES.intersection(Path(path).parts)]
        else:
            candidates = []
            for folder, directories, names in os.walk(self.repository):
                here = Path(folder)
                directories[:] = [
                    name
                    for name in directories
                    if name not in _SKIPPED_DIRECTORIES and not is_environment(here / name) and name != "node_modules"
                ]
                candidates += [(here / name).relative_to(self.repository).as_posix() for name in names]
        present = (path for path in dict.fromkeys(candidates) if os.path.lexists(self.repository / path))
        return [path for path in present if (self.repository / path).is_symlink() or (self.repository / path).is_file()]


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
                shutil.rmtree(holder, ignore_errors=True)


def is_environment(directory: Path) -> bool:
    """Whether a directory is a Python virtual environment."""
    return (directory / "pyvenv.cfg").is_file()


def _in_environment(path: str) -> bool:
    return any(part in ("site-packages", "node_modules", "dist-packages") for part in Path(path).parts)
