"""What a confined command may never change in a workspace, because something outside the sandbox would run it later.

Git runs hooks and what its configuration names; shells, editors and assistants run start-up files of a folder: the
names are in `protected_names`. What exists of them, anywhere in the tree, is laid read-only over itself. What does not
is held at the top by an empty read-only folder while commands run, so that it cannot come to be; that goes
when the last command has ended. Deeper in the tree it can be made, and is set aside afterwards, as are repositories.
Sockets are covered: behind one there may be a server of the user's.

Knows nothing of how the mounts are made.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.errors import SandboxError
from inhouse.workspace.protected_names import PROTECTED_NAMES

NAMES = (".git", *sorted(PROTECTED_NAMES - {".git"}))
_NOT_HELD = frozenset({".npmrc"})  # which package managers cannot bear as a folder: what is made is set aside
SET_ASIDE = ".set-aside"
_INDEX = "index.json"
_HOLDER = 0o555  # the mode by which a holder is known when a crash has left it
_HOOKS_PATH = re.compile(r"^\s*hookspath\s*=\s*\"?([^\"\n]+?)\"?\s*$", re.IGNORECASE | re.MULTILINE)


# A file or folder is its device and inode, wherever it is moved. A link is its place and target: one that is put back
# has another inode, and the inode of one that was removed goes to the next file.
Identity = tuple[int, int] | tuple[str, str]


@dataclass(frozen=True)
class Survey:
    """What a walk over a tree finds, paths relative to it: what runs something, by what it is, and sockets."""

    # `.git`, bare repositories, and below the top whatever has a protected name
    repositories: dict[str, Identity] = field(default_factory=dict)
    sockets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Protection:
    """How the workspace is to be shown while commands run; paths relative to it.

    `readonly` exist and are laid over themselves; `held` are empty folders, `sockets` are covered with nothing.
    """

    readonly: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()


def survey(root: Path) -> Survey:
    """Walks `root` once. Links are not followed; folders that cannot be read hold nothing a command could use."""
    repositories: dict[str, Identity] = {}
    sockets: list[str] = []
    folders = [""]
    while folders:
        here = folders.pop()
        names, inside = set(), []
        try:
            entries = os.scandir(root / here)
        except OSError:
            continue
        with entries:
            for entry in entries:
                path = f"{here}{entry.name}"
                names.add(entry.name)
                if entry.name == ".git" or _is_set_aside(here, entry.name):
                    repositories[path] = _identity(root, path)
                if entry.is_dir(follow_symlinks=False):
                    inside.append(f"{path}/")
                elif not entry.is_file(follow_symlinks=False) and not entry.is_symlink() and _is_socket(entry.path):
                    sockets.append(path)
        if {"HEAD", "objects", "refs"} <= names and not here.endswith(".git/"):
            repositories[here.rstrip("/") or "."] = _identity(root, here)
        folders += inside
    return Survey(repositories, tuple(sockets))


@contextlib.contextmanager
def protected(root: Path) -> Iterator[Protection]:
    """Protect a workspace while commands run in it; the end undoes what was planted all the same.

    Several may run at a time, also in several processes: a lock outside the workspace counts them, and the last one
    removes the holders. Raises SandboxError when the lock cannot be made.
    """
    before = survey(root)
    links = {name: os.readlink(root / name) for name in NAMES if (root / name).is_symlink()}
    with _shared_lock(root) as lock:
        held = tuple(name for name in _wanted(root) if name not in _NOT_HELD and _hold(root / name))
        try:
            yield Protection(_existing(root, before, held), held, before.sockets)
        finally:
            if _is_last(lock):
                for name in held:
                    with contextlib.suppress(OSError):  # no longer ours: not empty, or gone
                        (root / name).rmdir()
            _restore_links(root, links)
            set_aside(root, before, held)


def closed_parts(root: Path, before: Survey) -> frozenset[str]:
    """What exists of what is protected, links included, as paths relative to `root`."""
    found = [*NAMES, *_hook_folders(root)]
    for path in before.repositories:
        found += _parts(path)
    return frozenset(path for path in found if os.path.lexists(root / path))


@contextlib.contextmanager
def stand_ins(root: Path) -> Iterator[Path]:
    """Keep what is protected beside a throw-away workspace while commands run, and put it back at the end.

    In its place lie copies, and a file that leads git to the real `.git`. Yields the folder that keeps it. Several may
    run at a time: the first keeps, the last puts back. Raises SandboxError when it cannot be kept.
    """
    with _shared_lock(root) as lock:
        kept = root.parent / f".{root.name}.protected"
        try:
            if _is_last(lock):
                _put_back(root, kept)  # what a crash has left
                _keep(root, kept)
            fcntl.flock(lock, fcntl.LOCK_SH)
        except OSError as error:
            raise SandboxError(
                f"{root}: what is protected in it cannot be kept: {error.strerror}; use another TMPDIR"
            ) from error
        try:
            yield kept
        finally:
            if _is_last(lock):
                _put_back(root, kept)


def _keep(root: Path, kept: Path) -> None:
    """Move what is protected into `kept`, in the order in which it is put back, and leave something in its place."""
    kept.mkdir(mode=0o700)
    before = survey(root)
    names = sorted(closed_parts(root, before))
    outer = [name for name in names if not any(name.startswith(f"{other}/") for other in names)]
    known = [[path, *map(str, identity)] for path, identity in before.repositories.items()]
    (kept / _INDEX).write_text(json.dumps({"names": outer, "repositories": known}))
    for number, name in enumerate(outer):
        here, there = root / name, kept / str(number)
        here.rename(there)
        if there.is_symlink() or there.is_file():
            shutil.copy2(there, here, follow_symlinks=False)
        elif (there / "HEAD").is_file():
            here.write_text(f"gitdir: {there}\n")
        else:
            shutil.copytree(there, here, symlinks=True)


def _put_back(root: Path, kept: Path) -> None:
    """Undo `_keep`, and what commands have made in place of what is protected or where it did not exist."""
    if not (kept / _INDEX).is_file():
        return
    index = json.loads((kept / _INDEX).read_text())
    for name in NAMES:
        _delete(root / name)
    for number, name in enumerate(index["names"]):
        there, here = kept / str(number), root / name
        if os.path.lexists(there):
            _delete(here)
            here.parent.mkdir(parents=True, exist_ok=True)
            there.rename(here)
    shutil.rmtree(kept)
    before = {path: _as_identity(*identity) for path, *identity in index["repositories"]}
    set_aside(root, Survey(before))


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _as_identity(first: str, second: str) -> Identity:
    return (int(first), int(second)) if first.isdigit() else (first, second)


def _parts(path: str) -> list[str]:
    """What must not be changed of what a survey has found: of a bare repository its configuration and hooks."""
    named = path.rpartition("/")[2] in PROTECTED_NAMES
    return [path] if named else [f"{path}/config", f"{path}/hooks"]


def set_aside(root: Path, before: Survey, held: tuple[str, ...] = (), *, names: bool = False) -> tuple[str, ...]:
    """Rename what has a protected name or makes a repository of a folder, and did not before; returns the new paths.

    `names`: what has a protected name at the top as well, where there was nothing such before.

    A `.git` of its own would let a command have git run anything as soon as somebody enters the folder; so would the
    configuration of a bare repository. Nothing is deleted: it may be somebody else's work of this moment.
    """
    known = set(before.repositories.values())
    parts = [name for name in NAMES if name != ".git"] if names else []
    after = survey(root).repositories
    here = set(after.values())
    for path, identity in after.items():
        if identity in known or path in held:
            continue
        was = before.repositories.get(path)
        if path != ".git" and was is not None and isinstance(was[0], int) and was not in here:
            continue  # replaced by somebody outside, an editor that saves: a command cannot take away what was mounted
        parts += _parts(path)
    moved = []
    for part in parts:
        target = root / f"{part}{SET_ASIDE}"
        if not os.path.lexists(root / part):
            continue
        with contextlib.suppress(OSError):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            (root / part).rename(target)
            moved.append(f"{part}{SET_ASIDE}")
    return tuple(moved)


def _wanted(root: Path) -> list[str]:
    return [name for name in (*NAMES, *_hook_folders(root)) if not (root / name).is_symlink()]


def _hook_folders(root: Path) -> list[str]:
    """Folders inside the workspace that its git configuration names for hooks."""
    try:
        text = (root / ".git" / "config").read_text(errors="replace")
    except OSError:
        return []
    paths = (os.path.normpath(path) for path in _HOOKS_PATH.findall(text))
    return [path for path in paths if not os.path.isabs(path) and path.split("/")[0] not in ("..", ".git", ".")]


def _hold(path: Path) -> bool:
    """Make an empty folder at `path`. True when it is there by us; a workspace that is not writable needs none."""
    try:
        path.mkdir(mode=_HOLDER)
        path.chmod(_HOLDER)
    except FileExistsError:
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode) or stat.S_IMODE(status.st_mode) != _HOLDER:
            return False
        return not any(path.iterdir())
    except OSError:
        return False
    return True


def _is_set_aside(folder: str, name: str) -> bool:
    """Whether what a command makes of such a name is set aside: it is not held in this folder ("": the top)."""
    return name in PROTECTED_NAMES and (bool(folder) or name in _NOT_HELD)


def _existing(root: Path, before: Survey, held: tuple[str, ...]) -> tuple[str, ...]:
    found = [name for name in _wanted(root) if name not in held]
    for path in before.repositories:
        parts = _parts(path)
        found += [part for part in parts if part not in held and not (root / part).is_symlink()]
    return tuple(path for path in dict.fromkeys(found) if os.path.lexists(root / path))


def _restore_links(root: Path, links: dict[str, str]) -> None:
    """A link cannot be mounted over, so one that was replaced is put back."""
    for name, target in links.items():
        path = root / name
        if path.is_symlink() and os.readlink(path) == target:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        path.symlink_to(target)


@contextlib.contextmanager
def _shared_lock(root: Path) -> Iterator[int]:
    """An open, shared lock for a workspace, in a folder that commands do not see. The last to leave takes both away."""
    folder = Path(tempfile.gettempdir()) / f"inhouse-locks-{os.getuid()}"
    path = folder / hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:24]
    try:
        lock = _locked(path)
    except OSError as error:
        raise SandboxError(f"{folder}: {error.strerror}; set TMPDIR to a folder that can be written") from error
    try:
        yield lock
    finally:
        _leave(lock, path)


def _leave(lock: int, path: Path) -> None:
    """Give a lock up, and take file and folder away if nobody else holds them."""
    try:
        with contextlib.suppress(OSError):  # another workspace's lock is in the folder, or somebody tidied it up
            if _is_last(lock) and os.path.samestat(os.fstat(lock), os.stat(path)):
                path.unlink()
                path.parent.rmdir()
    finally:
        os.close(lock)


def _locked(path: Path) -> int:
    """A shared lock on the file that is at `path` when it is locked: the last to leave may just be removing it."""
    folder = path.parent
    while True:
        folder.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                raise SandboxError(
                    f"{folder} belongs to somebody else; remove it, or set TMPDIR to a folder of your own"
                )
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_SH)
                if os.path.samestat(os.fstat(lock), os.stat(path)):
                    return lock
            except BaseException:  # such as an interrupt, which must leave nothing behind
                _leave(lock, path)
                raise
            os.close(lock)


def _is_last(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _identity(root: Path, path: str) -> Identity:
    status = os.lstat(root / path)
    if stat.S_ISLNK(status.st_mode):
        return path, os.readlink(root / path)
    return status.st_dev, status.st_ino


def _is_socket(path: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    return False
