"""A map of a repository: the definitions that matter most, in as many tokens as there are to spend.

Files point at the files that define the names they use; PageRank over that graph, drawn towards what the task mentions,
tells which definitions a reader needs first (the idea: aider's repository map). The graph is made of names as letters
tell them (`lexical`), which is quick; files that are shown, or asked about, are parsed (`symbols`), and what that gives
is kept by the hash of their content. All is kept in a SQLite file, so that a second look reads only what changed.

How the agent uses it: the map goes into the first message, drawn once in a session; the `symbols` tool asks for
definitions and references. Knows nothing of models or prompts.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from inhouse.workspace.lexical import name_hash
from inhouse.workspace.ranking import Graph, Numbers, draw, graph_from
from inhouse.workspace.source_files import Stamp, read_names, read_source, stamps, state_of
from inhouse.workspace.symbols import Definition, definitions_in, references_in

_STALE = 0.02  # the graph is drawn anew when more than this share of the files has changed
_SHOWN_FILES = 400
_MENTIONED = 10  # times as important as other files and names
_TELLING = 20  # files that define a mentioned name; of more, none is meant
_SEARCHED = 2000  # files that are parsed for a definition which letters alone did not tell
_AT_ONCE = 500  # files in one question to the index
_VERSION = 2
_TABLES = """
PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;
CREATE TABLE IF NOT EXISTS files (
  path TEXT PRIMARY KEY, changed INTEGER, size INTEGER, digest BLOB, defined BLOB, used BLOB, drawn INTEGER);
CREATE TABLE IF NOT EXISTS parsed (digest BLOB PRIMARY KEY, definitions TEXT);
CREATE TABLE IF NOT EXISTS graph (part TEXT PRIMARY KEY, data BLOB);
"""


@dataclass(frozen=True)
class Place:
    """A line (from 1) of a file, with its text; `kind` is that of a definition, or "reference"."""

    path: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True)
class _Drawn:
    """The graph, the files that its numbers stand for, and what the tree was like when it was last looked at."""

    graph: Graph
    paths: tuple[str, ...]
    state: bytes

    @cached_property
    def by_name(self) -> dict[str, list[int]]:
        """Numbers of files by the last part of their path."""
        found: dict[str, list[int]] = {}
        for number, path in enumerate(self.paths):
            found.setdefault(path.rpartition("/")[2], []).append(number)
        return found


class RepoMap:
    """The index of one repository. `cache`: the folder for its SQLite file; None keeps it in memory.

    `still`: the files are looked at once, by the first call; otherwise each call sees them as they are then.
    Raises OSError, WorkspaceError, sqlite3.Error where the files, git or the cache cannot be used.
    """

    def __init__(self, root: Path, cache: Path | None = None, *, still: bool = False) -> None:
        self._still = still
        self.root = root.resolve()
        place = ":memory:"
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:20]
            place = str(cache / f"{name}-{_VERSION}.sqlite")
        self._base = _opened(place)
        self._drawn: _Drawn | None = None
        self.read_files = 0  # by the latest refresh

    def __enter__(self) -> RepoMap:
        return self

    def __exit__(self, *_: object) -> None:
        self._base.close()

    def count(self) -> int:
        """How many source files there are."""
        self.refresh()
        return int(self._base.execute("SELECT count(*) FROM files").fetchone()[0])

    def definitions(self, name: str, under: str = "") -> list[Place]:
        """Where a name is defined, in the whole repository or `under` a path of it."""
        graph = self.refresh().graph
        paths = self._holding(graph.defining(name_hash(name)), "defined", name, under)
        found = self._defined_in(paths, name)
        if not found:
            paths = self._holding(graph.using(name_hash(name)), "used", name, under)
            found = self._defined_in(paths[:_SEARCHED], name)
        return found

    def references(self, name: str, under: str = "", limit: int = 200) -> list[Place]:
        """Where a name is used, comments and strings left out; the first ones, by path."""
        graph = self.refresh().graph
        found: list[Place] = []
        for path in self._holding(graph.using(name_hash(name)), "used", name, under):
            lines = references_in(path, read_source(self.root, path), name)
            found += [Place(path, line, "reference", text) for line, text in lines]
            if len(found) >= limit:
                return found[:limit]
        return found

    def text(self, mentioned: Iterable[str], budget: int, count_tokens: Callable[[str], int]) -> str:
        """The map in at most `budget` tokens; empty when not even one definition fits."""
        drawn = self.refresh()
        words = list(mentioned)
        rank = drawn.graph.rank_near(self._meant(drawn, words))
        named = {word.rpartition(".")[2].rpartition("/")[2] for word in words}
        order = [int(number) for number in np.argsort(-rank, kind="stable")[:_SHOWN_FILES]]
        tags = dict(self._definitions([drawn.paths[number] for number in order]))
        uses = _uses(drawn.graph, tags.values())
        scored: list[tuple[float, str, Definition]] = []
        for number in order:
            path = drawn.paths[number]
            stressed = _MENTIONED if any(f"/{path}".endswith(f"/{word}") for word in words) else 1
            for definition in tags.get(path, ()):
                score = float(rank[number]) * (1 + math.log1p(uses[definition.name])) * stressed
                score *= _MENTIONED if definition.name in named else 1
                scored.append((score / (2 if definition.name.startswith("_") else 1), path, definition))
        scored.sort(key=lambda item: (-item[0], item[1], item[2].line))
        return _fitting(scored, budget, count_tokens)

    def refresh(self) -> _Drawn:
        """Bring the index up to date with the files."""
        if self._still and self._drawn is not None:
            return self._drawn
        now = stamps(self.root)
        state = state_of(now)
        drawn = self._drawn or self._stored()
        self.read_files = 0
        if drawn is None or drawn.state != state:
            gone = self._update(now)
            unknown = self._base.execute("SELECT count(*) FROM files WHERE NOT drawn").fetchone()[0]
            known = set(drawn.paths) if drawn is not None else set()
            if drawn is None or gone + unknown + len(known - now.keys()) > _STALE * len(now):
                drawn = self._draw(state)
            else:
                drawn = _Drawn(drawn.graph, drawn.paths, state)
                self._base.execute("INSERT OR REPLACE INTO graph VALUES ('state', ?)", (state,))
            self._base.commit()
        self._drawn = drawn
        return drawn

    def _update(self, now: dict[str, Stamp]) -> int:
        """Read what changed; returns how many known files are gone."""
        known = {row[0]: row[1:] for row in self._base.execute("SELECT path, changed, size, digest FROM files")}
        changed = [path for path, stamp in now.items() if known.get(path, ())[:2] != stamp]
        gone = [path for path in known if path not in now]
        self.read_files = len(changed)
        for rows in read_names(self.root, changed):
            same = [path for path, digest, _, _ in rows if path in known and known[path][2] == digest]
            self._base.executemany(
                "UPDATE files SET changed = ?, size = ? WHERE path = ?", ((*now[path], path) for path in same)
            )
            new = [row for row in rows if row[0] not in set(same)]
            self._base.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, 0)",
                ((row[0], *now[row[0]], *row[1:]) for row in new),
            )
        self._base.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in gone))
        return len(gone)

    def _draw(self, state: bytes) -> _Drawn:
        rows = self._base.execute("SELECT path, defined, used FROM files ORDER BY path").fetchall()
        graph = draw([row[1] for row in rows], [row[2] for row in rows])
        paths = tuple(row[0] for row in rows)
        parts = {**graph.parts(), "paths": "\0".join(paths).encode("utf-8", "surrogateescape"), "state": state}
        self._base.executemany("INSERT OR REPLACE INTO graph VALUES (?, ?)", parts.items())
        self._base.execute("UPDATE files SET drawn = 1 WHERE NOT drawn")
        return _Drawn(graph, paths, state)

    def _stored(self) -> _Drawn | None:
        parts = dict(self._base.execute("SELECT part, data FROM graph"))
        if not parts:
            return None
        text = parts["paths"].decode("utf-8", "surrogateescape")
        return _Drawn(graph_from(parts), tuple(text.split("\0")) if text else (), parts["state"])

    def _defined_in(self, paths: Sequence[str], name: str) -> list[Place]:
        return [
            Place(path, found.line, found.kind, found.text.strip())
            for path, definitions in self._definitions(paths)
            for found in definitions
            if found.name == name
        ]

    def _definitions(self, paths: Sequence[str]) -> Iterator[tuple[str, list[Definition]]]:
        """What files define, each parsed once for each content; files that are gone are left out."""
        for at in range(0, len(paths), _AT_ONCE):
            some = paths[at : at + _AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._base.execute(
                f"SELECT path, digest, definitions FROM files LEFT JOIN parsed USING (digest) WHERE path IN ({marks})",
                some,
            ).fetchall()
            by_path = {path: (digest, text) for path, digest, text in rows}
            for path in some:
                if path not in by_path:
                    continue
                digest, text = by_path[path]
                if text is not None:
                    yield path, [Definition(*item) for item in json.loads(text)]
                    continue
                found = list(definitions_in(path, read_source(self.root, path)))
                text = json.dumps([(d.name, d.kind, d.line, d.text) for d in found])
                self._base.execute("INSERT OR REPLACE INTO parsed VALUES (?, ?)", (digest, text))
                yield path, found
        self._base.commit()

    def _holding(self, numbers: Numbers, column: str, name: str, under: str) -> list[str]:
        """The files of these numbers, and those that the graph does not know yet and that hold a name."""
        assert self._drawn is not None
        found = {self._drawn.paths[number] for number in numbers}
        needle = np.uint32(name_hash(name))
        for path, data in self._base.execute(f"SELECT path, {column} FROM files WHERE NOT drawn"):
            if needle in np.frombuffer(data, np.uint32):
                found.add(path)
        return sorted(path for path in found if not under or f"{path}/".startswith(f"{under}/"))

    def _meant(self, drawn: _Drawn, mentioned: Sequence[str]) -> dict[int, float]:
        """Where a reader begins rather than elsewhere: files that are mentioned, and that define what is."""
        start: dict[int, float] = {}

        def add(numbers: Iterable[int], weight: float) -> None:
            some = list(numbers)
            for number in some if len(some) <= _TELLING else ():
                start[number] = start.get(number, 0.0) + weight / len(some)

        files = len(drawn.paths)
        for word in mentioned:
            if "/" in word or "." in word:
                same = drawn.by_name.get(word.rpartition("/")[2], ())
                add((number for number in same if f"/{drawn.paths[number]}".endswith(f"/{word}")), files)
            name = word.rpartition(".")[2]
            if len(name) > 2:
                add((int(number) for number in drawn.graph.defining(name_hash(name))), files / 4)
        return start


def _opened(place: str) -> sqlite3.Connection:
    """The index; one that is damaged begins anew."""
    for again in (True, False):
        base = sqlite3.connect(place, timeout=30)
        try:
            base.executescript(_TABLES)
            return base
        except sqlite3.DatabaseError as error:
            base.close()
            if isinstance(error, sqlite3.OperationalError) or not again:
                raise
            for suffix in ("", "-wal", "-shm"):
                Path(place + suffix).unlink(missing_ok=True)
    raise AssertionError("unreachable")


def _uses(graph: Graph, tags: Iterable[Sequence[Definition]]) -> dict[str, int]:
    """How many files hold each of the names that are defined."""
    names = list({definition.name for definitions in tags for definition in definitions})
    return dict(zip(names, map(int, graph.uses([name_hash(name) for name in names])), strict=True))


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
