"""Asks a shim which program it stands for. The one place where something of the user's is run outside the sandbox.

A shim (pyenv, asdf, mise, volta, rbenv, a script of one's own) decides by what it finds in the current directory. It is
therefore run in an empty folder that holds nothing of the repository but the versions which that asks for, as plain
names: the repository may choose among the versions that are installed, never name a program. What lies inside the
repository, leads there, or speaks of it is not run.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.workspace.processes import started

_SECONDS = 20.0  # on a busy machine; pyenv answers within a tenth of a second
_SCRIPT = 1 << 16  # bytes of a shim that are searched for the repository's name
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
_VERSION_FILES = (".python-version", ".node-version", ".nvmrc", ".ruby-version", ".go-version", ".java-version")
_TOOL_VERSIONS = ".tool-versions"
_MISE = ("mise.toml", ".mise.toml")
# What makes each program say where it is; each line of the answer is a path.
_QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "python": ("-E", "-s", "-c", "import sys; print(sys.executable); print(sys.prefix); print(sys.base_prefix)"),
    "node": ("-p", "process.execPath"),
    "ruby": ("--disable-gems", "-e", "puts RbConfig.ruby"),
    "go": ("env", "GOROOT"),
    "java": ("-XshowSettings:properties", "-version"),
}
_JAVA_HOME = re.compile(r"^\s*java\.home = (.+)$", re.MULTILINE)
_QUIET = {  # a question is no reason to install anything
    "GOTOOLCHAIN": "local", "MISE_NOT_FOUND_AUTO_INSTALL": "0", "MISE_EXEC_AUTO_INSTALL": "0", "MISE_OFFLINE": "1",
    "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """The program that a shim runs, and the folders of its installation."""

    program: Path
    prefixes: tuple[Path, ...]


def stem(name: str) -> str:
    """Which question a program understands: "python3.12" is asked as "python"."""
    return re.sub(r"[\d.]+$", "", name)


def is_shim(program: Path) -> bool:
    """Whether it is a script, or a link to a program of another name: it stands for another one."""
    real = Path(os.path.realpath(program))
    with contextlib.suppress(OSError), real.open("rb") as file:
        return file.read(2) == b"#!" or not real.name.startswith(stem(program.name))
    return False


def ask(program: Path, repository: Path, project: Path, environment: Mapping[str, str]) -> Answer | None:
    """What `program` runs for work in a folder of `repository`; None where it may not be run, or gives no answer.

    `environment` holds the PATH and the variables that the shim may need.
    """
    question = _QUESTIONS.get(stem(program.name))
    if question is None or not _may_run(program, repository):
        return None
    with tempfile.TemporaryDirectory(prefix="inhouse-versions-") as name:
        folder = Path(name)
        for file, text in wanted_versions(project).items():
            (folder / file).write_text(text)
        said = _output([str(program), *question], folder, {**environment, **_QUIET})
    return _read(said, stem(program.name), repository)


def wanted_versions(project: Path) -> dict[str, str]:
    """The version files that hold for a folder, from it upwards, with nothing in them but names of versions."""
    files: dict[str, str] = {}
    tools: dict[str, str] = {}
    for folder in (project, *project.parents):
        for name in _VERSION_FILES:
            if name not in files and (words := _words(folder / name)):
                files[name] = "\n".join(words) + "\n"
        for line in _text(folder / _TOOL_VERSIONS).splitlines():
            words = line.partition("#")[0].split()
            if len(words) > 1 and all(map(_VERSION.fullmatch, words)):
                tools.setdefault(words[0], " ".join(words[1:]))
        for name in _MISE:
            for tool, version in _mise_tools(_text(folder / name)).items():
                tools.setdefault(tool, version)
    if tools:
        files[_TOOL_VERSIONS] = "".join(f"{tool} {version}\n" for tool, version in tools.items())
    return files


def _may_run(program: Path, repository: Path) -> bool:
    """Whether neither the program, nor a link on the way to it, nor a script's text has to do with the repository."""
    places = {repository, Path(os.path.realpath(repository))}
    hop = program
    for _ in range(16):
        if any(hop.is_relative_to(place) for place in places):
            return False
        if not hop.is_symlink():
            break
        hop = Path(os.path.normpath(hop.parent / os.readlink(hop)))
    real = Path(os.path.realpath(program))
    if any(real.is_relative_to(place) for place in places):
        return False
    try:
        with real.open("rb") as file:
            text = file.read(_SCRIPT)
    except OSError:
        return False
    return not (text.startswith(b"#!") and any(os.fsencode(place) in text for place in places))


def _output(argv: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> str:
    """What a command prints if it succeeds, else ""."""
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    try:
        with started(argv, cwd=cwd, env=dict(environment), **streams) as process:
            out, _ = process.communicate(timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return out.decode("utf-8", errors="surrogateescape") if process.returncode == 0 else ""


def _read(said: str, kind: str, repository: Path) -> Answer | None:
    lines = [line for line in said.splitlines() if line.startswith("/")]
    if kind == "java":
        found = _JAVA_HOME.search(said)
        lines = [found[1].strip()] if found else []
    if not lines:
        return None
    first = Path(lines[-3] if kind == "python" and len(lines) >= 3 else lines[-1])
    program = first / "bin" / kind if kind in ("go", "java") else first
    prefixes = list(map(Path, lines[-2:])) if kind == "python" else [program.parent.parent]
    if not program.exists() or program.is_relative_to(repository):
        return None
    return Answer(program, tuple(dict.fromkeys(prefixes)))


def _words(path: Path) -> list[str]:
    words = _text(path).split()
    return words if words and all(map(_VERSION.fullmatch, words)) else []


def _mise_tools(text: str) -> dict[str, str]:
    """The tools of a mise.toml that are plain names of versions."""
    try:
        tools = tomllib.loads(text).get("tools", {})
    except tomllib.TOMLDecodeError:
        return {}
    if not isinstance(tools, dict):
        return {}
    plain = {tool: version for tool, version in tools.items() if isinstance(version, str)}
    return {t: v for t, v in plain.items() if _VERSION.fullmatch(t) and _VERSION.fullmatch(v)}


def _text(path: Path) -> str:
    """A small text file's content; "" where there is none."""
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(1 << 14).decode("utf-8", errors="replace")
    return ""
