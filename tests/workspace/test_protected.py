"""What a workspace may not come to have, where it has no repository or one behind a link."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from inhouse.workspace import Sandbox

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


def linked(folder: Path) -> Path:
    """A repository beside the workspace, which `folder` of it shows as a link."""
    folder.mkdir(parents=True)
    real = folder.parents[1] / "real"
    real.mkdir()
    (folder / ".git").symlink_to(real)
    return real


def test_git_cannot_be_made(tmp_path: Path) -> None:
    result = Sandbox(tmp_path).run(
        "git init . ; mkdir .git; echo evil > .git/config; ls -A .git; echo > .bashrc", timeout=20
    )
    assert "Read-only file system" in result.output
    assert list(tmp_path.iterdir()) == []


def test_two_commands_at_a_time(tmp_path: Path) -> None:
    """The one that ends first leaves the other protected."""
    sandbox = Sandbox(tmp_path)
    with sandbox.launch("read line; git init -q . ; echo evil > .bashrc; ls -A .git .bashrc") as start:
        process = subprocess.Popen(
            start.argv, env=dict(start.environment), pass_fds=start.pass_fds, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert sandbox.run("true", timeout=20).ok
        assert (tmp_path / ".git").is_dir()
        said, _ = process.communicate("go\n", timeout=20)
    assert "HEAD" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_crash_leaves_no_hole(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from inhouse.workspace import Sandbox\n"
        f"with Sandbox(Path({str(tmp_path)!r})).launch('true'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert (tmp_path / ".git").is_dir()
    Sandbox(tmp_path).run("echo evil > .bashrc", timeout=20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("then", ["git init -q .; ln -s /root/.ssh .ssh; ls", "touch a b c d e f"])
def test_a_linked_git_is_put_back(tmp_path: Path, then: str) -> None:
    root = tmp_path / "inner" / "w"
    real = linked(root)
    output = Sandbox(root).run(f"ls .git/; rm .git; {then}", timeout=20).output
    assert "No such file" in output
    assert os.readlink(root / ".git") == str(real)
    left = [*"abcdef"] if "touch" in then else []  # one of them has the inode of the link that was
    assert sorted(path.name for path in root.iterdir()) == [".git", *left]


def test_a_git_in_place_of_a_link_is_set_aside_though_it_has_its_inode(tmp_path: Path) -> None:
    inner = tmp_path / "w" / "inner"
    linked(inner)
    Sandbox(tmp_path / "w").run("rm inner/.git; echo 'gitdir: ../evil' > inner/.git", timeout=20)
    assert [path.name for path in inner.iterdir()] == [".git.set-aside"]
