"""How commands run in a repository: confined or not, with the user's own programs, and with which Python.

The one place where a sandbox for a user's repository is put together, for repairs on a copy and for the agent in the
repository itself. Knows nothing of tests or models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from inhouse.workspace.commands import Runner
from inhouse.workspace.confinement import Sandbox, Unconfined, python_paths
from inhouse.workspace.listing import is_environment
from inhouse.workspace.testing.detection import Probe
from inhouse.workspace.toolchains import Toolchains

_HAS_PYTEST = "import importlib.util; print('pytest:', importlib.util.find_spec('pytest') is not None)"
_PROBE_SECONDS = 60.0  # on a busy machine
_OWN = (".venv", "venv", "env", ".env")  # names that a project's virtual environment has


def project_python(repository: Path) -> Path | None:
    """The interpreter of the virtual environment that lies in a repository; None where there is none."""
    found = (repository / name / "bin" / "python" for name in _OWN)
    return next((path for path in found if path.exists()), None)


def candidates(toolchains: Toolchains, *folders: Path) -> list[Path]:
    """Pythons that might run a project's tests, the most likely first; the one that runs us comes last.

    `folders` are where its virtual environment may lie: the project's, and that of the repository which it is part of.
    """
    own = [python for folder in folders if (python := project_python(folder))]
    last = [toolchains.own_python] if toolchains.own_python else []
    return list(dict.fromkeys([*own, *toolchains.pythons, *last]))


def open_runner(
    root: Path,
    repository: Path,
    toolchains: Toolchains,
    python: Path | None,
    *,
    sandboxed: bool,
    readable: Sequence[Path] = (),
    mounts: Mapping[Path, Path] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Sandbox | Unconfined:
    """How commands run in `root`, which is `repository` or a copy of it that is seen in its place.

    `python` is put first in PATH unless PATH leads to it anyway. `readable` is what commands need to read besides,
    `mounts` what of the repository is shown in the copy, at the paths where it is seen.
    """
    path = list(toolchains.path)
    variables = {**toolchains.variables, **(environment or {})}
    if python is not None and python.parent not in path and python != toolchains.own_python:
        path.insert(0, python.parent)
        if is_environment(python.parent.parent):
            variables["VIRTUAL_ENV"] = str(python.parent.parent)
    if not sandboxed:
        return Unconfined(root, path, variables)
    variables = {**toolchains.offline, **variables}
    own = [folder for folder in (*(mounts or {}), *sorted(repository.iterdir())) if is_environment(folder)]
    pythons = [*([python] if python else []), *(folder / "bin" / "python" for folder in own)]
    bases = dict.fromkeys(base for one in pythons for base in _bases(one, repository, toolchains))
    return Sandbox(
        root, repository if root != repository else None, tuple(readable), (*toolchains.readable, *bases),
        toolchains.writable, mounts or {}, path, variables, disposable=root != repository,
    )  # fmt: skip


def prober(runner: Runner) -> Probe:
    """What can be run where the tests will run; each question is asked once."""

    @cache
    def has_pytest(python: Path) -> bool | None:
        said = runner.run([str(python), "-c", _HAS_PYTEST], timeout=_PROBE_SECONDS).output.split()
        return said[-1] == "True" if said[-2:-1] == ["pytest:"] else None

    @cache
    def has_program(name: str) -> bool:
        return runner.run(["/bin/sh", "-c", 'command -v "$0"', name], timeout=_PROBE_SECONDS).ok

    return Probe(has_pytest, has_program)


def _bases(python: Path, repository: Path, toolchains: Toolchains) -> Iterator[Path]:
    """What an interpreter needs outside of the repository, unless commands see it already."""
    if any(not base.is_relative_to(repository) for base in python_paths(python)):
        yield from (path for path in toolchains.showing(python) if not path.is_relative_to(repository))
