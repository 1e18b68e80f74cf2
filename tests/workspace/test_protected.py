"""What a workspace may not come to have, where it has no repository or one behind a link."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kinds import BUBBLEWRAP, LANDLOCK_COPY, LANDLOCK_OWN, Kind

from inhouse.workspace import Sandbox
from inhouse.workspace.confinement.bubblewrap import Bubblewrap
from inhouse.workspace.confinement.mechanisms import best
from needed import git_program


def linked(folder: Path) -> Path:
    """A repository beside the workspace, which `folder` of it shows as a link."""
    folder.mkdir(parents=True)
    real = folder.parents[1] / "real"
    real.mkdir()
    (folder / ".git").symlink_to(real)
    return real


@pytest.mark.parametrize("kind", BUBBLEWRAP)
def test_git_cannot_be_made(kind: Kind, tmp_path: Path) -> None:
    result = kind.sandbox(tmp_path).run(
        "git init . ; mkdir .git; echo evil > .git/config; ls -A .git; echo > .bashrc", timeout=20
    )
    assert "Read-only file system" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", BUBBLEWRAP)
def test_two_commands_at_a_time(kind: Kind, tmp_path: Path) -> None:
    """The one that ends first leaves the other protected."""
    sandbox = kind.sandbox(tmp_path)
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
    if not isinstance(best(), Bubblewrap):
        pytest.skip("bubblewrap does not work here")
    script = (
        "import os, signal, sys; from pathlib import Path; from inhouse.workspace import Sandbox\n"
        f"with Sandbox(Path({str(tmp_path)!r})).launch('true'): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert (tmp_path / ".git").is_dir()
    Sandbox(tmp_path).run("echo evil > .bashrc", timeout=20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("then", ["git init -q .; ln -s /root/.ssh .ssh; ls", "touch a b c d e f"])
@pytest.mark.parametrize("kind", [*BUBBLEWRAP, *LANDLOCK_COPY])
def test_a_linked_git_is_put_back(kind: Kind, tmp_path: Path, then: str) -> None:
    root = tmp_path / "inner" / "w"
    real = linked(root)
    output = kind.sandbox(root).run(f"ls .git/; rm .git; {then}", timeout=20).output
    assert ("Permission denied" if kind.landlock else "No such file") in output
    assert os.readlink(root / ".git") == str(real)
    left = [*"abcdef"] if "touch" in then else []  # one of them has the inode of the link that was
    assert sorted(path.name for path in root.iterdir()) == [".git", *left]


REPLACED = "rm inner/.git; echo 'gitdir: ../evil' > inner/.git"


@pytest.mark.parametrize("kind", BUBBLEWRAP)
def test_a_git_in_place_of_a_link_is_set_aside_though_it_has_its_inode(kind: Kind, tmp_path: Path) -> None:
    inner = tmp_path / "w" / "inner"
    linked(inner)
    kind.sandbox(tmp_path / "w").run(REPLACED, timeout=20)
    assert [path.name for path in inner.iterdir()] == [".git.set-aside"]


@pytest.mark.parametrize("kind", [*LANDLOCK_COPY, *LANDLOCK_OWN])
class TestLandlock:
    def test_a_git_in_place_of_a_link_does_not_stay(self, kind: Kind, tmp_path: Path) -> None:
        inner = tmp_path / "w" / "inner"
        real = linked(inner)
        kind.sandbox(tmp_path / "w").run(REPLACED, timeout=20)
        assert [path.name for path in inner.iterdir()] == [".git"]
        assert os.readlink(inner / ".git") == str(real)

    def test_what_is_made_does_not_stay(self, kind: Kind, tmp_path: Path) -> None:
        sandbox = kind.sandbox(tmp_path)
        sandbox.run("git init . ; mkdir .git; echo evil > .git/config; echo > .bashrc; ln -s x .vscode", timeout=20)
        assert list(tmp_path.iterdir()) == []

    def test_the_last_of_two_commands_puts_back(self, kind: Kind, tmp_path: Path) -> None:
        subprocess.run([git_program(), "init", "-q", str(tmp_path)], check=True)
        before = sorted(path.name for path in (tmp_path / ".git").iterdir())
        sandbox = kind.sandbox(tmp_path)
        with sandbox.launch("read line; rm -rf .git; mkdir .git; echo evil > .git/config; touch .envrc") as start:
            process = subprocess.Popen(
                start.argv, env=dict(start.environment), pass_fds=start.pass_fds, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            assert sandbox.run("true", timeout=20).ok
            process.communicate("go\n", timeout=20)
        assert sorted(path.name for path in (tmp_path / ".git").iterdir()) == before
        assert [path.name for path in tmp_path.iterdir()] == [".git"]

    def test_a_crash_loses_nothing(self, kind: Kind, tmp_path: Path) -> None:
        subprocess.run([git_program(), "init", "-q", str(tmp_path)], check=True)
        before = sorted(path.name for path in (tmp_path / ".git").iterdir())
        script = (
            "import os, signal; from pathlib import Path; from inhouse.workspace import Sandbox\n"
            "from inhouse.workspace.confinement.landlock import Landlock\n"
            f"box = Sandbox(Path({str(tmp_path)!r}), mechanism=Landlock(), disposable={kind.disposable})\n"
            "with box.launch('true'): os.kill(os.getpid(), signal.SIGKILL)"
        )
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
        kind.sandbox(tmp_path).run("rm -rf .git; touch .bashrc", timeout=20)
        assert sorted(path.name for path in (tmp_path / ".git").iterdir()) == before
        assert [path.name for path in tmp_path.iterdir()] == [".git"]
