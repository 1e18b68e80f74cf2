"""A command that runs a repository's tests, and the one for its Python tests. Runs nothing, knows no models."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from inhouse.errors import WorkspaceError
from inhouse.workspace.files import is_test_file
from inhouse.workspace.testing.selecting import selected

TestKind = Literal["pytest", "unittest", "other"]

# Verbose, so that comparisons are shown in full.
_PYTEST_OPTIONS = ("-vv", "--no-header", "--color=no", "--tb=short", "-p", "no:cacheprovider")


@dataclass(frozen=True)
class TestCommand:
    """A command that tells by its exit code whether the tests pass.

    `argv` is a shell line (the user's own) or an argument list (found by us). `script` is what it runs in the end where
    it is a package manager's, `via` the command that runs just that where `argv` runs it by another script.
    """

    __test__ = False  # not a test itself, whatever pytest thinks of the name

    argv: str | tuple[str, ...]
    kind: TestKind
    script: str = ""
    via: tuple[str, ...] = ()

    def only(self, tests: Sequence[str]) -> TestCommand | None:
        """The command for these tests alone; None when a single test cannot be asked for."""
        if self.kind == "other":
            argv = selected(self.via or self.argv, self.script, tests)
            return replace(self, argv=argv) if argv is not None else None
        if isinstance(self.argv, str) or not tests:
            return None
        if self.kind == "pytest":
            return TestCommand((*self.argv, *tests), self.kind)
        if "-s" in self.argv:  # its tests are named relative to another folder
            return None
        return TestCommand((*self.argv[:3], *tests), self.kind)

    def __str__(self) -> str:
        return self.argv if isinstance(self.argv, str) else shlex.join(self.argv)


def given_command(line: str) -> TestCommand:
    """The user's own command. Its kind tells how its output will be read."""
    words = line.split()
    if not words:
        raise WorkspaceError("the test command is empty; give one with --test, such as --test 'python -m pytest'")
    if any(Path(word).name in ("pytest", "py.test") for word in words):
        return TestCommand(line, "pytest")
    return TestCommand(line, "unittest" if "unittest" in words else "other")


def python_tests(paths: Iterable[str]) -> list[str]:
    """The modules of Python tests among a repository's files."""
    return [path for path in paths if path.endswith(".py") and is_test_file(path) and _is_test_module(path)]


def python_command(
    paths: Iterable[str], read: Callable[[str], str], python: str, *, has_pytest: bool
) -> TestCommand | None:
    """The command for the Python tests among `paths`; None when there are none, or pytest is needed and missing."""
    known = frozenset(paths)
    tests = python_tests(known)
    if not tests:
        return None
    if has_pytest:
        return TestCommand((python, "-m", "pytest", *_PYTEST_OPTIONS), "pytest")
    if not any(re.search(r"^\s*(import|from) unittest\b", read(path), re.MULTILINE) for path in tests):
        return None
    # Discovery enters packages only: start it in the folder of the tests when that folder is not one.
    folders = {path.rpartition("/")[0] for path in tests}
    start = os.path.commonpath(folders) if folders and "" not in folders else ""
    plain = start and f"{start}/__init__.py" not in known
    where = ("-s", start, "-t", start) if plain else ()
    return TestCommand((python, "-m", "unittest", "discover", *where, "-p", "*test*.py"), "unittest")


def _is_test_module(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name != "conftest.py" and name != "__init__.py" and "test" in name
