"""Calls of the user's git, made so that a repository cannot make them run anything. Knows nothing of tests or edits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace.lines import lines_of
from inhouse.workspace.processes import started

_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")
# A partial clone fetches missing objects whenever something looks at them. Git before 2.44 does not know the first
# variable; the second one leaves it no protocol to fetch by.
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": ""}


def git(
    directory: Path,
    *arguments: str,
    stdin: str = "",
    variables: Mapping[str, str] | None = None,
    expected: Sequence[int] = (),
) -> str:
    """The output of a git command. Raises WorkspaceError with what git says when it fails.

    Exit codes other than 0 that mean no failure are `expected`.

    Hooks and file-system monitors are off, and nothing is fetched from anywhere unless `variables` allow it. Variables
    such as GIT_DIR are not inherited: they would point git at another repository when we are started from a hook.
    """
    if not is_installed():
        raise WorkspaceError("git is not installed; install it (Debian, Ubuntu: apt install git)")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    fixed = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **_NO_FETCH}
    with started(
        ["git", *_SAFE, *arguments],
        cwd=directory,
        env={**environment, **fixed, **(variables or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, errors = process.communicate(stdin.encode("utf-8", errors="surrogateescape"))
    if process.returncode and process.returncode not in expected:
        said = errors.decode("utf-8", errors="replace").strip()
        verb = next((word for word in arguments if not word.startswith("-")), "")
        raise WorkspaceError(_explained(directory, verb, said or f"exit code {process.returncode}"))
    return out.decode("utf-8", errors="surrogateescape")


def is_installed() -> bool:
    """Whether there is a git to call."""
    return shutil.which("git") is not None


def toplevel(directory: Path) -> Path | None:
    """The top of the git working tree that a directory lies in; None outside of any, and where git is not installed.

    Raises WorkspaceError for a repository that has no working tree, or that git does not trust.
    """
    if not is_installed():
        return None
    try:
        return Path(git(directory, "rev-parse", "--show-toplevel").removesuffix("\n")).resolve()
    except WorkspaceError as error:
        if "not a git repository" in str(error):
            return None
        raise


def object_folders(directory: Path) -> tuple[Path, ...]:
    """Where git keeps the objects of a repository: its own folder, and those that it borrows from."""
    first = Path(git(directory, "rev-parse", "--path-format=absolute", "--git-path", "objects").removesuffix("\n"))
    found: dict[Path, None] = {}
    waiting = [first.resolve()]
    while waiting and len(found) < 32:
        objects = waiting.pop()
        if objects in found or not objects.is_dir():
            continue
        found[objects] = None
        alternates = objects / "info" / "alternates"
        if alternates.is_file():
            lines = lines_of(alternates.read_text("utf-8", errors="surrogateescape"))
            waiting += [(objects / line).resolve() for line in lines if line and not line.startswith("#")]
    return tuple(found)


def outside_folders(root: Path) -> tuple[Path, ...]:
    """Git directories that the working tree `root` needs and that lie outside of it.

    A linked working tree's and a submodule's `.git` is a file that names one. Only a directory that names `root` in its
    turn counts: what a file says alone would show any repository of the user's to whoever may write that file.
    """
    pointer = root / ".git"
    if pointer.is_symlink() or not pointer.is_file():
        return ()
    text = pointer.read_text("utf-8", errors="surrogateescape")
    if not text.startswith("gitdir: "):
        return ()
    folder = Path(os.path.realpath(root / text.removeprefix("gitdir: ").rstrip("\n")))
    if not _names(folder, root):
        return ()
    common = folder.parent.parent if folder.parent.name == "worktrees" else folder
    return (common,) if (common / "HEAD").is_file() and not common.is_relative_to(root) else ()


def _names(folder: Path, root: Path) -> bool:
    """Whether a git directory says that `root` is its working tree."""
    back = folder / "gitdir"
    try:
        if folder.parent.name == "worktrees" and back.is_file():
            named = back.read_text("utf-8", errors="surrogateescape").rstrip("\n")
            return os.path.realpath(folder / named) == os.path.realpath(root / ".git")
        if not (folder / "config").is_file():
            return False
        tree = git(root, "config", "--file", str(folder / "config"), "--get", "core.worktree", expected=(1,))
    except (OSError, WorkspaceError):
        return False
    return bool(tree) and os.path.realpath(folder / tree.removesuffix("\n")) == os.path.realpath(root)


def _explained(directory: Path, verb: str, said: str) -> str:
    """What git says, or for what has a usual remedy: what it means."""
    if "dubious ownership" in said:
        return (
            f"{directory}: the repository belongs to another user, so git does not trust it; if you do, say so with: "
            f"git config --global --add safe.directory '{directory}'"
        )
    if "must be run in a work tree" in said:
        return (
            f"{directory}: a git directory without files to work on (a bare repository); clone it, and name the clone: "
            f"git clone '{directory}' FOLDER"
        )
    return f"{directory}: git {verb} failed: {said}"
