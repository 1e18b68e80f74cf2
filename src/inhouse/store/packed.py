"""Packed copies of models: made once, found again as long as their source is unchanged. Knows not what is in them.

ROOT/KEY/model.safetensors, source.json    a copy, complete; KEY belongs to the source's path
ROOT/.partial/KEY/                         one in the making, or what an interrupted process left of it
ROOT/.partial/KEY.lock                     held by the process that makes it
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_FILE, _SOURCE = "model.safetensors", "source.json"
SPARE = 1 << 30  # bytes of disk that stay free


@dataclass(frozen=True)
class Identity:
    """A source as it was when it was packed."""

    path: str
    size: int
    mtime_ns: int

    @staticmethod
    def of(path: Path) -> Identity:
        status = path.stat()
        return Identity(str(path.resolve()), status.st_size, status.st_mtime_ns)


@dataclass(frozen=True)
class PackedCopy:
    """`path`: what to open; `current`: whether the source is still there, unchanged."""

    source: Identity
    path: Path
    size: int
    current: bool


class PackedCopies:
    """The directory `root`, which need not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def find(self, source: Path) -> Path | None:
        """The copy of a source as it is now."""
        copy = self._copy(self.root / _key(source))
        return copy.path if copy is not None and copy.current else None

    def all(self) -> list[PackedCopy]:
        folders = sorted(self.root.iterdir()) if self.root.is_dir() else []
        copies = (self._copy(folder) for folder in folders if folder.name[0] != ".")
        return sorted((copy for copy in copies if copy is not None), key=lambda copy: copy.source.path)

    def free(self) -> int:
        """Bytes that a new copy may take."""
        self.root.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.root).free - SPARE

    def make(self, source: Path, write: Callable[[Path], None]) -> Path:
        """The copy of `source`, written by `write(path)` unless it is here or another process just made it.

        Whatever kills this, the next call begins anew; no half copy is ever found. Raises OSError.
        """
        identity, target = Identity.of(source), self.root / _key(source)
        partial = self.root / ".partial" / target.name
        partial.parent.mkdir(parents=True, exist_ok=True)
        with partial.with_name(f"{target.name}.lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = self.find(source)
            if found is not None:
                return found
            for old in (partial, target):
                shutil.rmtree(old, ignore_errors=True)
            partial.mkdir()
            try:
                write(partial / _FILE)
                (partial / _SOURCE).write_text(json.dumps(identity.__dict__), encoding="utf-8")
                partial.rename(target)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        return target / _FILE

    def size(self, source: Path) -> int:
        """Bytes of the copies of `source`, or of all sources below it, current or not."""
        return sum(copy.size for copy in self._of(source))

    def remove(self, source: Path) -> None:
        """Deletes those copies; the source stays."""
        for copy in self._of(source):
            shutil.rmtree(copy.path.parent)

    def _of(self, source: Path) -> list[PackedCopy]:
        wanted = source.resolve()
        return [copy for copy in self.all() if Path(copy.source.path).is_relative_to(wanted)]

    def _copy(self, folder: Path) -> PackedCopy | None:
        try:
            source = Identity(**json.loads((folder / _SOURCE).read_text(encoding="utf-8")))
            size = (folder / _FILE).stat().st_size
        except (OSError, ValueError, TypeError):
            return None
        try:
            current = Identity.of(Path(source.path)) == source
        except OSError:
            current = False
        return PackedCopy(source, folder / _FILE, size, current)


def _key(source: Path) -> str:
    return hashlib.sha256(str(source.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def default_copies() -> Path:
    """Where packed copies are kept unless the user says otherwise."""
    return Path.home() / ".local" / "share" / "inhouse" / "packed"
