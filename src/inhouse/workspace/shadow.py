"""Checkpoints of a workspace in a git directory of our own, outside it: the user's `.git` is never touched.

A checkpoint is a tree of the files that git does not ignore, byte for byte, those of submodules and of other
repositories inside among them; and of the ignored files that were to be covered, because somebody edits them. Going
back changes only the paths that differ between two checkpoints, and none that was changed since by somebody else.
Knows nothing of sessions or models.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace.git import git
from inhouse.workspace.listing import listing

_MAX_FILE = 16 << 20  # bytes; larger files that are new to us are left out


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
            (folder / "info").mkdir(exist_ok=True)
            (folder / "info" / "attributes").write_text("* -text -filter -ident -working-tree-encoding\n")
        (folder / "index.lock").unlink(missing_ok=True)  # of a process that was killed
        self._awaited: set[str] = set()  # covered, and not there yet

    def checkpoint(self) -> str:
        """Record the workspace as it is. Returns the checkpoint's name."""
        known = set(self._fields("ls-files", "-z"))
        listed = set(self._listed())
        # What is known stays so while it is there: git may ignore it now, or have ignored it ever since it was covered.
        rest = {path for path in (known | self._awaited) - listed if self._status(path) is not None}
        new = [path for path in listed - known if (status := self._status(path)) and status.st_size <= _MAX_FILE]
        present = [*(known & listed), *new, *rest]
        if gone := known - listed - rest:
            self._git("update-index", "-z", "--force-remove", "--stdin", stdin="\0".join(sorted(gone)))
        self._awaited -= rest
        self._add(sorted(present))
        return self._git("write-tree").strip()

    def cover(self, paths: Sequence[str], checkpoints: Sequence[str]) -> list[str]:
        """Have these files in all checkpoints from now on, also where git ignores them; they are about to be edited.

        Returns the given checkpoints with what the files hold now, as if they had been in them all the time.
        """
        known = set(self._fields("--literal-pathspecs", "ls-files", "-z", "--", *paths)) if paths else set()
        new = [path for path in paths if path not in known]
        there = [path for path in new if (status := self._status(path)) and stat.S_ISREG(status.st_mode)]
        self._awaited.update(path for path in new if path not in there)
        if not there:
            return list(checkpoints)
        self._add(there)
        entries = self._git("--literal-pathspecs", "ls-files", "-z", "--stage", "--", *there)
        amended = {"GIT_INDEX_FILE": str(self._folder / "amended")}
        trees = []
        for checkpoint in checkpoints:
            self._git("read-tree", checkpoint, variables=amended)
            self._git("update-index", "-z", "--index-info", stdin=entries, variables=amended)
            trees.append(self._git("write-tree", variables=amended).strip())
        (self._folder / "amended").unlink(missing_ok=True)
        return trees

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

    def _add(self, paths: Sequence[str]) -> None:
        """Take these files into the index; those that are as they were cost a look at their times."""
        options = ("update-index", "-z", "--add", "--replace", "--remove", "--stdin")
        try:
            self._git(*options, stdin="\0".join(paths))
        except WorkspaceError:  # one that cannot be read, or is neither file nor link: the others all the same
            sound = [path for path in paths if self._is_addable(path)]
            self._git(*options, stdin="\0".join(sound))

    def _listed(self) -> list[str]:
        found = listing(self._root)
        if found.under_git or not found.files:
            return list(found.files)
        # Where no repository says what is ignored, .gitignore files do all the same.
        stdin = "\0".join(found.files)
        ignored = self._git("check-ignore", "-z", "--no-index", "--stdin", stdin=stdin, expected=(1,)).split("\0")
        return list(set(found.files).difference(ignored))

    def _is_addable(self, path: str) -> bool:
        status = self._status(path)
        if status is None or not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            return False
        return stat.S_ISLNK(status.st_mode) or os.access(self._root / path, os.R_OK)

    def _status(self, path: str) -> os.stat_result | None:
        """What is at a path; None where nothing is, or a folder."""
        try:
            status = os.lstat(f"{self._root}/{path}")
        except OSError:
            return None
        return None if stat.S_ISDIR(status.st_mode) else status

    def _fields(self, *arguments: str) -> list[str]:
        return [field for field in self._git(*arguments).split("\0") if field]

    def _git(
        self,
        *arguments: str,
        stdin: str = "",
        variables: Mapping[str, str] | None = None,
        expected: Sequence[int] = (),
    ) -> str:
        own = {"GIT_DIR": str(self._folder), "GIT_WORK_TREE": str(self._root)}
        return git(self._root, *arguments, stdin=stdin, variables={**own, **(variables or {})}, expected=expected)
