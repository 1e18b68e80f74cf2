"""Where the fault may be: ranks functions and other pieces of the program by all evidence at hand. Asks no model.

Evidence, the strongest first: the line of the program that raised the exception; lines that failing tests run and
passing ones do not (Ochiai's coefficient); other frames of tracebacks; what the problem's text names; what the failing
test names. Functions that no failing test runs are left out where it is known which ones run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from inhouse.repair.spectrum import spectrum
from inhouse.workspace import source
from inhouse.workspace.code.functions import declared, find, is_understood, syntax_error, test_lines
from inhouse.workspace.code.functions import functions as functions_in
from inhouse.workspace.source import Function
from inhouse.workspace.testing.calls import Call, Calls
from inhouse.workspace.testing.report import Failure, Place

MAX_SUSPECTS = 12
_BESIDE_FOLDERS = frozenset({"tools", "scripts", "docs", "doc", "examples", "benchmarks", "bench", "ci", ".github"})
_BESIDE = 0.25  # of its score is left to what lies beside the program
_WINDOW = 40  # lines of a piece of a file that is not Python
_RAISED = 1.5  # more than all other evidence of one kind
_IMPORTED = 0.2  # of a function whose file the failing test's imports, where it is not known what ran
_NO_ATTRIBUTE = re.compile(r"'(\w+)' object has no attribute ")
_MAKERS = ("__init__", "__new__", "__post_init__")  # where an object's attributes are set
_NEIGHBOURS = 3  # steps along the call graph where no calls were recorded
_WORD = re.compile(r"[A-Za-z][a-z]+|[A-Z]+(?![a-z])")
_COMMON = frozenset(["the", "and", "that", "for", "with", "not", "are", "from", "this", "get", "set", "when"])


@dataclass(frozen=True)
class Suspect:
    """A piece of the program that may hold the fault: a whole function, or lines first..last (from 1) of a file."""

    path: str
    name: str
    kind: Literal["function", "lines"]
    first: int
    last: int
    score: float
    calls: tuple[Call, ...] = ()  # its calls during the failing tests
    lines: tuple[int, ...] = ()  # those that failing tests ran, the likeliest first; empty where that is unknown
    raised: int | None = None  # the line of it that an exception came out of

    @property
    def label(self) -> str:
        return f"{self.path}::{self.name}"


@dataclass(frozen=True)
class Evidence:
    """All that ranking looks at. `texts`: the program's files (no tests); `test_texts`: the failing tests' sources."""

    problem: str
    failures: Sequence[Failure]
    texts: Mapping[str, str]
    test_texts: Sequence[str]
    calls: Calls
    imported: frozenset[str] = frozenset()  # files that the failing tests' files import, where that is known


def suspects(evidence: Evidence) -> list[Suspect]:
    """The likeliest places of the fault, at most MAX_SUSPECTS. Empty when nothing points anywhere."""
    functions = [f for path, text in evidence.texts.items() for f in functions_in(path, text)]
    ranked = _functions(evidence, functions)
    ranked += _statements(evidence, functions, ranked)
    ranked += _pieces(evidence, functions)
    if not ranked:  # of a language whose calls cannot be recorded: what the words are about
        said = "\n".join([evidence.problem, *(failure.message for failure in evidence.failures), *evidence.test_texts])
        ranked = described(said, {path: text for path, text in evidence.texts.items() if not path.endswith(".py")})
    ranked = [replace(s, score=_BESIDE * s.score) if _is_beside(s.path) else s for s in ranked]
    ranked.sort(key=lambda suspect: -suspect.score)
    return ranked[:MAX_SUSPECTS]


def _is_beside(path: str) -> bool:
    """Whether a file lies beside the program: scripts and examples, which tests may run as well."""
    return bool(_BESIDE_FOLDERS.intersection(path.split("/")[:-1])) or path in ("setup.py", "conftest.py")


def described(problem: str, texts: Mapping[str, str]) -> list[Suspect]:
    """The functions that a problem's text is about, where no test fails: those it names, then by shared words.

    A word weighs the more the fewer functions have it (inverse document frequency), and twice in a function's name.
    """
    found = [f for path, text in texts.items() for f in functions_in(path, text)]
    names = [_words(f"{f.name} {f.path.rpartition('.')[0]}") for f in found]
    words = [name | _words(f.text(texts[f.path])) for f, name in zip(found, names, strict=True)]
    wanted = _words(problem)
    counts = {word: sum(word in all_of for all_of in words) for word in wanted}
    ranked = []
    for function, name, all_of in zip(found, names, words, strict=True):
        weights = {word: math.log(1 + len(found) / counts[word]) for word in wanted & all_of}
        score = sum(weight * (2 if word in name else 1) for word, weight in weights.items()) / math.sqrt(
            5 + len(all_of)
        )
        if re.search(rf"\b{re.escape(function.short_name)}\b", problem):
            score += 2.0
        if score > 0 and not function.short_name.startswith("__"):
            ranked.append(Suspect(function.path, function.name, "function", function.first, function.last, score))
    return sorted(ranked, key=lambda suspect: -suspect.score)[:MAX_SUSPECTS]


def _functions(evidence: Evidence, functions: list[Function]) -> list[Suspect]:
    ran = spectrum(evidence.calls, evidence.failures)
    near = {} if ran else _near_tests(evidence.test_texts, functions)
    raised = _raised_at(evidence)
    tested = {name for text in evidence.test_texts for name in _names(text)}
    problem, unset = _words(evidence.problem), _lacking(evidence)
    found, inner = [], _inner_lines(functions)
    for function in functions:
        place = (function.path, function.first)
        own = inner.get(function, frozenset())
        lines = ran.of_lines(function.path, function.first + 1, function.last)
        lines = {line: score for line, score in lines.items() if line not in own}
        if own and ran and not lines:
            continue
        evident = max(lines.values(), default=ran.functions.get(place, 0.0)) + near.get(place, 0.0)
        evident += _in_traceback(function, evidence.failures, raised)
        evident += _IMPORTED if not ran and function.path in evidence.imported else 0.0
        named = 1.0 if re.search(rf"\b{re.escape(function.short_name)}\b", evidence.problem) else 0.0
        if not evident and (ran or not named):
            continue
        shared = len(problem & (_words(function.name) | _words(function.path.rpartition("/")[2].partition(".")[0])))
        score = evident + 0.4 * named + 0.1 * min(shared, 3) + 0.1 * (function.short_name in tested)
        score += 1.0 if function.short_name in _MAKERS and _class_of(function) in unset else 0.0
        score += 0.02 * min(function.last - function.first, 10)  # short functions hold few faults
        calls = tuple(c for made in evidence.calls.calls.values() for c in made if (c.path, c.line) == place)
        within = range(function.first, function.last + 1)
        first = [place.line for place in raised if place.path == function.path and place.line in within]
        ordered = tuple(sorted(lines, key=lambda line: (line not in first, -lines[line], line)))
        found.append(
            Suspect(
                function.path, function.name, "function", function.first, function.last, score, calls, ordered,
                min(first, default=None),
            )
        )  # fmt: skip
    return found


def _inner_lines(functions: Sequence[Function]) -> dict[Function, frozenset[int]]:
    """Of functions that hold others, the lines that are those others'."""
    found: dict[Function, frozenset[int]] = {}
    around: list[Function] = []
    for function in sorted(functions, key=lambda one: (one.path, one.first, -one.last)):
        while around and (around[-1].path != function.path or around[-1].last < function.last):
            around.pop()
        for outer in around:
            found[outer] = found.get(outer, frozenset()) | set(range(function.first, function.last + 1))
        around.append(function)
    return found


def _lacking(evidence: Evidence) -> frozenset[str]:
    """The classes whose objects are said to lack an attribute, and those that they are derived from."""
    found = {match[1] for failure in evidence.failures if (match := _NO_ATTRIBUTE.search(failure.message))}
    if not found:
        return frozenset()
    bases: dict[str, set[str]] = {}
    for path, text in evidence.texts.items():
        for name, of in source.class_bases(text) if path.endswith(".py") else ():
            bases.setdefault(name, set()).update(of)
    frontier = set(found)
    while frontier := {base for name in frontier for base in bases.get(name, ())} - found:
        found |= frontier
    return frozenset(found)


def _class_of(function: Function) -> str:
    return (function.owner or "").rpartition(".")[2]


def _raised_at(evidence: Evidence) -> frozenset[Place]:
    """The innermost lines of the program that exceptions came out of; of an assertion in the test there is none."""
    innermost = (
        next((place for place in reversed(failure.places) if place.path in evidence.texts), None)
        for failure in evidence.failures
    )
    return frozenset(place for place in innermost if place is not None)


def _in_traceback(function: Function, failures: Sequence[Failure], raised: frozenset[Place]) -> float:
    """1.5 for the function that an exception came out of, 0.5 for one with a frame further out."""
    own = [place for place in raised if place.path == function.path and function.first <= place.line <= function.last]
    if own:
        return _RAISED
    places = (place for failure in failures for place in failure.places if place.path == function.path)
    return 0.5 if any(function.first <= place.line <= function.last for place in places) else 0.0


def _near_tests(test_texts: Sequence[str], functions: list[Function]) -> dict[tuple[str, int], float]:
    """By the call graph, as far as names tell: 0.6 for what the failing tests name, less for each step further."""
    by_name: dict[str, list[Function]] = {}
    for function in functions:
        by_name.setdefault(function.short_name, []).append(function)
        if function.owner and function.short_name in ("__init__", "__post_init__"):
            by_name.setdefault(function.owner, []).append(function)
    scores: dict[tuple[str, int], float] = {}
    frontier = {name for text in test_texts for name in _names(text)}
    for step in range(_NEIGHBOURS):
        reached = [f for name in sorted(frontier) for f in by_name.get(name, ()) if (f.path, f.first) not in scores]
        for function in reached:
            scores[function.path, function.first] = 0.6 / (1 + step)
        frontier = {name for function in reached for name in function.mentions}
    return scores


def _statements(evidence: Evidence, functions: list[Function], ranked: list[Suspect]) -> list[Suspect]:
    """Module-level statements (constants, tables, patterns) that suspected functions use, at half their score."""
    scores = {(suspect.path, suspect.first): suspect.score for suspect in ranked}
    found = []
    for path in sorted({suspect.path for suspect in ranked}):
        for names, first, last in declared(path, evidence.texts[path]):
            users = [
                scores.get((f.path, f.first), 0.0)
                for f in functions
                if f.path == path and f.mentions.intersection(names)
            ]
            if max(users, default=0.0) > 0:
                found.append(Suspect(path, names[0], "lines", first, last, 0.5 * max(users)))
    return found


def _pieces(evidence: Evidence, functions: list[Function]) -> list[Suspect]:
    """Pieces of what is in no function: around lines that failures name, or by shared words.

    Of files in which no functions can be told, and, in other languages than Python, of what stands outside of them.
    """
    unread = {p for p, t in evidence.texts.items() if not is_understood(p) or syntax_error(p, t) is not None}
    texts = {p: t for p, t in evidence.texts.items() if p in unread or not p.endswith(".py")}
    inside = {(f.path, line) for f in functions if f.path not in unread for line in range(f.first, f.last + 1)}
    for path, text in texts.items():  # a patch that changes a test would repair nothing
        inside |= {(path, line) for first, last in test_lines(path, text) for line in range(first, last + 1)}
    named = [
        place
        for failure in evidence.failures
        for place in failure.places
        if place.path in texts and (place.path, place.line) not in inside
    ]
    found = {}
    for index, place in enumerate(dict.fromkeys(reversed(named))):
        piece = _piece(texts[place.path], place, 1.0 / (1 + index))
        found[piece.path, piece.first] = piece
    said = _words(evidence.problem) | {word for failure in evidence.failures for word in _words(failure.message)}
    if not found and not functions:
        for path, text in texts.items():
            lines = text.split("\n")
            for first in range(1, len(lines) + 1, _WINDOW // 2):
                words = _words("\n".join(lines[first - 1 : first - 1 + _WINDOW]) + " " + path)
                score = len(words & said) / math.sqrt(1 + len(words))
                if score:
                    found[path, first] = _piece(text, Place(path, first + _WINDOW // 2), score)
    return list(found.values())


def _piece(text: str, place: Place, score: float) -> Suspect:
    count = text.count("\n") + (not text.endswith("\n"))
    first = max(1, min(place.line - _WINDOW // 2, count - _WINDOW + 1))
    last = min(count, first + _WINDOW - 1)
    return Suspect(place.path, f"lines {first}-{last}", "lines", first, last, score)


def shifted(suspect: Suspect, text: str) -> Suspect | None:
    """The suspect in a changed text of its file; None when it is no longer there."""
    if suspect.kind == "lines":
        count = text.count("\n") + 1
        return suspect if suspect.last <= count else None
    match = find(suspect.path, text, suspect.name, suspect.first)
    return replace(suspect, first=match.first, last=match.last) if match else None


def _names(text: str) -> frozenset[str]:
    tree = source.parse(text)
    return source.mentioned(tree) if tree else frozenset(re.findall(r"\w+", text))


def _words(text: str) -> frozenset[str]:
    """The words of a text or of identifiers in it, without their endings as far as a plural goes."""
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(word.removesuffix("s") for word in words if word not in _COMMON and len(word) > 2)
