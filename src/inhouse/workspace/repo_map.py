"""A map of a repository: the definitions that matter most, in as many tokens as there are to spend.

Files point at the files that define the names they use; PageRank over that graph, drawn towards what the task mentions,
tells which definitions a reader needs first (the idea: aider's repository map). What single files hold is kept by the
hash of their content in a SQLite file, so that a second look reads only what changed.

How the agent uses it: `RepoMap(root, cache)` once per session; `text(mentioned, budget, count_tokens)` goes into the
first user message, after everything that never changes, with the words of the task as `mentioned`; the `symbols` tool
answers with `definitions(name)` and `references(name)`. Each call sees the files as they are now.

Knows nothing of models or prompts. Reads files, follows no links, runs only `git ls-files`.
"""

from __future__ import annotations

import hashlib
import json
import math
import multiprocessing
import os
import sqlite3
import stat
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inhouse.workspace.git import listed, toplevel
from inhouse.workspace.symbols import Definition, is_source, name_hash, references_in, tags

_SKIPPED = frozenset({".git", ".hg", ".svn", "__pycache__", "node_modules", ".venv", "venv", ".tox", "build", "dist"})
_WORTH_PROCESSES = 1500  # files to read before a second process pays for its start
_COMMON = 0.2  # a name that more than this share of the files use tells nothing
_DAMPING, _ROUNDS = 0.85, 20
_STALE = 0.02  # the graph is drawn anew when more than this share of the files has changed
_SHOWN_FILES = 400
_MENTIONED = 10  # times as important as other files and names
_VERSION = 1

Words = NDArray[np.uint32]


@dataclass(frozen=True)
class Place:
    """A line (from 1) of a file, with its text; `kind` is that of a definition, or "reference"."""

    path: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class _Graph:
    """Who uses whose names: `source` uses something of `target` with `weight`; `uses` counts files per name."""

    paths: tuple[str, ...]
    source: NDArray[np.int32]
    target: NDArray[np.int32]
    weight: NDArray[np.float32]
    names: Words
    uses: NDArray[np.int32]


class RepoMap:
    """The index of one repository. `cache`: the folder for its SQLite file; None keeps it in memory."""

    def __init__(self, root: Path, cache: Path | None = None) -> None:
        self.root = root.resolve()
        place = ":memory:"
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:20]
            place = str(cache / f"{name}-{_VERSION}.sqlite")
        self._base = sqlite3.connect(place, timeout=30)
        self._base.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
            "CREATE TABLE IF NOT EXISTS tags (digest BLOB PRIMARY KEY, definitions TEXT, defined BLOB, used BLOB);"
            "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, changed INTEGER, size INTEGER, digest BLOB);"
            "CREATE TABLE IF NOT EXISTS graph (part TEXT PRIMARY KEY, data BLOB);"
        )
        self.read_files = 0  # by the latest refresh

    def __enter__(self) -> RepoMap:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def definitions(self, name: str) -> list[Place]:
        """Where a name is defined."""
        self.refresh()
        return [
            Place(path, found.line, found.kind, found.text.strip())
            for path, _ in self._holding("defined", name)
            for found in self._definitions(path)
            if found.name == name
        ]

    def references(self, name: str, limit: int = 200) -> list[Place]:
        """Where a name is used, comments and strings left out."""
        self.refresh()
        found: list[Place] = []
        for path, _ in self._holding("used", name):
            lines = references_in(path, _read(self.root, path), name)
            found += [Place(path, line, "reference", text) for line, text in lines]
            if len(found) >= limit:
                return found[:limit]
        return found

    def text(self, mentioned: Iterable[str], budget: int, count_tokens: Callable[[str], int]) -> str:
        """The map in at most `budget` tokens; empty when not even one definition fits."""
        graph = self.refresh()
        if not graph.paths:
            return ""
        words = list(mentioned)
        rank = _page_rank(graph, self._preferred(graph, words))
        named = {word.rpartition(".")[2].rpartition("/")[2] for word in words}
        order = np.argsort(-rank, kind="stable")[:_SHOWN_FILES]
        scored: list[tuple[float, str, Definition]] = []
        for index in order:
            path = graph.paths[int(index)]
            stressed = _MENTIONED if any(f"/{path}".endswith(f"/{word}") for word in words) else 1
            for definition in self._definitions(path):
                uses = _lookup(graph.names, graph.uses, name_hash(definition.name))
                score = float(rank[index]) * (1 + math.log1p(uses)) * stressed
                score *= _MENTIONED if definition.name in named else 1
                scored.append((score / (2 if definition.name.startswith("_") else 1), path, definition))
        scored.sort(key=lambda item: (-item[0], item[1], item[2].line))
        return _fitting(scored, budget, count_tokens)

    def refresh(self) -> _Graph:
        """Bring the index up to date with the files; returns the graph that ranks them."""
        known = {row[0]: row[1:] for row in self._base.execute("SELECT path, changed, size, digest FROM files")}
        now = _stated(self.root)
        changed = [path for path, status in now.items() if known.get(path, ())[:2] != status]
        gone = [path for path in known if path not in now]
        self.read_files = len(changed)
        if changed or gone:
            self._read_in(changed, now)
            self._base.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in gone))
            self._base.commit()
        graph = self._stored_graph()
        if graph is None or _difference(graph.paths, now, changed) > _STALE * len(now):
            graph = self._draw()
        return graph

    def _read_in(self, paths: Sequence[str], now: dict[str, tuple[int, int]]) -> None:
        done = {row[0] for row in self._base.execute("SELECT digest FROM tags")}
        for rows in _tagged(self.root, paths, done):
            self._base.executemany(
                "INSERT OR IGNORE INTO tags VALUES (?, ?, ?, ?)", (row[1:] for row in rows if row[2] is not None)
            )
            self._base.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", ((row[0], *now[row[0]], row[1]) for row in rows)
            )

    def _definitions(self, path: str) -> list[Definition]:
        row = self._base.execute(
            "SELECT definitions FROM tags JOIN files USING (digest) WHERE path = ?", (path,)
        ).fetchone()
        return [Definition(*item) for item in json.loads(row[0])] if row else []

    def _holding(self, column: str, name: str) -> list[tuple[str, None]]:
        """The files whose hashes hold a name's."""
        wanted = np.uint32(name_hash(name))
        rows = self._base.execute(f"SELECT path, {column} FROM files JOIN tags USING (digest) ORDER BY path")
        needle = wanted.tobytes()
        return [(path, None) for path, data in rows if needle in data and wanted in np.frombuffer(data, np.uint32)]

    def _preferred(self, graph: _Graph, mentioned: Sequence[str]) -> NDArray[np.float64]:
        """Where a random reader starts anew: anywhere, but rather at what is mentioned."""
        start = np.ones(len(graph.paths))
        number = {path: index for index, path in enumerate(graph.paths)}
        for word in mentioned:
            if word in number:
                start[number[word]] += len(graph.paths)
                continue
            if "/" in word or "." in word:
                ends = [index for path, index in number.items() if path.endswith("/" + word)]
                start[ends] += len(graph.paths) / max(1, len(ends))
            for path, _ in self._holding("defined", word.rpartition(".")[2]) if len(word) > 2 else ():
                if path in number:
                    start[number[path]] += len(graph.paths) / 4
        chosen: NDArray[np.float64] = start / start.sum()
        return chosen

    def _draw(self) -> _Graph:
        rows = self._base.execute(
            "SELECT path, defined, used FROM files JOIN tags USING (digest) ORDER BY path"
        ).fetchall()
        graph = _graph([row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])
        parts = {
            "paths": "\0".join(graph.paths).encode("utf-8", "surrogateescape"), "source": graph.source.tobytes(),
            "target": graph.target.tobytes(), "weight": graph.weight.tobytes(), "names": graph.names.tobytes(),
            "uses": graph.uses.tobytes(),
        }  # fmt: skip
        self._base.executemany("INSERT OR REPLACE INTO graph VALUES (?, ?)", parts.items())
        self._base.commit()
        return graph

    def _stored_graph(self) -> _Graph | None:
        parts = dict(self._base.execute("SELECT part, data FROM graph"))
        if not parts:
            return None
        text = parts["paths"].decode("utf-8", "surrogateescape")
        return _Graph(
            tuple(text.split("\0")) if text else (),
            np.frombuffer(parts["source"], np.int32),
            np.frombuffer(parts["target"], np.int32),
            np.frombuffer(parts["weight"], np.float32),
            np.frombuffer(parts["names"], np.uint32),
            np.frombuffer(parts["uses"], np.int32),
        )


def _difference(paths: Sequence[str], now: dict[str, tuple[int, int]], changed: Sequence[str]) -> int:
    known = set(paths)
    return len(known ^ now.keys()) + sum(path in known for path in changed)


def _graph(paths: Sequence[str], defined: Sequence[bytes], used: Sequence[bytes]) -> _Graph:
    """Edges from each file to the files that define what it uses, rare names counting more."""
    names, owners = _joined(defined)
    order = np.argsort(names, kind="stable")
    names, owners = names[order], owners[order]
    words, users = _joined(used)
    first = np.searchsorted(names, words, "left")
    count = np.searchsorted(names, words, "right") - first
    keep = count > 0
    words, users, first, count = words[keep], users[keep], first[keep], count[keep]
    distinct, inverse, uses = np.unique(words, return_inverse=True, return_counts=True)
    spread = uses[inverse]
    keep = (spread <= max(20, _COMMON * len(paths))) & (count <= 20)
    words, users, first, count, spread = words[keep], users[keep], first[keep], count[keep], spread[keep]
    source = np.repeat(users, count)
    offset = np.arange(len(source)) - np.repeat(np.cumsum(count) - count, count)
    target = owners[np.repeat(first, count) + offset]
    weight = np.repeat(1 / (count * np.sqrt(spread)), count)
    other = source != target
    pair = source[other].astype(np.int64) * len(paths) + target[other]
    edges, where = np.unique(pair, return_inverse=True)
    total = np.bincount(where, weight[other], len(edges))
    return _Graph(
        tuple(paths),
        (edges // max(1, len(paths))).astype(np.int32),
        (edges % max(1, len(paths))).astype(np.int32),
        total.astype(np.float32),
        distinct.astype(np.uint32),
        uses.astype(np.int32),
    )


def _joined(blobs: Sequence[bytes]) -> tuple[Words, NDArray[np.int32]]:
    """All hashes of all files, and the number of the file of each."""
    sizes = [len(blob) // 4 for blob in blobs]
    return np.frombuffer(b"".join(blobs), np.uint32), np.repeat(np.arange(len(blobs), dtype=np.int32), sizes)


def _page_rank(graph: _Graph, start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brin and Page (1998), personalised; what files without edges hold goes back to the start."""
    size = len(graph.paths)
    out = np.bincount(graph.source, graph.weight, size)
    share = graph.weight / np.maximum(out, 1e-12)[graph.source]
    rank: NDArray[np.float64] = start.copy()
    for _ in range(_ROUNDS):
        moved = np.bincount(graph.target, share * rank[graph.source], size)
        loose = rank[out == 0].sum()
        rank = _DAMPING * (moved + loose * start) + (1 - _DAMPING) * start
    return rank


def _lookup(names: Words, uses: NDArray[np.int32], wanted: int) -> int:
    at = int(np.searchsorted(names, np.uint32(wanted)))
    return int(uses[at]) if at < len(names) and int(names[at]) == wanted else 0


def _fitting(scored: Sequence[tuple[float, str, Definition]], budget: int, count: Callable[[str], int]) -> str:
    """As many of the best definitions as fit, by bisection."""
    low, high, best = 0, len(scored), ""
    while low < high:
        middle = (low + high + 1) // 2
        text = _rendered(scored[:middle])
        if len(text) <= 12 * budget and count(text) <= budget:
            low, best = middle, text
        else:
            high = middle - 1
    return best


def _rendered(scored: Sequence[tuple[float, str, Definition]]) -> str:
    """Files in the order of their best definition; their definitions in the order of their lines."""
    files: dict[str, dict[int, str]] = {}
    for _, path, definition in scored:
        files.setdefault(path, {})[definition.line] = definition.text
    blocks = []
    for path, lines in files.items():
        blocks.append("\n".join([f"{path}:", *(f"{line:5d} {text}" for line, text in sorted(lines.items()))]))
    return "\n".join(blocks) + "\n" if blocks else ""


def _stated(root: Path) -> dict[str, tuple[int, int]]:
    """The source files of a tree with the time of their last change and their size; ignored ones are left out."""
    if toplevel(root) is not None:
        names: Iterable[str] = listed(root, "--cached", "--others", "--exclude-standard", "--deduplicate")
    else:
        names = _walked(root)
    found = {}
    base = f"{root}/"
    for path in names:
        if is_source(path):
            try:
                status = os.lstat(base + path)
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                found[path] = (status.st_mtime_ns, status.st_size)
    return found


def _walked(root: Path) -> Iterable[str]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        here = os.path.relpath(folder, root)
        yield from names if here == "." else (f"{here}/{name}" for name in names)


_Row = tuple[str, bytes, str | None, bytes | None, bytes | None]


def _tagged(root: Path, paths: Sequence[str], done: set[bytes]) -> Iterable[list[_Row]]:
    """Rows for the index, in pieces; on several processors where there is much to read."""
    pieces = [(root, paths[at : at + 250], done if len(done) < 1000 else set()) for at in range(0, len(paths), 250)]
    workers = min(os.cpu_count() or 1, 8)
    if len(paths) < _WORTH_PROCESSES or workers == 1:
        yield from map(_read_piece, pieces)
        return
    # Not forked: a process with threads (an engine's) must not be.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_read_piece, pieces)


def _read_piece(piece: tuple[Path, Sequence[str], set[bytes]]) -> list[_Row]:
    root, paths, done = piece
    rows: list[_Row] = []
    for path in paths:
        data = _read(root, path)
        # Languages differ by suffix, so it is part of what is hashed.
        digest = hashlib.blake2b(data, digest_size=16, person=path.rpartition(".")[2].encode()[:16]).digest()
        if digest in done:
            rows.append((path, digest, None, None, None))
            continue
        found = tags(path, data)
        text = json.dumps([(d.name, d.kind, d.line, d.text) for d in found.definitions])
        defined = np.unique(np.array([name_hash(d.name) for d in found.definitions], np.uint32))
        rows.append((path, digest, text, defined.tobytes(), np.array(found.identifiers, np.uint32).tobytes()))
    return rows


def _read(root: Path, path: str) -> bytes:
    try:
        descriptor = os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()
    except OSError:
        return b""
