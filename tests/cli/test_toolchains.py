"""`inhouse fix` and the agent's run_tests with interpreters of the user's, laid out as version managers do."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from command_line import Inhouse

from home_layouts import KEYS, PYTHONS, SECRET, Layout, copy_python, nvm, put_keys, script
from scripted_server import Server

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")

PROGRAM = "def total(xs):\n    return sum(xs) + 1\n"
# It fails for the program's fault; what it says besides is who ran it, and whether a key could be read.
TEST = """\
import pathlib
import sys

from calc import total


def test_total():
    keys = [path for path in {keys!r} if pathlib.Path(path).exists()]
    assert total([1, 2]) == 3, f"run by {{sys.executable}}; sees {{keys}}"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(home: Path) -> Path:
    root = home / "work" / "repository"
    root.mkdir(parents=True)
    (root / "calc.py").write_text(PROGRAM)
    (root / "test_calc.py").write_text(TEST.format(keys=[str(home / key) for key in KEYS]))
    return root


def shell(layout: Layout) -> dict[str, str]:
    """The variables of the user's shell, where bubblewrap is found as well."""
    bwrap = Path(shutil.which("bwrap") or "/usr/bin/bwrap").parent
    return {**layout.environment, "PATH": f"{layout.environment['PATH']}{os.pathsep}{bwrap}"}


@pytest.mark.parametrize("name", PYTHONS)
def test_fix_and_the_agent_run_tests_with_the_users_python(
    inhouse: Inhouse, home: Path, repository: Path, name: str
) -> None:
    layout = PYTHONS[name](home)
    put_keys(home)
    server = Server("    return sum(xs)\n```")
    args = ("fix", "--repo", repository, "total is one too large", "--url", server.url, "--json", "--yes")
    fixed = inhouse(*args, "--test", "python3 -m pytest -q -p no:cacheprovider", **shell(layout))
    server.close()
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    asked = json.dumps(server.asked[0]["messages"])
    python = f"{home}" + asked.partition(f"run by {home}")[2].partition(";")[0]
    assert os.path.realpath(python) == os.path.realpath(layout.python)
    assert "sees []" in asked
    (repository / "calc.py").write_text(PROGRAM)
    server = Server(
        ("run_tests", {}), ("bash", {"command": "cat " + " ".join(str(home / key) for key in KEYS)}), "Done.", "Done.",
    )  # fmt: skip
    done = inhouse("agent", "--repo", repository, "--url", server.url, "--json", "Test it.", **shell(layout))
    server.close()
    tested, read = [event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == "called"][:2]
    assert f"{home}" in tested["text"].partition("run by ")[2], done.stdout + done.stderr
    assert "sees []" in tested["text"]
    assert SECRET not in read["text"]


def test_node_of_a_version_manager_runs_a_test_script(inhouse: Inhouse, home: Path, tmp_path: Path) -> None:
    layout = nvm(home)
    put_keys(home)
    npm = '#!/bin/sh\nexec node "$(node -p \'require("./package.json").scripts.test.split(" ")[1]\')"\n'
    script(layout.path[0] / "npm", npm)
    root = home / "work"
    root.mkdir()
    (root / "package.json").write_text('{"scripts": {"test": "node test.js"}}\n')
    key = home / ".nvm/versions/node/v20.0.0/etc/npmrc"
    (root / "test.js").write_text(
        f"console.log('not ok 1 - ' + process.execPath + require('fs').existsSync({str(key)!r}));process.exit(1)\n"
    )
    server = Server(("run_tests", {}), "Done.", "Done.")
    done = inhouse("agent", "--repo", root, "--url", server.url, "--json", "Test it.", **shell(layout))
    server.close()
    (tested,) = (event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == "called")
    assert f"{layout.python}false" in tested["text"], done.stdout + done.stderr


def test_our_own_python_stands_in_and_says_so(inhouse: Inhouse, home: Path, repository: Path) -> None:
    python = copy_python(home / "opt" / "python", with_pytest=False)
    layout = Layout(home, (python.parent,), python)
    server = Server("    return sum(xs)\n```")
    done = inhouse("fix", "--repo", repository, "total is one too large", "--url", server.url, "--yes", **shell(layout))
    server.close()
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stderr.split())
    assert f"the project's Python ({python}) has no pytest; Inhouse's own runs the tests" in said
    assert f"run by {sys.executable}" in json.dumps(server.asked[0]["messages"])


def test_a_virtual_environment_made_by_a_shim_runs_the_tests(inhouse: Inhouse, home: Path, repository: Path) -> None:
    """Its interpreter is a copy, whose base only pyvenv.cfg tells."""
    layout = PYTHONS["script"](home)
    environment = repository / ".venv"
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text(f"home = {layout.python.parent}\n")
    shutil.copy2(os.path.realpath(layout.python), environment / "bin" / "python")
    shutil.copytree(layout.python.parents[1] / "lib", environment / "lib", symlinks=True, copy_function=os.link)
    for name in ("json", "os.py"):
        assert (environment / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / name).exists()
    server = Server(("run_tests", {}), "Done.", "Done.")
    done = inhouse("agent", "--repo", repository, "--url", server.url, "--json", "Test it.", **shell(layout))
    server.close()
    (tested,) = (event for event in map(json.loads, done.stdout.splitlines()) if event["event"] == "called")
    assert f"run by {environment}/bin/python" in tested["text"], done.stdout + done.stderr


def test_arguments_and_the_repository_are_checked_before_a_model_is_loaded(
    inhouse: Inhouse, repository: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(b"no model")
    asked = ("--model", damaged, "--json")
    cases = (
        (("fix", "--repo", tmp_path / "nowhere", "x", *asked), "no such directory"),
        (("fix", "--repo", repository, "x", "--test", " ", *asked), "test command is empty"),
        (("fix", "--repo", repository, "x", "--test", "no-such-program", *asked), "no-such-program"),
        (("agent", "--repo", repository, "x", "--test", " ", *asked), "test command is empty"),
        (("agent", "--repo", repository, "x", "--temperature", 9, *asked), "temperature"),
        (("agent", "--repo", repository, "x", "--allow-read", "/", *asked), "whole machine"),
    )
    for command, said in cases:
        done = inhouse(*command)
        assert done.returncode in (1, 2), command
        assert said in done.stderr + done.stdout, done.stderr
        assert "damaged.gguf" not in done.stderr
