"""The source files of a repository: which there are, whether they changed, and the names in them. Keeps nothing.

Follows no links. Much is read by several processes.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from inhouse.workspace.lexical import names
from inhouse.workspace.listing import listing
from inhouse.workspace.symbols import MAX_BYTES, is_source

_BUILT = frozenset({"build", "dist", "venv", ".venv"})  # left out where no git says what is ignored
_WORTH_PROCESSES = 2000  # files to read before a second process pays for its start
_PIECE = 500  # files that a process is given at once

Stamp = tuple[int, int]  # the time of the last change in nanoseconds, and the size
Read = tuple[str, bytes, bytes, bytes]  # path, digest of the content, hashes of defined names and of all names


def stamps(root: Path) -> dict[str, Stamp]:
    """The source files of a tree, in the order of their paths; what git ignores is left out, submodules are not."""
    stamped = {}
    base = f"{root}/"
    found = listing(root)
    for path in sorted(filter(is_source, found.files)):
        if not found.under_git and not _BUILT.isdisjoint(path.split("/")):
            continue
        try:
            status = os.lstat(base + path)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode):
            stamped[path] = (status.st_mtime_ns, status.st_size)
    return stamped


def state_of(stamped: Mapping[str, Stamp]) -> bytes:
    """A digest of what `stamps` says."""
    lines = "\n".join(f"{path}\0{changed} {size}" for path, (changed, size) in stamped.items())
    return hashlib.blake2b(lines.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def read_names(root: Path, paths: Sequence[str]) -> Iterable[list[Read]]:
    """What names each file holds, in pieces."""
    pieces = [(str(root), paths[at : at + _PIECE]) for at in range(0, len(paths), _PIECE)]
    workers = min(os.cpu_count() or 1, 16)
    if len(paths) < _WORTH_PROCESSES or workers == 1:
        yield from map(_read_piece, pieces)
        return
    # Not forked: a process with threads (an engine's) must not be.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_read_piece, pieces)


def read_source(root: Path | str, path: str) -> bytes:
    """A file's content; nothing of one that is no plain file, cannot be read, or is too large to be source."""
    try:
        descriptor = os.open(f"{root}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        size = os.fstat(descriptor).st_size
        data = os.read(descriptor, size) if size <= MAX_BYTES else b""
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return data


def _read_piece(piece: tuple[str, Sequence[str]]) -> list[Read]:
    root, paths = piece
    rows: list[Read] = []
    for path in paths:
        data = read_source(root, path)
        defined, used = names(path, data)
        # Languages differ by suffix, so it is part of what is hashed.
        suffix = path.rpartition(".")[2].encode()[:16]
        digest = hashlib.blake2b(data, digest_size=16, person=suffix).digest()
        rows.append((path, digest, defined.tobytes(), used.tobytes()))
    return rows
