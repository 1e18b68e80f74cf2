"""A tree that is made what it was: whatever commands have done to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inhouse.workspace.snapshot import Snapshot

TIME = 1_700_000_000_123_456_789


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    return root


@pytest.fixture
def snapshot(root: Path, tmp_path: Path) -> Iterator[Snapshot]:
    made = Snapshot(root, tmp_path / "pack")
    for number in range(20):
        made.add_file(f"many/{number}.txt", b"content", 0o644, TIME)
    made.add_file("pkg/a.py", b"A = 1\n", 0o644, TIME)
    made.add_file("pkg/sub/b.py", b"B = 1\n", 0o644, TIME)
    made.add_file("run.sh", b"#!/bin/sh\n", 0o755, TIME)
    made.add_file("empty", b"", 0o444, TIME)
    made.add_link("link", "pkg/a.py")
    made.add_folder("nothing/in/here")
    (root / ".git").mkdir()
    yield made
    made.close()


def everything(root: Path) -> dict[str, tuple[int, str, int]]:
    """Of each path: its mode, what it holds, and a file's time of change."""
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            held = os.readlink(path)
        else:
            held = path.read_text() if path.is_file() else ""
        time = status.st_mtime_ns if path.is_file() and not path.is_symlink() else 0
        found[str(path.relative_to(root))] = (status.st_mode, held, time)
    return found


def same_size_and_time(root: Path) -> None:
    (root / "pkg/a.py").write_bytes(b"A = 2\n")
    os.utime(root / "pkg/a.py", ns=(TIME, TIME))


def renamed_over(root: Path) -> None:
    other = root / "pkg/other"
    other.write_bytes(b"A = 2\n")
    os.utime(other, ns=(TIME, TIME))
    other.replace(root / "pkg/a.py")


def folder_to_link(root: Path) -> None:
    shutil.rmtree(root / "pkg/sub")
    (root.parent / "outside").mkdir()
    (root / "pkg/sub").symlink_to(root.parent / "outside")


def file_to_folder(root: Path) -> None:
    (root / "pkg/a.py").unlink()
    (root / "pkg/a.py/deep/er").mkdir(parents=True)
    (root / "pkg/a.py/deep/er/x").write_text("x")


def folder_to_file(root: Path) -> None:
    shutil.rmtree(root / "pkg")
    (root / "pkg").write_text("x")


def unreadable_folders(root: Path) -> None:
    (root / "new/deep").mkdir(parents=True)
    (root / "new/deep/x").write_text("x")
    (root / "new/deep").chmod(0)
    (root / "new").chmod(0o500)
    (root / "pkg/sub").chmod(0)


def hard_link(root: Path) -> None:
    (root / "second").hardlink_to(root / "pkg/a.py")
    (root / "second").write_bytes(b"A = 2\n")


def swapped(root: Path) -> None:
    (root / "pkg/a.py").rename(root / "x")
    (root / "pkg/sub/b.py").rename(root / "pkg/a.py")
    (root / "x").rename(root / "pkg/sub/b.py")


def within_one_tick(root: Path) -> None:
    for number in range(20):
        path = root / f"many/{number}.txt"
        path.write_bytes(b"CONTENT")
        os.utime(path, ns=(TIME, TIME))


@pytest.mark.parametrize(
    "change",
    [
        same_size_and_time, renamed_over, folder_to_link, file_to_folder, folder_to_file, unreadable_folders, hard_link,
        swapped, within_one_tick,
        lambda root: (root / "pkg/a.py").write_text("longer than before"),
        lambda root: (root / "pkg/a.py").unlink(),
        lambda root: shutil.rmtree(root / "pkg"),
        lambda root: (root / "run.sh").chmod(0o644),
        lambda root: (root / "link").unlink(),
        lambda root: os.replace(root / "run.sh", root / "link"),
        lambda root: (root / "made.txt").write_text("x"),
        lambda root: os.mkfifo(root / "pipe"),
        lambda root: (root / "nothing/in/here").rmdir(),
        lambda root: (root / "nothing/in/here/x").symlink_to("/"),
        lambda root: (root / "empty").chmod(0o666),
    ],
)  # fmt: skip
@pytest.mark.parametrize("again", [False, True])
def test_what_commands_did_is_undone(
    root: Path, snapshot: Snapshot, change: Callable[[Path], object], again: bool
) -> None:
    before = everything(root)
    if again:  # once everything has been looked at, nothing is compared byte by byte any more
        snapshot.restore()
    change(root)
    snapshot.restore()
    assert everything(root) == before
    if (root.parent / "outside").is_dir():
        assert list((root.parent / "outside").iterdir()) == []


def test_only_what_changed_is_written(root: Path, snapshot: Snapshot) -> None:
    snapshot.restore()
    inodes = {path: path.lstat().st_ino for path in root.rglob("*")}
    (root / "pkg/a.py").write_text("x")
    snapshot.restore()
    changed = [path for path, inode in inodes.items() if path.lstat().st_ino != inode]
    assert set(changed) <= {root / "pkg/a.py"}


def test_what_somebody_else_writes_counts_as_changed(root: Path, snapshot: Snapshot) -> None:
    before = everything(root)
    snapshot.restore(but=["pkg/a.py", "pkg/new.py"])
    (root / "pkg/a.py").write_text("A = 2\n")
    (root / "pkg/new.py").write_text("N = 1\n")
    snapshot.restore()
    assert everything(root) == before


def test_what_compilers_keep_stays(root: Path, snapshot: Snapshot) -> None:
    snapshot.restore()
    (root / "pkg/.inhouse-build/go").mkdir(parents=True)
    (root / "pkg/.inhouse-build/go/object").write_bytes(b"compiled")
    (root / "pkg/built").write_bytes(b"compiled")
    snapshot.restore()
    assert (root / "pkg/.inhouse-build/go/object").read_bytes() == b"compiled"
    assert not (root / "pkg/built").exists()
