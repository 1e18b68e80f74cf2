"""The cache's second tier: files that outlive the process, and any way in which it may end.

    directory / identity of the model / KEY.block    keys and values of one node of the prefix tree, and its tokens
                                        KEY.states   recurrent states at that node's end

A file appears by a rename, whole, and ends with a keyed BLAKE2b of all before; what does not match is deleted, never
used. A thread of its own writes. Knows nodes as names and bytes; which to keep is the cache's business, except that
files of other models go first.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import queue
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from inhouse.engine.pages import Arrays, Block, States
from inhouse.engine.prefix_tree import Ids, Kind, Node, prefix_key
from inhouse.errors import ParameterError
from inhouse.weights.atomic import replacing

_LOG = logging.getLogger("inhouse.engine")

MAGIC = b"INHOUSE\x01"
ALIGNMENT = 64
DIGEST = 16
BACKLOG = 1 << 30  # bytes waiting to be written: beyond, things are not stored rather than waited for
HEADER_LIMIT = 1 << 20
_NAME = re.compile(r"([0-9a-f]{32})\.(block|states)")


@dataclass(frozen=True)
class Record:
    """What a directory knows of one node."""

    key: bytes
    parent: bytes
    start: int
    tokens: Ids
    block_bytes: int
    states_bytes: int
    used: float  # seconds since the epoch


class DiskTier:
    """Files of one model (`identity`) in `directory`, which other models may share; `budget` bytes in all of it.

    Several processes may use one directory: a file's name says its content, and one that is gone is just not there.
    Raises ParameterError for a directory that cannot be written to.
    """

    def __init__(self, directory: Path, identity: str, budget: int) -> None:
        self.budget = budget
        self._folder = directory / identity
        self._secret = identity.encode()[:64]
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _sweep(self._folder)
        except OSError as error:
            raise ParameterError(
                f"{directory}: the cache cannot be kept here ({error}); name another directory"
            ) from error
        self._failed = False  # once is enough to say
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}  # of all files there are or are about to be
        self._pending: dict[str, tuple[dict[str, Any], Arrays]] = {}
        self._put: list[str] = []  # of them, those for which there may not be room yet
        self._backlog = 0
        self._jobs: queue.SimpleQueue[tuple[str, str] | threading.Event | None] = queue.SimpleQueue()
        self._foreign = _make_room(directory, self._folder, budget)
        self._thread = threading.Thread(target=self._work, name="inhouse-cache-writer", daemon=True)
        self._thread.start()

    @property
    def nbytes(self) -> int:
        """Bytes of all files in the directory, and of those about to be."""
        with self._lock:
            return self._foreign + sum(self._sizes.values())

    def records(self) -> list[Record]:
        """All nodes whose files look sound (contents are checked when they are needed), parents first."""
        states: dict[str, tuple[int, float]] = {}
        found: list[Record] = []
        for path in self._folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name is None:
                continue
            with contextlib.suppress(OSError):
                status = path.stat()
                with self._lock:
                    self._sizes[path.name] = status.st_size
                if name[2] == "states":
                    states[name[1]] = (status.st_size, status.st_mtime)
                    continue
                record = _record(path, bytes.fromhex(name[1]), status)
                if record is None:
                    self._delete(path.name)
                else:
                    found.append(record)
        known = {record.key.hex() for record in found}
        for key in states.keys() - known:
            self._delete(f"{key}.states")
        found.sort(key=lambda record: record.start)
        return [_with_states(record, *states.get(record.key.hex(), (0, 0.0))) for record in found]

    def put(self, node: Node, kind: Kind) -> int:
        """Notes a thing for `write`; the size of its file, or 0 if too much is waiting already. It must not change."""
        data = node.block.data if kind == "block" else node.states.data
        assert data is not None
        header: dict[str, Any] = {"start": node.start, "end": node.end}
        if kind == "block":
            assert node.parent is not None
            header |= {"parent": node.parent.key.hex(), "tokens": node.tokens.tolist()}
        header["arrays"] = [[array.dtype.str, list(array.shape)] for array in data.arrays]
        name = _name(node, kind)
        with self._lock:
            if self._backlog + data.nbytes > BACKLOG:
                return 0
            size = len(_head(header)) + data.nbytes + DIGEST
            self._sizes[name] = size
            self._pending[name] = (header, data.arrays)
            self._backlog += data.nbytes
        self._put.append(name)
        return size

    def write(self) -> None:
        """Has what was put written soon.

        What had to go for it must be dropped by now: things happen in the order in which they were asked for, so that
        the files are never more than the budget, at whatever moment the process ends.
        """
        for name in self._put:
            self._jobs.put(("write", name))
        self._put.clear()

    def load(self, node: Node, kind: Kind) -> Block | States | None:
        """A thing as it was put; None, and its file is gone, if it is not what it should be."""
        name = _name(node, kind)
        with self._lock:
            waiting = self._pending.get(name)
        arrays = waiting[1] if waiting is not None else self._read(name, node)
        if arrays is None:
            self._delete(name)
            return None
        return Block(node.start, node.end, arrays) if kind == "block" else States(node.end, arrays)

    def drop(self, node: Node, kind: Kind) -> None:
        """Deletes a file."""
        self._delete(_name(node, kind))

    def forget(self, key: bytes) -> None:
        """Deletes both files of a node, if there are any."""
        for kind in ("block", "states"):
            name = f"{key.hex()}.{kind}"
            if name in self._sizes:
                self._delete(name)

    def used(self, node: Node) -> None:
        """Notes in the node's file that it has been needed now; those above it are needed as long as it is."""
        self._jobs.put(("touch", _name(node, "block")))
        self._jobs.put(("touch", _name(node, "states")))

    def flush(self) -> None:
        """Returns when all that `write` was called for is written."""
        done = threading.Event()
        self._jobs.put(done)
        while not done.wait(1.0) and self._thread.is_alive():
            pass

    def close(self) -> None:
        """Writes what is waiting and ends the thread. May be called twice."""
        self._jobs.put(None)
        self._thread.join()

    def _delete(self, name: str) -> None:
        with self._lock:
            self._sizes.pop(name, None)
            waiting = self._pending.pop(name, None)
            if waiting is not None:
                self._backlog -= sum(array.nbytes for array in waiting[1])
        self._jobs.put(("delete", name))

    def _read(self, name: str, node: Node) -> Arrays | None:
        """The arrays of a file that is sound and belongs to `node`."""
        try:
            data = (self._folder / name).read_bytes()
        except OSError:
            return None
        if len(data) < DIGEST or _digest(self._secret, memoryview(data)[:-DIGEST]) != data[-DIGEST:]:
            return None
        header, offset = _parse(data)
        if (header["start"], header["end"]) != (node.start, node.end):
            return None
        arrays = []
        for dtype, shape in header["arrays"]:
            count = int(np.prod(shape))
            arrays.append(np.frombuffer(data, dtype, count, offset).reshape(shape))
            offset += arrays[-1].nbytes
        return tuple(arrays)

    # The writer's thread.

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, threading.Event):
                job.set()
                continue
            what, name = job
            if what == "write":
                self._write(name)
                continue
            with self._lock:
                there = name in self._sizes
            with contextlib.suppress(OSError):
                if what == "delete" and not there:  # else it was put again since
                    (self._folder / name).unlink()
                elif what == "touch" and there:
                    os.utime(self._folder / name)

    def _write(self, name: str) -> None:
        with self._lock:
            waiting = self._pending.get(name)
        if waiting is None:
            return
        try:
            _write_file(self._folder, name, self._secret, *waiting)
        except (OSError, MemoryError) as error:
            if not self._failed:
                _LOG.warning(
                    f"{self._folder}: the cache cannot be written to ({error}): going on with what is in memory; make "
                    "room, or name another directory"
                )
            self._failed = True
            with self._lock:
                self._sizes.pop(name, None)
        with self._lock:
            if self._pending.get(name) is waiting:
                del self._pending[name]
                self._backlog -= sum(array.nbytes for array in waiting[1])
            gone = name not in self._sizes
        if gone:
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()


@dataclass(frozen=True)
class CacheFolder:
    """What one model keeps on disk."""

    identity: str
    files: int
    nbytes: int
    used: float  # seconds since the epoch


def list_cache(directory: Path) -> list[CacheFolder]:
    """Every model's part of a cache directory, the last used first; empty if there is none."""
    if not directory.is_dir():
        return []
    found = []
    for folder in directory.iterdir():
        files = list(_files(folder))
        if files:
            sizes = [(status.st_size, status.st_mtime) for _, status in files]
            found.append(CacheFolder(folder.name, len(files), sum(s for s, _ in sizes), max(t for _, t in sizes)))
    return sorted(found, key=lambda entry: -entry.used)


def clear_cache(directory: Path) -> int:
    """Deletes all that caches have kept in a directory, and nothing else; the bytes freed."""
    freed = 0
    for folder in directory.iterdir() if directory.is_dir() else ():
        for path, status in _files(folder):
            path.unlink(missing_ok=True)
            freed += status.st_size
        with contextlib.suppress(OSError):
            folder.rmdir()
    return freed


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        if _NAME.fullmatch(path.name):
            with contextlib.suppress(OSError):
                yield path, path.stat()


def _make_room(directory: Path, own: Path, budget: int) -> int:
    """Deletes other models' files, the longest unused first, until all fits; the bytes of those that stay."""
    foreign = [entry for folder in directory.iterdir() if folder != own for entry in _files(folder)]
    foreign.sort(key=lambda entry: entry[1].st_mtime, reverse=True)
    left = sum(status.st_size for _, status in foreign)
    total = left + sum(status.st_size for _, status in _files(own))
    while foreign and total > budget:
        path, status = foreign.pop()
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        total -= status.st_size
        left -= status.st_size
    return left


def _sweep(folder: Path) -> None:
    """Deletes what processes that are no more left half written."""
    for path in folder.glob("*.tmp"):
        process = path.name.split(".")[-2]
        if not process.isdigit() or int(process) == os.getpid() or not psutil.pid_exists(int(process)):
            path.unlink(missing_ok=True)


def _write_file(folder: Path, name: str, secret: bytes, header: dict[str, Any], arrays: Arrays) -> None:
    digest = hashlib.blake2b(digest_size=DIGEST, key=secret)
    with replacing(folder / name) as file:
        for part in (_head(header), *(array.tobytes() for array in arrays)):
            digest.update(part)
            file.write(part)
        file.write(digest.digest())
        file.flush()
        if hasattr(os, "posix_fadvise"):
            # The system's memory is better spent on the model's file than on what is read after a restart.
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _head(header: dict[str, Any]) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    begin = MAGIC + len(text).to_bytes(4, "little") + text
    return begin + bytes(-len(begin) % ALIGNMENT)


def _parse(data: bytes) -> tuple[dict[str, Any], int]:
    """A file's header, and where its arrays begin. Raises ValueError."""
    if not data.startswith(MAGIC):
        raise ValueError("not a cache file")
    end = len(MAGIC) + 4 + int.from_bytes(data[len(MAGIC) : len(MAGIC) + 4], "little")
    if end > min(len(data), HEADER_LIMIT):
        raise ValueError("no such header")
    header: dict[str, Any] = json.loads(data[len(MAGIC) + 4 : end])
    return header, end + -end % ALIGNMENT


def _record(path: Path, key: bytes, status: os.stat_result) -> Record | None:
    """What a block's header says, if it belongs to `key` and the file is as long as it should be."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(MAGIC) + 4)
            size = int.from_bytes(begin[len(MAGIC) :], "little")
            if size > HEADER_LIMIT:
                return None
            header, offset = _parse(begin + file.read(size))
        tokens = np.asarray(header["tokens"], np.int32)
        parent = bytes.fromhex(header["parent"])
        payload = sum(int(np.prod(shape)) * np.dtype(dtype).itemsize for dtype, shape in header["arrays"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not len(tokens) or prefix_key(parent, tokens) != key or status.st_size != offset + payload + DIGEST:
        return None
    return Record(key, parent, int(header["start"]), tokens, status.st_size, 0, status.st_mtime)


def _with_states(record: Record, size: int, used: float) -> Record:
    return Record(
        record.key, record.parent, record.start, record.tokens, record.block_bytes, size, max(record.used, used)
    )


def _digest(secret: bytes, data: memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST, key=secret).digest()


def _name(node: Node, kind: Kind) -> str:
    return f"{node.key.hex()}.{kind}"
