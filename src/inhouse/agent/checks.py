"""What can be said of a new text at once, before any test: does it parse, does the project's linter object."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from inhouse.agent.desk import Check
from inhouse.workspace import Runner
from inhouse.workspace.source import syntax_error
from inhouse.workspace.symbols import broken_line

_MOST = 10  # diagnostics shown


def project_checks(runner: Runner, root: Path) -> Sequence[Check]:
    """The checks for a repository: syntax, and ruff where the project has settings for it and it is installed."""
    ruff = _ruff(root)
    return (syntax_check,) if ruff is None else (syntax_check, partial(_lint, runner, str(ruff)))


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


def _ruff(root: Path) -> Path | None:
    settings = any((root / name).is_file() for name in ("ruff.toml", ".ruff.toml"))
    project = root / "pyproject.toml"
    if not settings and not (project.is_file() and "[tool.ruff" in project.read_text("utf-8", errors="replace")):
        return None
    own = [root / name / "bin" / "ruff" for name in (".venv", "venv")]
    found = next((path for path in own if path.is_file()), None) or shutil.which("ruff", path="/usr/local/bin:/usr/bin")
    return Path(found) if found else None


def _lint(runner: Runner, ruff: str, path: str, old: str | None, new: str) -> str:
    """What ruff says of the file as it is now; nothing of a text that does not parse."""
    if not path.endswith((".py", ".pyi")) or syntax_error(new):
        return ""
    command = [ruff, "check", "--no-cache", "--quiet", "--output-format=concise", "--", path]
    result = runner.run(command, timeout=20)
    if result.exit_code != 1:
        return ""
    lines = [line for line in result.output.splitlines() if line.startswith(path)]
    more = [f"... and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return "\n".join(["[ruff says]", *lines[:_MOST], *more]) if lines else ""
