"""Virtual environments that belong to a repository but lie elsewhere: those of Poetry, Pipenv and Hatch.

Each tool derives the folder's name from the repository's path. Nothing that the repository says decides.
Sources: poetry `EnvManager.generate_env_name`, pipenv `Project.virtualenv_name` and its `.project` file, hatch
`VirtualEnvironment.__init__`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from inhouse.workspace.confinement.interpreters import is_python

_POETRY = (".cache/pypoetry/virtualenvs", "Library/Caches/pypoetry/virtualenvs")
_PIPENV = (".local/share/virtualenvs", ".virtualenvs")
_HATCH = (".local/share/hatch/env/virtual", "Library/Application Support/hatch/env/virtual")


def project_environments(repository: Path, home: Path) -> list[Path]:
    """The interpreters of a repository's environments, in the order Poetry, Pipenv, Hatch; the newest first of each."""
    found: list[Path] = []
    for kind in (_poetry(repository, home), _pipenv(repository, home), _hatch(repository, home)):
        found += sorted((path for path in kind if is_python(path)), key=lambda path: -path.stat().st_mtime)
    return [path / "bin" / "python" for path in found]


def _poetry(repository: Path, home: Path) -> Iterator[Path]:
    mark = _hash(os.path.normcase(repository))
    for place in _POETRY:
        yield from (home / place).glob(f"*-{mark}-py*")


def _pipenv(repository: Path, home: Path) -> Iterator[Path]:
    for place in _PIPENV:
        for note in (home / place).glob("*/.project"):
            try:
                project = Path(note.read_text(errors="replace").strip())
            except OSError:
                continue
            if project == repository:
                yield note.parent


def _hatch(repository: Path, home: Path) -> Iterator[Path]:
    mark = _hash(str(repository))
    for place in _HATCH:
        yield from (home / place).glob(f"*/{mark}/*")


def _hash(text: str) -> str:
    """The first eight letters of SHA-256 in URL-safe base 64."""
    return base64.urlsafe_b64encode(hashlib.sha256(os.fsencode(text)).digest()).decode()[:8]
