"""What recorded tests say, as failures like those that are read from a runner's output. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from itertools import takewhile

from inhouse.workspace.files import is_test_file
from inhouse.workspace.testing.outcomes import Ended, Frame, Outcomes, Raised
from inhouse.workspace.testing.report import Failure, FailureKind, Place, parsed_failure, shortened

_PLACE_OF_SYNTAX = "<syntax>"
_NO_TEXT = ("builtins", "_pytest.outcomes", "inhouse_outcome_recorder", "")
_TRACED = re.compile(r'^ *File "(?P<path>[^"\n]+)", line (?P<line>\d+)', re.MULTILINE)


def failures_of(tests: Mapping[str, Ended], known: Container[str], place: str) -> tuple[Failure, ...]:
    """The failing tests. `known` are the repository's files, `place` is where the run saw it."""
    return tuple(_failure(test, known, place) for test in tests.values() if test.outcome == "failed")


def died(outcomes: Outcomes, why: str, *, hung: bool) -> dict[str, Ended]:
    """The tests whose process died in them, as failures. `why` says of what; `hung`: they were ended for their time."""
    frames = tuple(reversed(outcomes.stack))
    fault = outcomes.fault or why
    exception = "TimeLimitExceeded" if hung else "ProcessDied"
    raised = Raised(exception, "", fault, frames, "call")
    return {id: Ended(id, "failed", None, raised) for id in outcomes.unended}


def _failure(test: Ended, known: Container[str], place: str) -> Failure:
    raised = test.raised
    inner = test.id.split("::")[1:]
    name = inner[-1].split("[")[0] if inner else test.id.rpartition(".")[2] if "/" not in test.id else ""
    if raised is None or not raised.exception:
        return parsed_failure(test.id, name, raised.message if raised else "", (), collecting=not inner)
    if test.id.startswith("unittest.loader._FailedTest."):
        return _not_imported(test, raised, known, place)
    places = tuple(dict.fromkeys(Place(frame.path, frame.line) for frame in raised.frames if frame.path in known))
    own = [frame for frame in raised.frames if frame.path in known and not is_test_file(frame.path)]
    innermost = own[-1] if own else None
    if innermost is not None and innermost.name == _PLACE_OF_SYNTAX:
        innermost = Frame(innermost.path, innermost.line, "")
    return Failure(
        test.id, name, _message(raised, innermost), places, _kind(raised), raised.exception, innermost, raised
    )  # fmt: skip


def _kind(raised: Raised) -> FailureKind:
    if raised.exception == "TimeLimitExceeded":
        return "timeout"
    if raised.exception == "ProcessDied":
        return "crash"
    if raised.exception in ("FixtureLookupError", "FixtureLookupErrorRepr"):
        return "fixture"
    if raised.phase == "collect":
        return "collection"
    return "assertion" if raised.exception in ("AssertionError", "Failed") else "exception"


def _message(raised: Raised, innermost: Frame | None) -> str:
    lines = raised.message.strip("\n").splitlines()
    # The values stand before pytest's full diff of them, which says the same once more at length.
    lines = list(takewhile(lambda line: not line.strip().startswith("Full diff"), lines))
    while lines and not lines[-1].strip():
        lines.pop()
    first = lines[0] if lines else ""
    if raised.exception in ("TimeLimitExceeded", "ProcessDied"):
        where = (
            f", at {innermost.path}:{innermost.line} in {innermost.name}" if innermost and ", at " not in first else ""
        )
        return shortened([f"{first}{where}", *lines[1:]])
    if raised.exception in ("AssertionError", "FixtureLookupError", "") and first.startswith(("assert ", "fixture ")):
        return shortened(lines)
    name = raised.exception if raised.module in _NO_TEXT else f"{raised.module}.{raised.exception}"
    if not name:
        return shortened(lines)
    if first:
        return shortened([f"{name}: {first}", *lines[1:]])
    return f"{name} at `{raised.source}`" if raised.source else name


def _not_imported(test: Ended, raised: Raised, known: Container[str], place: str) -> Failure:
    """unittest puts the whole traceback of a module that cannot be imported into one message."""
    frames = [
        (match["path"].removeprefix(f"{place}/"), int(match["line"])) for match in _TRACED.finditer(raised.message)
    ]
    places = tuple(dict.fromkeys(Place(path, line) for path, line in frames if path in known))
    last = raised.message.strip().splitlines()[-1:]
    failure = parsed_failure(test.id, test.id.rpartition(".")[2], "\n".join(last), places, collecting=True)
    missing = re.search(r"No module named '([^']+)'", failure.message)
    inner = Raised(
        failure.exception, "", failure.message, tuple(Frame(path, line, "") for path, line in frames), "collect",
        missing[1] if missing else "",
    )  # fmt: skip
    return Failure(
        failure.id, failure.name, failure.message, places, "collection", failure.exception, failure.innermost, inner
    )  # fmt: skip
