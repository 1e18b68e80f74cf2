"""What /diff shows and /undo takes back: everything that can be edited, also where git does not look."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from agent_kit import FINISH, Bench, MakeBench, do

from inhouse.agent.commands import answer
from inhouse.agent.session import Session
from inhouse.agent.steps import Changed
from inhouse.workspace.shadow import Change, Shadow
from needed import git_program


def git(root: Path, *arguments: str) -> str:
    safe = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "protocol.file.allow=always"]
    return subprocess.run(
        [git_program(), *safe, *arguments], cwd=root, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def submodule(root: Path, tmp_path: Path) -> Path:
    """A checked-out submodule `lib` of the repository."""
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "--quiet")
    (origin / "helper.py").write_text("def helper(x):\n    return x\n")
    (origin / ".gitignore").write_text("*.tmp\n")
    git(origin, "add", "--all")
    git(origin, "commit", "--quiet", "-m", "first")
    git(root, "submodule", "--quiet", "add", str(origin), "lib")
    git(root, "commit", "--quiet", "-m", "lib")
    return root / "lib"


def changed(bench: Bench) -> list[tuple[str, ...]]:
    return [step.paths for step in bench.of(Changed)]


def test_an_edit_in_a_submodule_is_seen_shown_and_undone(bench: MakeBench, submodule: Path) -> None:
    edit = do("str_replace", path="lib/helper.py", old_str="return x", new_str="return x + 1")
    one = bench(
        do("search", pattern="def helper"), edit, do("create", path="lib/new.py", content="N = 1\n"), FINISH, "x"
    )
    before = git(submodule, "status", "--porcelain")
    one.turn()
    assert "lib/helper.py:1" in one.results()[0]
    assert changed(one) == [("lib/helper.py",), ("lib/new.py",)]
    assert "+    return x + 1" in answer(one.agent, "diff", "").text
    assert answer(one.agent, "undo", "2").text == "undone: lib/new.py\nundone: lib/helper.py"
    assert git(submodule, "status", "--porcelain") == before
    assert answer(one.agent, "diff", "").text == "nothing changed"


def test_the_users_git_directories_are_not_touched(bench: MakeBench, root: Path, submodule: Path) -> None:
    def inside() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in (root / ".git").rglob("*") if path.is_file()}

    before = inside()
    one = bench(do("create", path="lib/new.py", content="N = 1\n"), FINISH, "x")
    one.turn()
    one.agent.undo()
    assert inside() == before


def test_an_ignored_file_that_is_edited_is_covered(bench: MakeBench, root: Path) -> None:
    (root / "ignored").mkdir()
    (root / "ignored/made.txt").write_text("one\n")
    (root / "other.log").write_text("x")
    edit = do("str_replace", path="ignored/made.txt", old_str="one", new_str="two")
    new = do("create", path="new.log", content="n\n")
    again = do("str_replace", path="ignored/made.txt", old_str="two", new_str="three")
    one = bench(edit, new, again, FINISH, "x")
    one.turn()
    assert changed(one) == [("ignored/made.txt",), ("new.log",), ("ignored/made.txt",)]
    diff = answer(one.agent, "diff", "").text
    assert "-one\n+three\n" in diff
    assert "other.log" not in diff
    one.agent.undo()
    assert (root / "ignored/made.txt").read_text() == "two\n"
    one.agent.undo(2)
    assert (root / "ignored/made.txt").read_text() == "one\n"
    assert not (root / "new.log").exists()
    assert answer(one.agent, "diff", "").text == "nothing changed"


def test_it_stays_covered_when_a_session_is_resumed(bench: MakeBench, root: Path) -> None:
    (root / "made.log").write_text("one\n")
    one = bench(do("str_replace", path="made.log", old_str="one", new_str="two"), FINISH, "x")
    one.turn()
    one.close()
    with Session(one.session.folder) as session:
        other = bench(do("bash", command="echo three > made.log"), FINISH, "x", session=session)
        other.turn("Go on.")
        assert changed(other) == [("made.log",)]
        other.agent.undo(2)
        assert (root / "made.log").read_text() == "one\n"


class TestShadow:
    @pytest.fixture
    def shadow(self, root: Path, tmp_path: Path) -> Shadow:
        return Shadow(root, tmp_path / "shadow")

    def test_a_file_that_becomes_a_folder_and_back(self, root: Path, shadow: Shadow) -> None:
        before = shadow.checkpoint()
        (root / "shop.py").unlink()
        (root / "shop.py").mkdir()
        (root / "shop.py/inner.py").write_text("I = 1\n")
        after = shadow.checkpoint()
        assert set(shadow.changes(before, after)) == {Change("D", "shop.py"), Change("A", "shop.py/inner.py")}
        (root / "shop.py/inner.py").unlink()
        (root / "shop.py").rmdir()
        (root / "shop.py").write_text("S = 1\n")
        assert [change.path for change in shadow.changes(before, shadow.checkpoint())] == ["shop.py"]

    def test_what_becomes_ignored_is_still_known(self, root: Path, shadow: Shadow) -> None:
        (root / "notes.txt").write_text("one\n")
        before = shadow.checkpoint()
        (root / ".gitignore").write_text("*.txt\n")
        (root / "notes.txt").write_text("two\n")
        changes = shadow.changes(before, shadow.checkpoint())
        assert [change.path for change in changes] == [".gitignore", "notes.txt"]

    def test_names_in_any_bytes(self, root: Path, shadow: Shadow) -> None:
        before = shadow.checkpoint()
        names = [os.fsdecode(name) for name in (b"m\xfcll.py", b"a\nb", b"-x", b'"')]
        for name in names:
            (root / name).write_text("x\n")
        after = shadow.checkpoint()
        assert {change.path for change in shadow.changes(before, after)} == set(names)
        assert len(shadow.go_back(before, after)) == 4
        assert not any((root / name).exists() for name in names)

    def test_a_folder_of_several_repositories(self, tmp_path: Path) -> None:
        root = tmp_path / "work"
        for name in ("one", "two"):
            (root / name).mkdir(parents=True)
            git(root / name, "init", "--quiet")
            (root / name / "a.py").write_text("A = 1\n")
        (root / "one/.gitignore").write_text("*.log\n")
        shadow = Shadow(root, tmp_path / "shadow")
        before = shadow.checkpoint()
        (root / "one/a.py").write_text("A = 2\n")
        (root / "one/x.log").write_text("x")
        after = shadow.checkpoint()
        assert shadow.changes(before, after) == [Change("M", "one/a.py")]
        shadow.go_back(before, after)
        assert (root / "one/a.py").read_text() == "A = 1\n"

    @pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
    def test_a_file_that_cannot_be_read_hinders_no_other(self, root: Path, shadow: Shadow) -> None:
        before = shadow.checkpoint()
        (root / "locked").write_text("x")
        (root / "locked").chmod(0)
        (root / "open").write_text("x")
        assert [change.path for change in shadow.changes(before, shadow.checkpoint())] == ["open"]
