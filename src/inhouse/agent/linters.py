"""What the project's own linters say of an edited file: ruff, eslint and gofmt, in the sandbox. Asks no model.

Each looks at one file alone, and only where the project shows that it uses it. Whatever must read or compile all that a
file depends on is not here, for an edit would wait for it: `cargo check` and `go vet` build a crate or package with its
dependencies, mypy and pyright follow every import. The agent runs those as commands, when it thinks it is done.
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.workspace import Runner, Sandbox
from inhouse.workspace.lines import line_number
from inhouse.workspace.source import syntax_error

_MOST = 10  # findings shown
_SECONDS = 20.0
_LARGEST = 100_000  # bytes of an earlier text: it travels as an argument, of which Linux takes 128 KiB
_OUTPUT = 8 << 20  # bytes: eslint repeats the file's text in its output
_SYSTEM = "/usr/local/bin:/usr/bin:/usr/local/go/bin:/usr/lib/go/bin"
_ESLINT_SETTINGS = ("eslint.config.*", ".eslintrc", ".eslintrc.*")


@dataclass(frozen=True)
class Finding:
    """`line` is 0 where it is about the whole file."""

    line: int
    text: str


@dataclass(frozen=True)
class Linter:
    """`program` finds it where a project uses it; `command` reads a file's text from its input; `read` its output."""

    name: str
    suffixes: tuple[str, ...]
    program: Callable[[Path], Path | None]
    command: Callable[[str], Sequence[str]]
    read: Callable[[str], list[Finding]]


class Lint:
    """A check by one linter, of what an edit brought: not of what was wrong before. Silent once it took too long."""

    def __init__(self, linter: Linter, program: Path, runner: Sandbox) -> None:
        self._linter = linter
        self._program = program
        self._runner = runner
        self._slow = False

    def __call__(self, path: str, old: str | None, new: str) -> str:
        python = path.endswith((".py", ".pyi"))
        if self._slow or not path.endswith(self._linter.suffixes) or (python and syntax_error(new)):
            return ""
        found = self._findings(path, 'exec "$@" < "$0" 2>/dev/null', path)
        if found and old is not None and len(old.encode()) <= _LARGEST:
            before = self._findings(path, 'printf %s "$0" | "$@" 2>/dev/null', old)
            found = _added(path, before, old, found, new)
        places = ((line_number(path, new, one.line) if one.line else 0, one.text) for one in found[:_MOST])
        lines = [f"{path}:{line}: {text}" if line else f"{path}: {text}" for line, text in places]
        more = [f"... and {len(found) - _MOST} more"] if len(found) > _MOST else []
        return "\n".join([f"[{self._linter.name} says]", *lines, *more]) if lines else ""

    def _findings(self, path: str, shell: str, text: str) -> list[Finding]:
        """What it says of a text, which `shell` feeds it from "$0"."""
        command = ["sh", "-c", shell, text, str(self._program), *self._linter.command(path)]
        limits = replace(self._runner.limits, output=_OUTPUT)
        result = self._runner.run(command, timeout=_SECONDS, limits=limits)
        self._slow = self._slow or result.timed_out
        return self._linter.read(result.output) if result.stopped is None and result.exit_code in (0, 1) else []


def project_linters(runner: Runner, root: Path) -> list[Lint]:
    """Those that the project uses. None without a sandbox: their settings are programs, and nobody was asked."""
    if not isinstance(runner, Sandbox):
        return []
    found = ((linter, linter.program(root)) for linter in LINTERS)
    return [Lint(linter, program, runner) for linter, program in found if program is not None]


def _added(path: str, before: list[Finding], old: str, after: list[Finding], new: str) -> list[Finding]:
    """The findings of `new` that `old` did not have, wherever they stood: alike are the same words of the same line."""
    known = Counter(map(_seen_in(path, old), before))
    key = _seen_in(path, new)
    added = []
    for finding in after:
        if known[key(finding)]:
            known[key(finding)] -= 1
        else:
            added.append(finding)
    return added


def _seen_in(path: str, text: str) -> Callable[[Finding], tuple[str, str]]:
    lines = ["", *text.split("\n")]
    return lambda finding: (finding.text, lines[line_number(path, text, finding.line)].strip() if finding.line else "")


def _ruff(root: Path) -> Path | None:
    settings = any((root / name).is_file() for name in ("ruff.toml", ".ruff.toml"))
    if not settings and "[tool.ruff" not in _text(root / "pyproject.toml"):
        return None
    own = (root / name / "bin" / "ruff" for name in (".venv", "venv"))
    return next((path for path in own if path.is_file()), None) or _installed("ruff")


def _eslint(root: Path) -> Path | None:
    settings = any(next(root.glob(pattern), None) for pattern in _ESLINT_SETTINGS)
    if not settings and '"eslintConfig"' not in _text(root / "package.json"):
        return None
    program = root / "node_modules" / ".bin" / "eslint"
    return program if program.is_file() else None


def _gofmt(root: Path) -> Path | None:
    return _installed("gofmt") if (root / "go.mod").is_file() else None


def _text(path: Path) -> str:
    return path.read_text("utf-8", errors="replace") if path.is_file() else ""


def _installed(name: str) -> Path | None:
    found = shutil.which(name, path=_SYSTEM)
    return Path(found) if found else None


def _concise(output: str) -> list[Finding]:
    """Lines such as `a.py:3:1: F401 [*] ...`."""
    places = re.finditer(r"^\S.*?:(\d+):(?:\d+:)? (.+)$", output, re.MULTILINE)
    return [Finding(int(place[1]), place[2]) for place in places]


def _eslint_json(output: str) -> list[Finding]:
    """ESLint's own form, the only one that all its versions bring; what has no line is about its settings."""
    try:
        messages = [one for file in json.loads(output) for one in file["messages"] if "line" in one]
        return [Finding(one["line"], f"{one['message']} ({one.get('ruleId') or 'eslint'})") for one in messages]
    except (ValueError, KeyError, TypeError):
        return []


def _unformatted(output: str) -> list[Finding]:
    return [Finding(0, "not formatted as gofmt does it")] if output.strip() else []


LINTERS = (
    Linter(
        "ruff", (".py", ".pyi"), _ruff,
        lambda path: ("check", "--no-cache", "--quiet", "--output-format=concise", "--stdin-filename", path, "-"),
        _concise,
    ),
    Linter(
        "eslint", (".js", ".jsx", ".mjs", ".cjs", ".ts", ".tsx", ".mts", ".cts", ".vue", ".svelte"), _eslint,
        lambda path: ("--format", "json", "--stdin", "--stdin-filename", path), _eslint_json,
    ),
    Linter("gofmt", (".go",), _gofmt, lambda path: ("-l",), _unformatted),
)  # fmt: skip
