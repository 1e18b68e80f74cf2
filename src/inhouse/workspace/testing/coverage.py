"""Which functions and lines the tests of JavaScript and Go projects run, by the coverage that their tools record.

Node writes V8's block coverage of each process (`NODE_V8_COVERAGE`), most runners have a process for each test file;
Go writes a profile of a run, so its failing tests run alone. What is read comes from the project's own processes: of
limited size, and anything misshapen is left out. Knows nothing of ranking.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import unquote

from inhouse.workspace.code.functions import functions
from inhouse.workspace.files import is_test_file
from inhouse.workspace.testing.calls import Calls
from inhouse.workspace.testing.report import Failure

_FOLDER, _PROFILE = ".inhouse-coverage", ".inhouse-coverage.out"
_MAX_BYTES = 64 << 20  # of what one process wrote
_MAX_FILES = 200
_BLOCK = re.compile(r"^(?P<path>\S+\.go):(?P<first>\d+)\.\d+,(?P<last>\d+)\.\d+ \d+ (?P<count>\d+)$", re.MULTILINE)

Counts: TypeAlias = Mapping[tuple[str, int], int]  # of lines, by path and number
Ran = tuple[set[tuple[str, int]], set[tuple[str, int]]]  # functions by their first line, and lines


def prepare(root: Path, place: Path, failures: Sequence[Failure]) -> dict[str, str]:
    """The variables to run tests with; `place` is where the command sees the repository's copy `root`."""
    shutil.rmtree(root / _FOLDER, ignore_errors=True)
    (root / _PROFILE).unlink(missing_ok=True)
    variables = {"NODE_V8_COVERAGE": str(place / _FOLDER)}
    go = [failure for failure in failures if any(p.path.endswith("_test.go") for p in failure.places)]
    if go and " " not in str(place):
        names = "|".join(sorted({re.escape(failure.id.split("/")[0]) for failure in go}))
        variables["GOFLAGS"] = f"-coverprofile={place / _PROFILE} -coverpkg=./... -run=^({names})$"
    return variables


def read(
    root: Path, place: Path, texts: Mapping[str, str], failures: Sequence[Failure], modules: Mapping[str, str]
) -> Calls:
    """What the failing tests ran, and what test files without a failure did; empty where nothing was recorded.

    `texts` are the program's files as they were, `modules` the folders of its Go modules.
    """
    covered: dict[str, frozenset[tuple[str, int]]] = {}
    lines: dict[str, frozenset[tuple[str, int]]] = {}
    runs = [*_node(root, place, texts), *_go(root, texts, modules)]
    for number, (files, (ran, at)) in enumerate(runs):
        # A failure that names no test file may have happened in any process.
        here = [f for f in failures if not (named := _test_files(f)) or not files or named & files]
        for key in [f"{f.id.split('::')[0]}::{f.name}" for f in here] or [f"{' '.join(sorted(files))} {number}::"]:
            covered[key] = covered.get(key, frozenset()) | ran
            lines[key] = lines.get(key, frozenset()) | at
    return Calls(covered, {}, lines)


def shares(alone: Counts, together: Counts, failing: int, ran: int) -> dict[tuple[str, int], float]:
    """How suspicious lines are by how often they run with the `failing` tests alone and with all that `ran`.

    After Ochiai's coefficient, of runs instead of tests. What runs but once runs when files are loaded, for all tests.
    """
    usual = math.sqrt(failing / max(ran, failing, 1))
    return {
        place: math.sqrt(min(count / together.get(place, count), 1.0)) if together.get(place, 0) > 1 else usual
        for place, count in alone.items()
    }


def counts(root: Path, place: Path, texts: Mapping[str, str]) -> Counts:
    """How often lines of JavaScript ran, of those that did, in all processes that left notes."""
    found: Counter[tuple[str, int]] = Counter()
    for scripts in _notes(root):
        for path, script in _scripts(scripts, place, texts):
            for line, count in enumerate(_line_counts(texts[path], script["functions"])[1], 1):
                if count:
                    found[path, line] += count
    return found


def _test_files(failure: Failure) -> set[str]:
    return {place.path for place in failure.places if is_test_file(place.path)}


def _node(root: Path, place: Path, texts: Mapping[str, str]) -> Iterator[tuple[set[str], Ran]]:
    """Of each process of node that ran code of the program: its test files, and what it ran."""
    for scripts in _notes(root):
        ran: Ran = (set(), set())
        for path, script in _scripts(scripts, place, texts):
            _add(ran, path, texts[path], _script_lines(texts[path], script["functions"]))
        if ran[0]:
            paths = {_path(script, place) for script in scripts}
            yield {path for path in paths if is_test_file(path) and not path.startswith("/")}, ran


def _notes(root: Path) -> Iterator[list[Mapping[str, Any]]]:
    """What each process of node noted of its scripts."""
    folder = root / _FOLDER
    if folder.is_symlink() or not folder.is_dir():
        return
    for file in sorted(folder.glob("coverage-*.json"))[:_MAX_FILES]:
        if file.is_symlink() or file.stat().st_size > _MAX_BYTES:
            continue
        try:
            scripts = json.loads(file.read_text("utf-8", errors="replace"))["result"]
            if all(_is_sound(script) for script in scripts):
                yield scripts
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue


def _is_sound(script: Mapping[str, Any]) -> bool:
    """Raises TypeError, KeyError or ValueError for what is misshapen."""
    spans = [span for function in script["functions"] for span in function["ranges"]]
    numbers = [int(span[name]) for span in spans for name in ("startOffset", "endOffset", "count")]
    return isinstance(script["url"], str) and all(number >= 0 for number in numbers)


def _path(script: Mapping[str, Any], place: Path) -> str:
    """The path of a script, in the repository where it is of that."""
    return unquote(script["url"]).removeprefix("file://").removeprefix(f"{place}/")


def _scripts(
    scripts: Iterable[Mapping[str, Any]], place: Path, texts: Mapping[str, str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Those of the program, with their paths."""
    for script in scripts:
        path = _path(script, place)
        if path in texts and path.endswith((".js", ".cjs", ".mjs")) and not is_test_file(path):
            yield path, script


def _script_lines(text: str, found: Sequence[Mapping[str, Any]]) -> tuple[set[int], set[int]]:
    """The lines (from 1) in which functions begin that ran, and those that ran."""
    begun, counted = _line_counts(text, found)
    return begun, {number for number, count in enumerate(counted, 1) if count}


def _line_counts(text: str, found: Sequence[Mapping[str, Any]]) -> tuple[set[int], list[int]]:
    """The lines in which functions begin that ran, and how often each line ran. V8 counts UTF-16 units."""
    starts, at = [], 0
    for line in text.split("\n"):
        starts.append(at + len(line) - len(line.lstrip()))
        at += len(line.encode("utf-16-le", "surrogatepass")) // 2 + 1
    ranges = []
    begun = set()
    for function in found:
        spans = [(int(r["startOffset"]), int(r["endOffset"]), int(r["count"])) for r in function["ranges"]]
        ranges += spans
        if spans and spans[0][2] and (function["functionName"] or spans[0][0] > 0 or spans[0][1] < at - 1):
            begun.add(bisect_right(starts, spans[0][0]) or 1)
    counted = [0] * len(starts)
    for start, end, count in sorted(ranges, key=lambda span: span[0] - span[1]):  # inner ones say more
        first, last = bisect_left(starts, start), bisect_left(starts, end)
        counted[first:last] = [count] * (last - first)
    return begun, counted


def _go(root: Path, texts: Mapping[str, str], modules: Mapping[str, str]) -> Iterator[tuple[set[str], Ran]]:
    """What the profile of a run of Go's failing tests says."""
    profile = root / _PROFILE
    if profile.is_symlink() or not profile.is_file() or profile.stat().st_size > _MAX_BYTES:
        return
    by_file: dict[str, set[int]] = {}
    for block in _BLOCK.finditer(profile.read_text("utf-8", errors="replace")):
        if int(block["count"]):
            for module, folder in modules.items():
                if block["path"].startswith(f"{module}/"):
                    path = f"{folder}/{block['path'][len(module) + 1 :]}".lstrip("/")
                    by_file.setdefault(path, set()).update(range(int(block["first"]), int(block["last"]) + 1))
    ran: Ran = (set(), set())
    for path, numbers in by_file.items():
        if path in texts:
            _add(ran, path, texts[path], (numbers, numbers))
    if ran[0]:
        yield set(), ran


def _add(ran: Ran, path: str, text: str, found: tuple[Iterable[int], Iterable[int]]) -> None:
    """Note the functions of a file that contain lines in which something ran, and the lines of those."""
    begun, lines = map(set, found)
    for function in functions(path, text):
        inside = set(range(function.first, function.last + 1))
        if inside & begun:
            ran[0].add((path, function.first))
            ran[1].update((path, line) for line in inside & lines)
