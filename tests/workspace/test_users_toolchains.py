"""Which programs confined commands find, and that the keys beside them stay hidden."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import pytest
from confined import needs_sandbox
from kinds import BUBBLEWRAP, LANDLOCK_OWN, Kind

from home_layouts import KEYS, PYTHONS, SECRET, Layout, copy_python, nvm, put_keys, script
from inhouse.workspace import Sandbox
from inhouse.workspace.confinement.credentials import is_denied, visible
from inhouse.workspace.toolchains import Toolchains, UserEnvironment, find_toolchains
from inhouse.workspace.toolchains.environments import project_environments
from inhouse.workspace.toolchains.shims import ask, wanted_versions

ONE_OF_EACH = [BUBBLEWRAP[0], *LANDLOCK_OWN]
WHO = "import sys; print(sys.executable)"


def user(layout: Layout, **more: object) -> UserEnvironment:
    path = tuple(map(Path, layout.environment["PATH"].split(os.pathsep)))
    return UserEnvironment(layout.home, path, layout.variables, **more)  # type: ignore[arg-type]


def confined(root: Path, found: Toolchains, kind: Kind | None = None) -> Sandbox:
    mechanism = kind.mechanism if kind is not None else None
    return Sandbox(root, installed=found.readable, path=found.path, environment=found.variables, mechanism=mechanism)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(home: Path) -> Path:
    folder = home / "work" / "repository"
    folder.mkdir(parents=True)
    return folder


@needs_sandbox
class TestPrograms:
    @pytest.mark.parametrize("name", PYTHONS)
    def test_python_is_the_one_of_the_users_shell(self, home: Path, repository: Path, name: str) -> None:
        layout = PYTHONS[name](home)
        put_keys(home)
        found = find_toolchains(user(layout), repository)
        assert os.path.realpath(found.pythons[0]) == os.path.realpath(layout.python)
        theirs = subprocess.run(
            ["python3", "-c", WHO], env=layout.environment, cwd=repository, capture_output=True, text=True, check=True
        )
        inside = confined(repository, found).run(["python3", "-c", WHO + "; import json, iniconfig"], timeout=60)
        assert os.path.realpath(inside.output.strip()) == os.path.realpath(theirs.stdout.strip()), inside.output

    def test_node(self, home: Path, repository: Path) -> None:
        layout = nvm(home)
        put_keys(home)
        inside = confined(repository, find_toolchains(user(layout), repository))
        assert inside.run(["node", "-p", "process.execPath"], timeout=60).output.strip() == str(layout.python)
        assert inside.run("echo $NVM_DIR", timeout=60).output.strip() == str(home / ".nvm")

    def test_the_repository_chooses_among_installed_versions(self, home: Path, repository: Path) -> None:
        layout = PYTHONS["pyenv"](home)
        (repository / ".python-version").write_text("0.0.1\n")
        inside = confined(repository, find_toolchains(user(layout), repository))
        assert "versions/0.0.1/bin" in inside.run(["python3", "-c", WHO], timeout=60).output

    def test_the_order_of_path_is_kept(self, home: Path, repository: Path) -> None:
        for folder in ("first", "second"):
            script(home / folder / "tool", f"#!/bin/sh\necho {folder}\n")
        script(home / "first" / "cat", "#!/bin/sh\necho mine\n")
        path = (home / "first", home / "second", Path("/usr/bin"), Path("/bin"))
        found = find_toolchains(UserEnvironment(home, path), repository)
        assert confined(repository, found).run("tool; cat /dev/null", timeout=60).output == "first\nmine\n"
        found = find_toolchains(UserEnvironment(home, (path[1], path[2], path[3], path[0])), repository)
        assert confined(repository, found).run("tool; cat /dev/null", timeout=60).output == "second\n"

    def test_a_script_whose_interpreter_lies_elsewhere(self, home: Path, repository: Path) -> None:
        python = copy_python(home / "opt" / "python", with_pytest=False)
        script(home / "bin" / "tool", f"#!{python}\nprint('ran')\n")
        found = find_toolchains(UserEnvironment(home, (home / "bin",)), repository)
        assert confined(repository, found).run("tool", timeout=60).output == "ran\n"

    def test_variables_that_lead_elsewhere_are_not_handed_on(self, home: Path, repository: Path) -> None:
        (home / "go").mkdir()
        given = {"GOPATH": str(home / "go"), "JAVA_HOME": str(home / "private"), "PYENV_VERSION": "$(evil)"}
        found = find_toolchains(UserEnvironment(home, (), given), repository)
        assert "JAVA_HOME" not in found.variables
        assert "PYENV_VERSION" not in found.variables


@needs_sandbox
class TestKeys:
    @pytest.mark.parametrize("name", ["pyenv", "uv", "conda"])
    @pytest.mark.parametrize("kind", ONE_OF_EACH)
    def test_none_can_be_read(self, home: Path, repository: Path, name: str, kind: Kind) -> None:
        layout = PYTHONS[name](home)
        put_keys(home)
        (home / ".pyenv/versions/link").symlink_to(home / ".ssh")
        (home / ".local/bin").mkdir(parents=True, exist_ok=True)
        (home / ".local/bin/key").symlink_to(home / ".ssh/id_rsa")
        given = user(layout)
        given = UserEnvironment(home, (*given.path, home / ".local/bin", home / ".ssh"), given.variables)
        inside = confined(repository, find_toolchains(given, repository), kind)
        read = "; ".join(f"cat {home / key}" for key in (*KEYS, ".pyenv/versions/link/id_rsa", ".local/bin/key"))
        assert SECRET not in inside.run(read, timeout=60).output
        assert SECRET not in inside.run(f"grep -rs {SECRET} {home} /tmp/home", timeout=60).output
        assert inside.run("python3 -c 'print(1)'", timeout=60).output == "1\n"

    def test_cargos_settings_are_shown_unless_they_hold_a_token(self, home: Path, repository: Path) -> None:
        settings = home / ".cargo" / "config.toml"
        settings.parent.mkdir()
        settings.write_text("[build]\njobs = 2\n")
        inside = confined(repository, find_toolchains(UserEnvironment(home), repository))
        assert "jobs" in inside.run(["cat", str(settings)], timeout=60).output
        settings.write_text(f'[registries.ours]\ntoken = "{SECRET}"\n')
        inside = confined(repository, find_toolchains(UserEnvironment(home), repository))
        assert SECRET not in inside.run(["cat", str(settings)], timeout=60).output

    def test_a_server_in_a_folder_of_path_cannot_be_reached(self, home: Path, repository: Path) -> None:
        (home / "bin").mkdir()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(home / "bin" / "server"))
            server.listen()
            inside = confined(repository, find_toolchains(UserEnvironment(home, (home / "bin",)), repository))
            connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(home / 'bin' / 'server')!r})"
            assert "Error" in inside.run(["/usr/bin/env", "python3", "-c", connect], timeout=60).output


class TestVisible:
    def test_a_folder_with_a_key_is_shown_without_it(self, home: Path) -> None:
        for name in ("tool/bin/x", "tool/lib/y", "tool/etc/npmrc", "tool/etc/z", "tool/.netrc"):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text("")
        shown = {path.relative_to(home).as_posix() for path in visible([home / "tool"], home)}
        assert shown == {"tool/bin", "tool/lib", "tool/etc/z"}

    @pytest.mark.parametrize("name", [".ssh", ".ssh/keys", ".config/gh", ".", "..", ".aws/x", ".local/share/keyrings"])
    def test_a_denied_name_wins(self, home: Path, name: str) -> None:
        (home / name).mkdir(parents=True, exist_ok=True)
        assert visible([Path(os.path.normpath(home / name))], home) == ()

    def test_a_link_to_a_denied_folder_shows_nothing(self, home: Path) -> None:
        (home / ".ssh").mkdir()
        (home / "tools").symlink_to(home / ".ssh")
        assert visible([home / "tools"], home) == ()

    def test_links_that_are_given_are_links_with_what_they_lead_to(self, home: Path) -> None:
        (home / "versions" / "1").mkdir(parents=True)
        (home / "current").symlink_to("versions/1")
        assert visible([home / "current"], home) == (home / "current", home / "versions" / "1")

    def test_folders_may_be_named_as_secrets_are(self, home: Path) -> None:
        (home / "go/pkg/mod/credentials").mkdir(parents=True)
        (home / "go/pkg/mod/.env").mkdir()
        assert visible([home / "go/pkg/mod"], home) == (home / "go/pkg/mod",)
        assert is_denied(home / ".docker" / "config.json", home)


class TestShims:
    def test_nothing_of_the_repository_is_run(self, home: Path, repository: Path) -> None:
        """Neither what lies in it, nor what a link or a script of the user's leads to."""
        evil = script(repository / "python3", f"#!/bin/sh\ntouch {home}/ran\necho /usr/bin/python3\n")
        (home / "bin").mkdir()
        (home / "bin" / "python3").symlink_to(evil)
        script(home / "shims" / "python3", f'#!/bin/sh\nexec {evil} "$@"\n')
        for program in (evil, home / "bin" / "python3", home / "shims" / "python3"):
            assert ask(program, repository, repository, {"PATH": "/usr/bin:/bin"}) is None
        assert not (home / "ran").exists()

    def test_version_files_hold_versions_alone(self, home: Path, repository: Path) -> None:
        (repository / ".python-version").write_text("../../evil\n")
        (repository / ".tool-versions").write_text("python path:./evil 3.12\nnode 20.1.0 # why\nruby ref:abc\n")
        (repository / "mise.toml").write_text('[tools]\ngo = "1.22"\njava = "{{ exec(command=\'evil\') }}"\n')
        (home / ".python-version").write_text("3.12.1\n")
        (home / ".tool-versions").write_text("python 3.11\nnode 18\n")
        assert wanted_versions(repository) == {
            ".python-version": "3.12.1\n",
            ".tool-versions": "node 20.1.0\ngo 1.22\npython 3.11\n",
        }

    def test_one_that_never_answers_costs_no_more_than_its_time(
        self, home: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("inhouse.workspace.toolchains.shims._SECONDS", 0.3)
        waits = script(home / "shims" / "python3", "#!/bin/sh\nexec sleep 600\n")
        assert ask(waits, repository, repository, {"PATH": "/usr/bin:/bin"}) is None


def test_environments_that_tools_keep_elsewhere(home: Path) -> None:
    """Each tool's own rule for the folder's name, of this very path."""
    repository = Path("/home/me/work/ledger")
    poetry = home / ".cache/pypoetry/virtualenvs" / "ledger-_T2B0_Rm-py3.11"
    pipenv = home / ".local/share/virtualenvs" / "ledger-abcdefgh"
    other = home / ".local/share/virtualenvs" / "other"
    for prefix in (poetry, pipenv, other):
        prefix.mkdir(parents=True)
        (prefix / "pyvenv.cfg").write_text("")
    (pipenv / ".project").write_text(f"{repository}\n")
    (other / ".project").write_text("/home/me/work/other")
    assert project_environments(repository, home) == [poetry / "bin" / "python", pipenv / "bin" / "python"]
