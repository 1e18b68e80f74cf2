"""The copy of a user's repository: what it holds, what it never does, and the way back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inhouse.errors import WorkspaceError
from inhouse.workspace.checkout import Checkout, apply
from needed import git_program

HOLD = """
import sys, tempfile
from pathlib import Path
from inhouse.workspace.checkout import Checkout
tempfile.tempdir = sys.argv[2]
with Checkout(Path(sys.argv[1])):
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def repository(tmp_path: Path, scratch: Path) -> Path:
    root = tmp_path / "repository"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg/a.py").write_text("A = 1\n")
    (root / "b.txt").write_bytes(b"one\r\ntwo\r\n")
    (root / ".gitignore").write_text("*.log\n")
    git(root, "init", "--quiet")
    git(root, "add", ".")
    git(root, "-c", "user.name=t", "-c", "user.email=t", "commit", "--quiet", "-m", "first")
    return root


def git(root: Path, *arguments: str) -> str:
    return subprocess.run([git_program(), *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_it_holds_what_the_user_has_now(repository: Path) -> None:
    (repository / "pkg/a.py").write_text("A = 2\n")
    (repository / "new.py").write_text("NEW = 1\n")
    (repository / "noise.log").write_text("x")
    (repository / "b.txt").unlink()
    with Checkout(repository) as checkout:
        assert checkout.paths == {"pkg/a.py", "new.py", ".gitignore"}
        assert (checkout.root / "pkg/a.py").read_text() == "A = 2\n"
        assert not (checkout.root / "b.txt").exists()
        assert not (checkout.root / "noise.log").exists()


def test_the_users_repository_is_only_read(repository: Path, scratch: Path) -> None:
    before = everything(repository)
    with Checkout(repository) as checkout:
        checkout.put({"pkg/a.py": "A = 3\n", "c.py": "C = 1\n"})
        git(checkout.root, "-c", "user.name=t", "-c", "user.email=t", "commit", "--quiet", "-am", "in the copy")
    assert everything(repository) == before
    assert git(repository, "worktree", "list").count("\n") == 1
    assert list(scratch.iterdir()) == []


def test_a_folder_without_git_works_as_well(tmp_path: Path, scratch: Path) -> None:
    root = tmp_path / "plain"
    (root / "node_modules").mkdir(parents=True)
    (root / "a.py").write_text("A = 1\n")
    (root / "node_modules/x.js").write_text("x")
    with Checkout(root) as checkout:
        assert checkout.paths == {"a.py"}
    assert not (root / ".git").exists()


def test_put_undoes_what_commands_did(repository: Path) -> None:
    with Checkout(repository) as checkout:
        checkout.put({"pkg/a.py": "A = 3\n"})
        (checkout.root / "left.pyc").write_text("x")
        (checkout.root / "b.txt").unlink()
        checkout.put({})
        assert (checkout.root / "pkg/a.py").read_text() == "A = 1\n"
        assert (checkout.root / "b.txt").read_bytes() == b"one\r\ntwo\r\n"
        assert not (checkout.root / "left.pyc").exists()


def test_a_diff_that_git_applies_also_for_new_files(repository: Path, tmp_path: Path) -> None:
    with Checkout(repository) as checkout:
        patch = {"pkg/a.py": "A = 3", "pkg/new.py": "N = 1\n"}
        (tmp_path / "x.patch").write_text(checkout.diff(patch))
    git(repository, "apply", str(tmp_path / "x.patch"))
    assert (repository / "pkg/a.py").read_text() == "A = 3"
    assert (repository / "pkg/new.py").read_text() == "N = 1\n"


def test_apply_keeps_line_ends_and_modes(repository: Path) -> None:
    (repository / "b.txt").chmod(0o755)
    with Checkout(repository) as checkout:
        patch = {"b.txt": "one\nthree\n"}
        originals = checkout.originals(patch)
    apply(repository, patch, originals)
    assert (repository / "b.txt").read_bytes() == b"one\r\nthree\r\n"
    assert (repository / "b.txt").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("change", ["edited", "deleted", "created"])
def test_apply_refuses_whole_when_a_file_changed_meanwhile(repository: Path, change: str) -> None:
    patch = {".gitignore": "*.tmp\n", "pkg/a.py": "A = 3\n", "pkg/new.py": "N = 1\n"}
    with Checkout(repository) as checkout:
        originals = checkout.originals(patch)
    if change == "edited":
        (repository / "pkg/a.py").write_text("A = 9\n")
    elif change == "deleted":
        (repository / "pkg/a.py").unlink()
    else:
        (repository / "pkg/new.py").write_text("mine\n")
    before = everything(repository)
    with pytest.raises(WorkspaceError, match="changed since the work began"):
        apply(repository, patch, originals)
    assert everything(repository) == before


def test_apply_writes_all_files_or_none(repository: Path) -> None:
    patch = {"pkg/a.py": "A = 3\n", "b.txt/impossible": "x\n"}
    before = everything(repository)
    with pytest.raises((WorkspaceError, OSError)):
        apply(repository, patch, {"pkg/a.py": b"A = 1\n", "b.txt/impossible": None})
    assert everything(repository) == before


@pytest.mark.parametrize("path", ["../out.py", "/etc/x", ".git/hooks/pre-commit", "link/x.py"])
def test_apply_never_leaves_the_repository(repository: Path, tmp_path: Path, path: str) -> None:
    (repository / "link").symlink_to(tmp_path)
    with pytest.raises(WorkspaceError):
        apply(repository, {path: "x\n"}, {path: None})
    assert not (tmp_path / "out.py").exists()
    assert not (tmp_path / "x.py").exists()


def test_hooks_and_monitors_of_the_repository_never_run(repository: Path, tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    git(repository, "config", "core.fsmonitor", str(hook))
    for name in ("post-checkout", "post-index-change"):
        (repository / ".git/hooks" / name).symlink_to(hook)
    with Checkout(repository) as checkout:
        checkout.put({})
    assert not (tmp_path / "ran").exists()


def test_a_killed_process_leaves_nothing_for_long(repository: Path, scratch: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(repository), str(scratch)]
    killed, alive = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    for process in (killed, alive):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    assert len(list(scratch.iterdir())) == 2
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    with Checkout(repository):
        assert len(list(scratch.iterdir())) == 2  # ours and that of the living one
    assert len(list(scratch.iterdir())) == 1
    alive.communicate("")
    assert alive.returncode == 0
    assert list(scratch.iterdir()) == []


def test_no_such_directory(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="no such directory"):
        Checkout(tmp_path / "nowhere")
