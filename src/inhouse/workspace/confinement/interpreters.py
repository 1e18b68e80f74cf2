"""Which directories a Python interpreter needs to start. Runs nothing."""

from __future__ import annotations

import os
from pathlib import Path


def python_paths(executable: Path) -> tuple[Path, ...]:
    """The directories that a Python interpreter needs to start: its virtual environment and its base installation.

    Found by following the links of `executable`, never by running it: it may be part of an untrusted repository.
    """
    found: list[Path] = []
    hop = executable.absolute()
    for _ in range(16):
        prefix = hop.parent.parent
        if is_python(prefix):
            found.append(prefix)
        if not hop.is_symlink():
            break
        hop = Path(os.path.normpath(hop.parent / os.readlink(hop)))
    return tuple(dict.fromkeys(path for path in found if not path.is_relative_to("/usr")))


def is_python(prefix: Path) -> bool:
    """Whether a directory is a virtual environment or an installation of Python."""
    return (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*/os.py"))
