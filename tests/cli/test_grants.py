"""Folders that the user lets commands use: for one run, or remembered for a project."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import Inhouse, Terminal

from inhouse.cli import grants
from inhouse.errors import ParameterError
from inhouse.workspace.toolchains import UserEnvironment
from inhouse.workspace.toolchains.grants import checked
from needed import git_program
from scripted_server import Server

needs_bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    (root / "app.py").write_text("x = 1\n")
    subprocess.run([git_program(), "init", "-q"], cwd=root, check=True)
    return root


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / ".ssh").mkdir(parents=True)
    (folder / ".ssh" / "key").write_text("secret")
    (folder / "numbers").write_text("42\n")
    return folder


def said(inhouse: Inhouse, repo: Path, command: str, *more: object) -> str:
    """What a command of the agent's prints."""
    server = Server(("bash", {"command": command}), "Done.", "Done.")
    done = inhouse("agent", "--repo", repo, "--url", server.url, "--json", "Look.", *more)
    server.close()
    (called,) = (event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == "called")
    return str(called["text"])


@needs_bubblewrap
def test_a_folder_for_one_run(inhouse: Inhouse, repo: Path, data: Path) -> None:
    look = f"cat {data}/numbers {data}/.ssh/key; echo more >> {data}/numbers"
    assert "42" not in said(inhouse, repo, look)
    shown = said(inhouse, repo, look, "--allow-read", data)
    assert "42" in shown
    assert "secret" not in shown
    assert (data / "numbers").read_text() == "42\n"
    assert "42" not in said(inhouse, repo, look)  # nobody was there to say that it is to be remembered


@needs_bubblewrap
def test_a_folder_to_write_is_protected_as_the_workspace_is(inhouse: Inhouse, repo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "output"
    folder.mkdir()
    said(inhouse, repo, f"cd {folder}; echo x > file; git init -q .; echo evil > .bashrc", "--allow-write", folder)
    assert (folder / "file").read_text() == "x\n"
    assert not (folder / ".git" / "config").exists()
    assert not (folder / ".bashrc").is_file()


@needs_bubblewrap
def test_it_is_asked_for_once_and_remembered(
    inhouse: Inhouse, environment: dict[str, str], repo: Path, data: Path
) -> None:
    server = Server(("bash", {"command": f"cat {data}/numbers"}), "Done.", "Done.")
    asked = ("agent", "--repo", str(repo), "--url", server.url, "--allow-read", str(data))
    end = Terminal(environment, *asked)
    end.wait_for(r"may read .*data")
    end.wait_for(r"remember for this project\? \[y/N\]")
    end.type("y\n")
    end.wait_for(r"/help for help")
    end.type("/exit\n")
    end.process.wait(timeout=60)
    server.close()
    assert "42" in said(inhouse, repo, f"cat {data}/numbers")
    (file,) = Path(environment["INHOUSE_HOME"], "projects").iterdir()
    assert json.loads(file.read_text())["allow_read"] == [str(data)]
    assert json.loads(inhouse("doctor", "--json").stdout)["allowed"] == [
        {"project": "~/repo", "read": ["~/data"], "write": []}
    ]
    assert "~/data" in inhouse("doctor").stdout


def test_what_is_remembered_is_listed_by_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INHOUSE_HOME", str(tmp_path / "inhouse"))
    grants._remember(tmp_path / "repo", grants.Grants((tmp_path / "data",), (tmp_path / "out",)))
    wanted = grants.Grants((tmp_path / "data",), (tmp_path / "out",))
    assert list(grants.all_remembered()) == [(tmp_path / "repo", wanted)]
    assert grants.remembered(tmp_path / "repo") == wanted
    (file,) = (tmp_path / "inhouse" / "projects").iterdir()
    file.write_text("{")
    with pytest.raises(ParameterError, match="remove it"):
        grants.remembered(tmp_path / "repo")
    assert list(grants.all_remembered()) == []


@pytest.mark.parametrize(
    ("name", "writing", "reason"),
    [
        ("/", False, "whole machine"),
        ("/etc/ssl", False, "whole machine"),
        ("home", False, "home directory"),
        (".", False, "home directory"),
        ("home/.ssh", False, "credentials"),
        ("home/.config/gh", False, "credentials"),
        ("home/.config", False, "many programs"),
        ("home/link", False, "credentials"),
        ("home/kept/sessions", False, "what Inhouse keeps"),
        ("home/nowhere", False, "no such folder"),
        ("/usr/share", True, "part of the system"),
        ("home/bin", True, "programs are run from"),
        ("home/tools", True, "programs are run from"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, writing: bool, reason: str) -> None:
    home = tmp_path / "home"
    for folder in (".ssh", ".config/gh", "kept/sessions", "bin", "tools/bin"):
        (home / folder).mkdir(parents=True)
    (home / "link").symlink_to(home / ".ssh")
    user = UserEnvironment(home, (home / "bin", home / "tools" / "bin"))
    with pytest.raises(ParameterError, match=reason):
        checked(tmp_path / name, user, [home / "kept"], writing=writing)


def test_what_is_taken(tmp_path: Path) -> None:
    (tmp_path / "home" / "data").mkdir(parents=True)
    (tmp_path / "home" / "link").symlink_to(tmp_path / "home" / "data")
    user = UserEnvironment(tmp_path / "home")
    for writing in (False, True):
        taken = checked(tmp_path / "home" / "link", user, [tmp_path / "home" / "kept"], writing=writing)
        assert taken == tmp_path / "home" / "data"
