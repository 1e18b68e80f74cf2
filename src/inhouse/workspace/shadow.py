"""Checkpoints of a workspace in a git directory of our own, outside it: the user's `.git` is never touched.

A checkpoint is a tree of what git would not ignore, byte for byte. Going back changes only the paths that differ
between two checkpoints, and none that was changed since by somebody else. Knows nothing of sessions or models.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace.git import git

_MAX_FILE = 16 << 20  # bytes; larger files that git does not know are left out
_EXCLUDED = (
    "node_modules/",
    "__pycache__/",
    ".venv/",
    "venv/",
    ".tox/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
)


@dataclass(frozen=True)
class Change:
    """What happened to a path between two checkpoints: A(dded), M(odified), D(eleted) or T(ype changed)."""

    status: str
    path: str


class Shadow:
    """The checkpoints of `root`, kept in `folder`. One process at a time."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        if not (folder / "HEAD").is_file():
            folder.mkdir(parents=True, exist_ok=True)
            git(folder, "init", "--quiet", "--bare", ".")
            for name, value in (("core.bare", "false"), ("core.autocrlf", "false"), ("gc.auto", "0")):
                git(folder, "config", name, value)
            info = folder / "info"
            info.mkdir(exist_ok=True)
            (info / "attributes").write_text("* -text -filter -ident -working-tree-encoding\n")
        (folder / "index.lock").unlink(missing_ok=True)  # of a process that was killed

    def checkpoint(self) -> str:
        """Record the workspace as it is. Returns the checkpoint's name."""
        info = self._folder / "info" / "exclude"
        info.write_text("\n".join(_EXCLUDED) + "\n")
        large = [path for path in self._untracked() if self._size(path) > _MAX_FILE]
        if large:
            lines = ("/" + "".join(f"\\{c}" if c in "*?[\\ !#" else c for c in path) for path in large)
            info.write_text("\n".join([*_EXCLUDED, *lines]) + "\n")
        self._git("add", "--all", "--ignore-errors", ".", expected=(1,))  # 1: a file that cannot be read
        return self._git("write-tree").strip()

    def changes(self, before: str, after: str) -> list[Change]:
        """What differs between two checkpoints, by path."""
        fields = self._git("diff-tree", "-r", "-z", "--no-renames", "--name-status", before, after).split("\0")
        return [Change(status, path) for status, path in zip(fields[::2], fields[1::2], strict=False) if status]

    def text(self, checkpoint: str, path: str) -> str:
        """A file's text as a checkpoint has it, what is no UTF-8 replaced; "" where it has no such file."""
        return self._git("cat-file", "blob", f"{checkpoint}:{path}", expected=(128,))

    def diff(self, before: str, after: str, paths: Sequence[str] = ()) -> str:
        """The difference as a unified diff."""
        safe = ("--no-ext-diff", "--no-textconv", "--no-color")
        return self._git("--literal-pathspecs", "diff", *safe, before, after, "--", *paths)

    def go_back(self, before: str, after: str) -> list[Change]:
        """Undo what changed from `before` to `after`, and nothing else. Returns what that was.

        Raises WorkspaceError, and changes nothing, where one of these files is no longer as it was at `after`.
        """
        changed = self.changes(before, after)
        now = self.checkpoint()
        others = {change.path for change in self.changes(after, now)}
        meanwhile = [change.path for change in changed if change.path in others]
        if meanwhile:
            raise WorkspaceError(
                f"{', '.join(meanwhile[:5])}: changed since; nothing was undone, put that aside first (see /diff)"
            )
        back = [change.path for change in changed if change.status != "A"]
        if back:
            pathspecs = ("--pathspec-from-file=-", "--pathspec-file-nul")
            self._git("--literal-pathspecs", "checkout", "--quiet", before, *pathspecs, stdin="\0".join(back))
        for change in changed:
            if change.status == "A":
                self._remove(change.path)
        return changed

    def _remove(self, path: str) -> None:
        """Remove an added file, and the folders that are empty then."""
        file = self._root / path
        if os.path.realpath(file.parent) != str(file.parent):
            raise WorkspaceError(f"{path}: its folder is a link now; nothing more was undone")
        file.unlink(missing_ok=True)
        for folder in file.parents:
            if folder == self._root or any(folder.iterdir()):
                return
            folder.rmdir()

    def _untracked(self) -> list[str]:
        listed = self._git("ls-files", "-z", "--others", "--exclude-standard")
        return [path for path in listed.split("\0") if path]

    def _size(self, path: str) -> int:
        try:
            return (self._root / path).lstat().st_size
        except OSError:
            return 0

    def _git(self, *arguments: str, stdin: str = "", expected: Sequence[int] = ()) -> str:
        variables = {"GIT_DIR": str(self._folder), "GIT_WORK_TREE": str(self._root)}
        return git(self._root, *arguments, stdin=stdin, variables=variables, expected=expected)
