"""A session on disk: a line of JSON for everything that happens, written through before the next thing happens.

The file is only ever appended to. A process that is killed leaves at most one line half written, which is cut off when
the session is opened again. What the lines mean is `state`'s business.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from inhouse.errors import WorkspaceError

Record: TypeAlias = Mapping[str, Any]

_LOG = "session.jsonl"
_VERSION = 1


@dataclass(frozen=True)
class Header:
    """What stays the same for a whole session. `system` is the system prompt, word for word."""

    id: str
    repo: str
    created: float  # seconds since the epoch
    model: str
    system: str
    forked_from: str = ""


class Session:
    """An open session. One process at a time; use as a context manager, or `close`."""

    def __init__(self, folder: Path) -> None:
        """Open a session that exists. Raises WorkspaceError if it is damaged, or open elsewhere."""
        self.folder = folder
        self._lock = _locked(folder)
        self._file = -1
        try:
            self.header, self._records = read(folder, repair=True)
            self._file = os.open(folder / _LOG, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, home: Path, repo: Path, model: str, system: str, forked_from: str = "") -> Session:
        """A new session among those in `home`."""
        now = time.time()
        id = f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{secrets.token_hex(3)}"
        header = Header(id, str(repo), now, model, system, forked_from)
        folder = home / id
        try:
            folder.mkdir(parents=True, mode=0o700)
            temporary = folder / f".{_LOG}"
            with temporary.open("wb") as file:
                file.write(_line({"kind": "session", "version": _VERSION, **header.__dict__}))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(folder / _LOG)
            _sync_folder(folder)
        except OSError as error:
            raise WorkspaceError(
                f"{folder}: no session can be kept there ({error.strerror}); free some space, see to the folder's "
                "permissions, or let INHOUSE_HOME name another one"
            ) from None
        return cls(folder)

    @property
    def id(self) -> str:
        return self.header.id

    @property
    def records(self) -> list[Record]:
        """Everything after the header, in order."""
        return self._records

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints of the workspace are kept."""
        return self.folder / "checkpoints"

    def append(self, kind: str, **fields: Any) -> None:
        """Write a record; it is on the disk when this returns."""
        record = {"kind": kind, "at": round(time.time(), 3), **fields}
        line = _line(record)
        size = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, size)  # half a line would spoil the next one
            raise WorkspaceError(
                f"{self.folder / _LOG}: cannot be written ({error.strerror}); free some space, then go on with "
                f"inhouse agent --resume {self.id}"
            ) from None
        self._records.append(json.loads(line))

    def fork(self, home: Path) -> Session:
        """A new session with everything that happened in this one."""
        new = Session.create(home, Path(self.header.repo), self.header.model, self.header.system, self.id)
        if self.checkpoints.is_dir():
            shutil.copytree(self.checkpoints, new.checkpoints)
        for record in self._records:
            new.append(record["kind"], **{name: value for name, value in record.items() if name != "kind"})
        return new

    def close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read(folder: Path, *, repair: bool = False) -> tuple[Header, list[Record]]:
    """The header and the records of a session; a last line that is not whole is left out (and cut off: `repair`).

    Raises WorkspaceError if there is no such session or it is damaged in any other way.
    """
    path = folder / _LOG
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WorkspaceError(f"{folder.name}: no such session ({error.strerror}); see inhouse sessions") from None
    whole = data[: data.rfind(b"\n") + 1]
    records: list[Record] = []
    good = 0
    lines = whole.splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
                raise ValueError("not a record")
        except ValueError as error:
            if number == len(lines) and number > 1:
                break
            raise WorkspaceError(f"{path}: line {number} is damaged ({error}); start a new session") from None
        records.append(record)
        good += len(line)
    if not records or records[0]["kind"] != "session":
        raise WorkspaceError(f"{path}: not a session; start a new one")
    if records[0].get("version") != _VERSION:
        raise WorkspaceError(f"{path}: made by another version of this program; start a new session")
    if repair and good < len(data):
        os.truncate(path, good)
    fields = {name: records[0][name] for name in Header.__dataclass_fields__}
    return Header(**fields), records[1:]


def sessions(home: Path) -> Iterator[Path]:
    """The folders of all sessions, the latest first."""
    if home.is_dir():
        yield from sorted((path for path in home.iterdir() if (path / _LOG).is_file()), reverse=True)


def find(home: Path, name: str, repo: Path | None = None) -> Path:
    """The session of a name, the beginning of one, or "last" (of `repo`, if given). Raises WorkspaceError."""
    for folder in sessions(home):
        if name == "last":
            with contextlib.suppress(WorkspaceError):
                if repo is None or read(folder)[0].repo == str(repo):
                    return folder
        elif folder.name.startswith(name) or (len(name) >= 4 and folder.name.endswith(name)):
            return folder
    where = f" of {repo}" if name == "last" and repo is not None else ""
    raise WorkspaceError(f"there is no session {name!r}{where}; inhouse sessions lists them")


def _line(record: Record) -> bytes:
    return (json.dumps(record, ensure_ascii=True, separators=(",", ":")) + "\n").encode()


def _locked(folder: Path) -> int:
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise WorkspaceError(f"{folder.name}: no such session ({error.strerror}); see inhouse sessions") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise WorkspaceError(f"{folder.name}: open in another process; fork it, or end that one") from None
    return descriptor


def _sync_folder(folder: Path) -> None:
    for path in (folder, folder.parent):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
