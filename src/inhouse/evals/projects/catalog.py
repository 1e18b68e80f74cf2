"""Which projects are measured: names, exact versions, checksums, and how the tests of each are run. Fetches nothing.

The projects of an ecosystem, in the order of their names, belong to the two halves in turn; so the halves are settled
before anything is measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from inhouse.errors import ParameterError

Ecosystem = Literal["pypi", "npm", "debian"]  # Debian: sources of Go packages
Runner = Literal["pytest", "unittest", "tap", "go"]
Half = Literal["dev", "held-out"]
HALVES: tuple[Half, ...] = get_args(Half)


@dataclass(frozen=True)
class Project:
    """One project. `file` is what the registry calls its archive, `sha256` the archive's.

    `requirements` are installed beside the project, pinned by the catalogue's lock (PyPI) or by themselves (npm);
    `suite` is the command line that runs its tests, which print as `runner` does, and "" the usual one of the runner;
    `test` is given to `inhouse fix` as --test, "" where it has to find the command itself.
    `folder` is the part of the archive that is the project.
    """

    name: str
    ecosystem: Ecosystem
    version: str
    file: str
    sha256: str
    runner: Runner
    half: Half
    requirements: tuple[str, ...] = ()
    suite: str = ""
    test: str = ""
    folder: str = ""
    program: tuple[str, ...] = ()  # the folders or files that hold the program; all where none is named


def load_catalog(path: Path) -> list[Project]:
    """The projects of a catalogue (JSON). Raises ParameterError where it is no such file."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return _with_halves([_stated(entry) for entry in data["projects"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path} is no catalogue of projects ({error!r}); see benchmarks/README.md") from error


def select(projects: Sequence[Project], half: str | None, names: Sequence[str]) -> list[Project]:
    """The projects of a half (None: of both), or those named. Raises ParameterError for an unknown name."""
    if names:
        known = {project.name: project for project in projects}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ParameterError(f"no project is called {unknown[0]!r}; there are {', '.join(sorted(known))}")
        return [known[name] for name in names]
    return [project for project in projects if half in (None, project.half)]


def _stated(entry: dict[str, Any]) -> dict[str, Any]:
    lists: dict[str, Any] = {key: tuple(entry[key]) for key in ("requirements", "program") if key in entry}
    for key, allowed in (("ecosystem", get_args(Ecosystem)), ("runner", get_args(Runner))):
        if entry[key] not in allowed:
            raise ValueError(f"{entry['name']}: {key} is {entry[key]!r}, not one of {', '.join(allowed)}")
    return {**entry, **lists}


def _with_halves(entries: Sequence[dict[str, Any]]) -> list[Project]:
    found = []
    for ecosystem in get_args(Ecosystem):
        ordered = sorted((one for one in entries if one["ecosystem"] == ecosystem), key=lambda one: str(one["name"]))
        found += [Project(**one, half=HALVES[index % len(HALVES)]) for index, one in enumerate(ordered)]
    return found
