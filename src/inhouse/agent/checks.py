"""What can be said of a new text at once, before any test: does it parse, do the project's linters object."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path

from inhouse.agent.desk import Check
from inhouse.agent.linters import project_linters
from inhouse.workspace import Runner
from inhouse.workspace.source import syntax_error
from inhouse.workspace.symbols import broken_line


def project_checks(runner: Runner, root: Path) -> Sequence[Check]:
    """The checks for a repository: syntax, and the linters that it uses."""
    return (syntax_check, *project_linters(runner, root))


def syntax_check(path: str, old: str | None, new: str) -> str:
    """A syntax error of a Python, JSON or TOML text, also one that was there before; of other languages a new one."""
    problem = None
    if path.endswith((".py", ".pyi")):
        problem = syntax_error(new)
    elif path.endswith((".json", ".toml")):
        try:
            json.loads(new) if path.endswith(".json") else tomllib.loads(new)
        except (ValueError, RecursionError) as error:
            problem = str(error)
    else:
        return _broken(path, old, new)
    if not problem:
        return ""
    was = " (it had one before, too)" if old is not None and syntax_check(path, None, old) else ""
    return f"[syntax error in {path}: {problem}{was}; correct it now]"


def _broken(path: str, old: str | None, new: str) -> str:
    """The same of another language, where a grammar finds a place that it did not find before: it may be wrong."""
    line = broken_line(path, new.encode())
    if line is None or (old is not None and broken_line(path, old.encode()) is not None):
        return ""
    return f"[{path} does not parse any more; look at line {line} and what comes before it]"
