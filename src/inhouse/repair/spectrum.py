"""Spectrum-based fault localisation: scores of functions and lines by the tests that run them.

Ochiai's coefficient (Abreu, Zoeteweij, van Gemund 2006): how many of the failing tests run a place, against how many
tests run it at all. Knows no source texts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from inhouse.workspace.testing.calls import Calls
from inhouse.workspace.testing.report import Failure

Position = tuple[str, int]  # path, line


@dataclass(frozen=True)
class Spectrum:
    """Scores in 0..1 of the functions (by path and first line) and lines that a failing test runs."""

    functions: Mapping[Position, float] = field(default_factory=dict)
    lines: Mapping[Position, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.functions)

    def of_lines(self, path: str, first: int, last: int) -> dict[int, float]:
        """The lines first..last of a file that a failing test runs, in order, with their scores."""
        scored = ((line, self.lines.get((path, line))) for line in range(first, last + 1))
        return {line: score for line, score in scored if score is not None}


def spectrum(calls: Calls, failures: Sequence[Failure]) -> Spectrum:
    """Empty where none of the failing tests was recorded."""
    names = {(failure.id.split("::")[0], failure.name) for failure in failures}
    bare = {failure.name for failure in failures if "::" not in failure.id}
    failing = {
        test
        for test in calls.covered
        if tuple(test.rsplit("::", 1)) in names or test.rpartition("::")[2] in bare
    }  # fmt: skip
    functions, lines = _ochiai(calls.covered, failing), _ochiai(calls.lines, failing)
    if calls.shares:
        functions = {place: calls.shares.get(place, 0.0) for place in functions}
        lines = {place: calls.shares.get(place, 0.0) for place in lines}
    return Spectrum(functions, lines)


def _ochiai(ran: Mapping[str, frozenset[Position]], failing: set[str]) -> dict[Position, float]:
    in_failing = Counter(place for test in failing for place in ran.get(test, ()))
    total = Counter(place for places in ran.values() for place in places if place in in_failing)
    count = sum(test in ran for test in failing)
    return {place: failed / math.sqrt(count * total[place]) for place, failed in in_failing.items()}
