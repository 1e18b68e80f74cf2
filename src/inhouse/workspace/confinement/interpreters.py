"""Which directories a Python interpreter needs to start. Runs nothing."""

from __future__ import annotations

import os
import re
from pathlib import Path


def python_paths(executable: Path) -> tuple[Path, ...]:
    """The directories that a Python interpreter needs to start: its virtual environment and its base installation.

    Found by following the links of `executable` and what environments say of their base (`home` in pyvenv.cfg, for one
    that holds a copy of the interpreter), never by running it: it may be part of an untrusted repository. Directories
    that are no installation of Python are never among them.
    """
    found: list[Path] = []
    hop = executable.absolute()
    for _ in range(16):
        prefix = hop.parent.parent
        if is_python(prefix):
            found += [prefix, *_stated_base(prefix)]
        if not hop.is_symlink():
            break
        hop = Path(os.path.normpath(hop.parent / os.readlink(hop)))
    return tuple(dict.fromkeys(path for path in found if not path.is_relative_to("/usr")))


def _stated_base(environment: Path) -> list[Path]:
    """The installation that a virtual environment says it was made by (PEP 405)."""
    try:
        text = (environment / "pyvenv.cfg").read_text("utf-8", errors="replace")
    except OSError:
        return []
    stated = re.search(r"^home\s*=\s*(/.*?)/bin\s*$", text, re.MULTILINE)
    return [Path(stated[1])] if stated and is_python(Path(stated[1])) else []


def is_python(prefix: Path) -> bool:
    """Whether a directory is a virtual environment or an installation of Python."""
    return (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*/os.py"))
