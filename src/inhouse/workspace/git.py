"""Calls of the user's git, made so that a repository cannot make them run anything. Knows nothing of tests or edits."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace.processes import started

_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "core.quotePath=false")


def git(
    directory: Path,
    *arguments: str,
    stdin: str = "",
    variables: Mapping[str, str] | None = None,
    expected: Sequence[int] = (),
) -> str:
    """The output of a git command. Raises WorkspaceError with what git says when it fails.

    Exit codes other than 0 that mean no failure are `expected`.

    Hooks and file-system monitors are off. Variables such as GIT_DIR are not inherited: they would point git at another
    repository when we are started from a hook.
    """
    if shutil.which("git") is None:
        raise WorkspaceError("git is not installed; install it (Debian, Ubuntu: apt install git)")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    with started(
        ["git", *_SAFE, *arguments],
        cwd=directory,
        env={**environment, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **(variables or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        out, errors = process.communicate(stdin.encode("utf-8", errors="surrogateescape"))
    if process.returncode and process.returncode not in expected:
        said = errors.decode("utf-8", errors="replace").strip()
        raise WorkspaceError(f"{directory}: git {arguments[0]} failed: {said or process.returncode}")
    return out.decode("utf-8", errors="surrogateescape")


def toplevel(directory: Path) -> Path | None:
    """The top of the git working tree that a directory lies in; None outside of any."""
    try:
        return Path(git(directory, "rev-parse", "--show-toplevel").rstrip("\n")).resolve()
    except WorkspaceError as error:
        if "not a git repository" in str(error):
            return None
        raise


def listed(directory: Path, *options: str) -> list[str]:
    """Paths that `git ls-files` lists, relative to `directory`."""
    return [path for path in git(directory, "ls-files", "-z", *options).split("\0") if path]
