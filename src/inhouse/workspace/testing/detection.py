"""Which command runs a repository's tests, where the user names none: Python, Node, Rust and Go. Knows no models."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace.testing.command import TestCommand, python_command, python_tests

_ECHO_NOTHING = "no test specified"  # what `npm init` writes as test script
_LOCKS = (("pnpm-lock.yaml", "pnpm"), ("yarn.lock", "yarn"), ("bun.lock", "bun"), ("bun.lockb", "bun"))
_RUN_TESTS = {"npm": ("npm", "test", "--silent"), "bun": ("bun", "run", "test")}  # others: NAME test

_MANAGERS = ("npm", "pnpm", "yarn", "bun")
_NESTED = 5  # scripts that run another one, at most


@dataclass(frozen=True)
class Probe:
    """What can be found out by running something where the tests will run.

    `has_pytest`: whether an interpreter has pytest, None where it does not start. `has_program`: whether a program is
    there by its name.
    """

    has_pytest: Callable[[Path], bool | None]
    has_program: Callable[[str], bool]


@dataclass(frozen=True)
class Detected:
    """The command, the Python that it uses (None: none), and what the user is to know of the choice."""

    command: TestCommand
    python: Path | None = None
    notice: str = ""


def detect(
    paths: Iterable[str],
    read: Callable[[str], str],
    pythons: Sequence[Path],
    probe: Probe,
    *,
    stand_in: Path | None = None,
) -> Detected:
    """How the tests among a repository's files are run; `read` gives a file's text, "" where it has none.

    `pythons` come in order of preference; `stand_in` is the one among them that is not the user's but our own. Raises
    WorkspaceError where no tests are found, or none that can be run, saying why.
    """
    known = frozenset(paths)
    if python_tests(known):
        if found := _python(known, read, pythons, probe, stand_in):
            return found
        if (other := _other(known, read, probe)) is not None:
            return Detected(other)
        raise WorkspaceError(_why_no_python(pythons, probe, stand_in))
    if (other := _other(known, read, probe)) is not None:
        return Detected(other)
    raise WorkspaceError(
        "no tests that can be run were found (pytest, unittest, npm, cargo, go); "
        "give their command with --test, such as --test 'make check'"
    )


def _python(
    known: frozenset[str], read: Callable[[str], str], pythons: Sequence[Path], probe: Probe, stand_in: Path | None
) -> Detected | None:
    for python in pythons:
        has_pytest = probe.has_pytest(python)
        if has_pytest is None:
            continue
        command = python_command(known, read, str(python), has_pytest=has_pytest)
        if command is not None:
            return Detected(command, python, _notice(python, pythons, probe, stand_in))
    return None


def _notice(python: Path, pythons: Sequence[Path], probe: Probe, stand_in: Path | None) -> str:
    """Why not the first choice, but `python` runs the project's tests; "" where it is the first."""
    first, who = pythons[0], "Inhouse's own" if python == stand_in else str(python)
    if python != first:
        lacks = "does not start where commands run" if probe.has_pytest(first) is None else "has no pytest"
        return f"the project's Python ({first}) {lacks}; {who} runs the tests"
    return f"there is no Python on PATH; {who} runs the tests" if python == stand_in else ""


def _why_no_python(pythons: Sequence[Path], probe: Probe, stand_in: Path | None) -> str:
    theirs = [python for python in pythons if python != stand_in]
    if not theirs:
        return "there are Python tests, but no Python on PATH; install python3, or give the command of the tests"
    if all(probe.has_pytest(python) is None for python in theirs):
        return (
            f"there are Python tests, but {theirs[0]} does not start where commands run; try it in a shell, show its "
            "folder with --allow-read, or give the command of the tests with --test"
        )
    return (
        f"the tests need pytest, and {' and '.join(map(str, theirs[:2]))} has none; install it "
        f"({theirs[0]} -m pip install pytest), or give the command of the tests with --test"
    )


def with_script(command: TestCommand, read: Callable[[str], str]) -> TestCommand:
    """A user's command of a package manager with the script that it runs; any other as it is."""
    words = command.argv.split() if isinstance(command.argv, str) else list(command.argv)
    if command.kind != "other" or "".join(words[:1]) not in _MANAGERS:
        return command
    called = [word for word in words[1:] if not word.startswith("-") and word not in ("run", "run-script")]
    name = "test" if called[:1] == ["t"] else "".join(called[:1])
    return _resolved(command, name, read("package.json"))


def _resolved(command: TestCommand, name: str, text: str) -> TestCommand:
    """A command that runs a script of package.json, with what comes of it where scripts only run another one."""
    script, via = _script(text, name), command.via
    for _ in range(_NESTED):
        words = script.split()
        if "".join(words[:1]) not in _MANAGERS:
            break
        called = [word for word in words[1:] if word not in ("run", "run-script", "-s", "--silent")]
        if len(called) != 1 or not (inner := _script(text, called[0])):
            break
        script, via = inner, (words[0], "run", called[0])
    return replace(command, script=script, via=via)


def _other(known: frozenset[str], read: Callable[[str], str], probe: Probe) -> TestCommand | None:
    """The command of another language than Python."""
    if "package.json" in known and _has_test_script(read("package.json")):
        manager = _package_manager(known, read("package.json"))
        if not probe.has_program(manager):
            manager = "npm"  # which runs the script of the same name
        command = TestCommand(_RUN_TESTS.get(manager, (manager, "test")), "other")
        return _resolved(command, "test", read("package.json"))
    if "Cargo.toml" in known:
        return TestCommand(("cargo", "test", "--offline", "--no-fail-fast"), "other")
    if "go.mod" in known:
        return TestCommand(("go", "test", "-v", "./..."), "other")
    return None


def _package_manager(known: frozenset[str], text: str) -> str:
    """npm, pnpm, yarn or bun: what package.json says, or what the lock file is of."""
    stated = str(_fields(text).get("packageManager", "")).partition("@")[0]
    if stated in ("npm", "pnpm", "yarn", "bun"):
        return stated
    return next((manager for lock, manager in _LOCKS if lock in known), "npm")


def _has_test_script(text: str) -> bool:
    script = _test_script(text)
    return bool(script) and _ECHO_NOTHING not in script


def _test_script(text: str) -> str:
    return _script(text, "test")


def _script(text: str, name: str) -> str:
    """A script of package.json; "" where it has none of that name."""
    scripts = _fields(text).get("scripts")
    script = scripts.get(name) if isinstance(scripts, dict) else None
    return str(script or "")


def _fields(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
