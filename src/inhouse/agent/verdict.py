"""What a turn amounts to once it has ended: what changed, what shows that it works, in one line. Runs nothing."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from inhouse.agent.guards import Evidence, Run
from inhouse.agent.weakening import weakened
from inhouse.workspace.files import decides_tests, is_test_file

# verified: a passing run followed the last change; nothing_to_verify: no file, or documentation alone, had to change;
# unverified: nothing shows that it works; failing: the last test run failed; stopped: a limit or a guard ended it.
Status = Literal["verified", "nothing_to_verify", "unverified", "failing", "stopped", "cancelled"]

_DOCUMENTS = frozenset({"md", "rst", "txt", "adoc", "markdown"})
_DOCUMENT_NAMES = frozenset(
    {"readme", "license", "licence", "changelog", "authors", "contributing", "notice", "copying"}
)
_NAMED = 3


@dataclass(frozen=True)
class Survey:
    """The files that differ since the user last spoke. `weakened` says what was taken away from the tests."""

    changed: tuple[str, ...] = ()
    only: Literal["", "documentation", "tests", "documentation and tests"] = ""
    weakened: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """`statement` is for people, and true; what it says in prose is in the other fields as data."""

    status: Status
    statement: str
    only: str = ""
    weakened: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()  # since the last change


def survey(texts: Mapping[str, tuple[str, str]]) -> Survey:
    """`texts`: of each changed file, the text before and after ("" where there is none)."""
    kinds = {_kind(path, *both) for path, both in texts.items()}
    only: Literal["", "documentation", "tests", "documentation and tests"] = ""
    if kinds == {"documentation"}:
        only = "documentation"
    elif kinds == {"tests"}:
        only = "tests"
    elif kinds == {"documentation", "tests"}:
        only = "documentation and tests"
    tests = {path: both for path, both in texts.items() if decides_tests(path)}
    plain = [path for path in tests if not is_test_file(path) or PurePosixPath(path).name == "conftest.py"]
    return Survey(tuple(texts), only, tuple(weakened(tests, configuration=plain)))


def challenge(evidence: Evidence, found: Survey) -> str:
    """What is to be said, once, against ending now; "" when there is nothing to say."""
    if evidence.challenged or not evidence.changed:
        return ""
    said = []
    if _is_elsewhere(evidence, found):
        said.append(
            f"Only {found.only} changed ({_names(found.changed)}), and the task asks for a change of the program. "
            "Change the code that is at fault, and verify it; if the program is right as it is, finish and say why."
        )
    elif found.only != "documentation":
        said.append(evidence.unverified())
    if found.weakened and not evidence.tests_may_change:
        said.append(
            f"Your change weakens tests, which the user did not ask for: {'; '.join(found.weakened[:5])}. Put them "
            "back as they were and change the program instead; if a test is wrong, finish and say which, and why."
        )
    return " ".join(part for part in [*said, evidence.reproduction.challenge()] if part)


def verdict(evidence: Evidence, found: Survey, reason: str) -> Verdict:
    """How a turn that ended for `reason` is to be called."""
    weak = found.weakened if not evidence.tests_may_change else ()
    parts = [_changed(evidence, found)]
    if (evidence.changed and found.only != "documentation") or evidence.code_wanted:
        parts.append(_shown(evidence))
    if weak:
        more = f" and {len(weak) - _NAMED} more" if len(weak) > _NAMED else ""
        parts.append(f"tests were weakened ({'; '.join(weak[:_NAMED])}{more})")
    status = _status(evidence, found, reason, weak=bool(weak))
    return Verdict(status, "; ".join(parts), found.only, weak, tuple(evidence.runs))


def _status(evidence: Evidence, found: Survey, reason: str, *, weak: bool) -> Status:
    if reason == "cancelled":
        return "cancelled"
    if reason not in ("finished", "answered"):
        return "stopped"
    last = evidence.runs[-1] if evidence.runs else None
    if not evidence.code_wanted and (not found.changed or found.only == "documentation") and not weak:
        return "nothing_to_verify"
    if last is not None and evidence.passed is False:
        return "failing"
    if last is None or not last.ok or weak or _is_elsewhere(evidence, found):
        return "unverified"
    return "verified" if found.changed else "nothing_to_verify"


def _is_elsewhere(evidence: Evidence, found: Survey) -> bool:
    """Whether what changed is not what the task asks for."""
    wanted = evidence.tests_wanted and found.only == "tests"
    return bool(found.only) and evidence.code_wanted and not wanted


def _changed(evidence: Evidence, found: Survey) -> str:
    if not found.changed:
        return "nothing was changed"
    if _is_elsewhere(evidence, found):
        return f"only {found.only} changed ({_names(found.changed)})"
    return f"changed {_names(found.changed)}"


def _shown(evidence: Evidence) -> str:
    """What runs have shown, in words."""
    since = "after the last change" if evidence.changed else "in this turn"
    if not evidence.runs:
        return f"nothing was run {since}"
    last = evidence.runs[-1]
    if evidence.passed is False:
        failing = f" ({_names(evidence.failing)})" if evidence.failing else ""
        return f"the last test run failed{failing}"
    named = f"`{last.command}`" if last.command else "the tests"
    if last.tests:
        return f"{named} passed {since}"
    code = "" if last.exit_code is None else f" with exit code {last.exit_code}"
    return f"{named} ended{code} {since}" if last.ok else f"{named} failed{code} {since}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _kind(path: str, old: str, new: str) -> str:
    name = PurePosixPath(path).name.lower()
    stem, _, suffix = name.rpartition(".")
    if is_test_file(path):
        return "tests"
    listed = name.startswith(("requirements", "constraints", "cmakelists"))
    if (suffix in _DOCUMENTS and not listed) or (stem or name) in _DOCUMENT_NAMES:
        return "documentation"
    return "documentation" if suffix == "py" and old and new and _same_program(old, new) else "program"


def _same_program(old: str, new: str) -> bool:
    """Whether two texts of a Python file differ in comments and docstrings alone."""
    try:
        return _without_docstrings(old) == _without_docstrings(new)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _without_docstrings(text: str) -> str:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                del node.body[0]
    return ast.dump(tree)
