"""The one list of protected names, behind both doors: what an edit tool writes, and what a confined command does."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from kinds import EVERY, Kind

from inhouse.errors import WorkspaceError
from inhouse.workspace.confinement.protected import SET_ASIDE
from inhouse.workspace.files import is_program_file
from inhouse.workspace.paths import writable
from inhouse.workspace.protected_names import PROTECTED_NAMES

NAMES = sorted(PROTECTED_NAMES)
OLD = [name for name in NAMES if name != ".git"]  # what is a file here; .git has tests of its own


@pytest.mark.parametrize("name", NAMES)
def test_an_edit_is_refused_anywhere(name: str, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for path in (name, f"deep/{name}", f"deep/{name}/inside", f"{name}/inside", f"deep/{name.upper()}"):
        with pytest.raises(WorkspaceError, match="is protected"):
            writable(tmp_path, path)
        assert not is_program_file(f"{path}/x.py")


@pytest.mark.parametrize("kind", EVERY)
def test_a_command_changes_none_that_is_there(kind: Kind, tmp_path: Path) -> None:
    root = tmp_path / "w"
    for folder in (root, root / "deep" / "er"):
        folder.mkdir(parents=True)
        for name in OLD:
            (folder / name).write_text("mine\n")
    places = " ".join(shlex.quote(name) for name in OLD)
    script = (
        f"for d in . deep/er; do for n in {places}; do echo evil >> $d/$n; rm -rf $d/$n; echo evil > $d/$n; done; done"
    )
    kind.sandbox(root).run(script, timeout=60)
    for folder in (root, root / "deep" / "er"):
        assert {name: (folder / name).read_text() for name in OLD} == dict.fromkeys(OLD, "mine\n")


@pytest.mark.parametrize("kind", EVERY)
def test_a_command_makes_none_that_stays(kind: Kind, tmp_path: Path) -> None:
    """At the top they cannot come to be (but .npmrc); elsewhere they have another name when the command has ended."""
    root = tmp_path / "w"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "a.py").write_text("")
    places = " ".join(shlex.quote(name) for name in NAMES)
    script = (
        f"for d in . deep deep/new; do mkdir -p $d; for n in {places}; do echo evil > $d/$n || mkdir $d/$n; done; done"
    )
    kind.sandbox(root).run(script, timeout=60)
    left = [path for path in root.rglob("*") if path.name in PROTECTED_NAMES]
    assert left == []
    assert {path.name for path in (root / "deep").iterdir()} >= {f"{name}{SET_ASIDE}" for name in NAMES}


@pytest.mark.parametrize("kind", EVERY)
def test_a_folder_that_holds_one_is_moved_and_another_put_in_its_place(kind: Kind, tmp_path: Path) -> None:
    root = tmp_path / "w"
    (root / "deep" / "er").mkdir(parents=True)
    (root / "deep" / "er" / ".envrc").write_text("mine\n")
    kind.sandbox(root).run("cd deep; mv er away; mkdir er; echo evil > er/.envrc", timeout=60)
    found = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob(".envrc")}
    assert set(found.values()) == {"mine\n"}, found


@pytest.mark.parametrize("kind", EVERY)
def test_what_an_editor_saves_meanwhile_stays(kind: Kind, tmp_path: Path) -> None:
    root = tmp_path / "w"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / ".envrc").write_text("mine\n")
    with kind.sandbox(root).launch("true"):
        (root / "deep" / "draft").write_text("saved\n")
        (root / "deep" / "draft").replace(root / "deep" / ".envrc")
    if not kind.disposable:  # nobody edits a throw-away copy
        assert (root / "deep" / ".envrc").read_text() == "saved\n"


def test_what_a_crash_left_goes_and_what_is_the_users_stays(tmp_path: Path) -> None:
    from inhouse.workspace.confinement.protected import protected

    with protected(tmp_path):
        held = sorted(path.name for path in tmp_path.iterdir())
        assert held == [name for name in NAMES if name != ".npmrc"]
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".npmrc").write_text("")
    with protected(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [".npmrc"]
