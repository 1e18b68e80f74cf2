"""Which installations commands may see, which PATH they get, and which Pythons could run a project's tests.

The order of the user's PATH is kept, so that a program's name means the same program. In front of a folder of shims
come the folders of the programs that its shims run for this repository. Of the home directory commands see what
`managers` names and what PATH leads to, less what `credentials` denies.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.workspace.confinement.credentials import holds_home, is_denied, visible
from inhouse.workspace.confinement.interpreters import is_python, python_paths
from inhouse.workspace.toolchains import managers, shims
from inhouse.workspace.toolchains.environments import project_environments
from inhouse.workspace.toolchains.user import PLACES, VERSIONS, UserEnvironment

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/nix/store", "/gnu/store")  # which every command sees
_ASKED = ("python3", "python", "node", "ruby", "go", "java")
_SHARED = (".local", ".config", ".cache", ".local/share", "Library")  # folders below home that many programs share
_INSTALLATION = ("pyvenv.cfg", "conda-meta", "lib", "lib64", "libexec", "include", "share", "release", "VERSION")
_ENTRIES = 2000  # of one folder of programs that are looked at
_VERSION_NAME = re.compile(r"[\w.+:@-]{1,80}")


@dataclass(frozen=True)
class Toolchains:
    """`path` is PATH for commands, `readable` what they may read besides the system and the workspace.

    `variables` are what programs need to find their parts, `offline` what keeps them from asking a network that is not
    there. `pythons` might run tests, the most likely first, without those of the repository's own folders; `own_python`
    is the one that runs this program.
    """

    path: tuple[Path, ...] = ()
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    offline: Mapping[str, str] = field(default_factory=dict)
    pythons: tuple[Path, ...] = ()
    own_python: Path | None = None
    home: Path = Path("/nonexistent")

    @property
    def stand_in(self) -> Path | None:
        """Our own Python, where it is none of the user's: what it runs is to be said."""
        theirs = {os.path.realpath(python) for python in self.pythons}
        own = self.own_python
        return own if own is not None and os.path.realpath(own) not in theirs else None

    def showing(self, python: Path) -> tuple[Path, ...]:
        """What commands must read besides for an interpreter to start: nothing, where PATH or a manager leads to it."""
        return visible((path for path in python_paths(python) if not _covered(path, self.readable)), self.home)


def find_toolchains(user: UserEnvironment, repository: Path, project: Path | None = None) -> Toolchains:
    """What this user's shell would run for work in `project`, a folder of `repository` (real paths; default: all).

    Asks shims; runs nothing of the repository.
    """
    project = project or repository
    entries = [path for path in dict.fromkeys(user.path) if path.is_absolute() and path.is_dir()]
    entries = [path for path in entries if not is_denied(path, user.home)]
    foreign = [path for path in entries if not _is_system(path) and not path.is_relative_to(repository)]
    questions = {**user.variables, "PATH": os.pathsep.join(map(str, entries)), "HOME": str(user.home)}

    answers = _answers(foreign, repository, project, questions)
    folders = managers.installed(user.home, user.variables)
    for entry in foreign:
        folders += _of_entry(entry, user.home)
    for _, answer in answers.values():
        folders += [prefix for prefix in answer.prefixes if not _is_system(prefix)]
    folders += [path for name in PLACES for path in _named_installations(user.variables.get(name, ""), user.home)]
    path = tuple(_path(entries, answers))
    pythons = _pythons(user, path, list(dict.fromkeys([project, repository])))
    interpreters = [*pythons, *([user.own_python] if user.own_python else [])]
    folders += [path for one in interpreters for path in python_paths(one) if not path.is_relative_to(repository)]
    folders += user.allow_read
    readable = visible(folders, user.home)
    variables = managers.settings(user.home, user.variables) | _handed_on(user, repository, readable)
    unvendored = (project / "go.mod").is_file() and not (project / "vendor").is_dir()
    offline = {**managers.OFFLINE, **({"GOFLAGS": "-mod=mod"} if unvendored else {})}
    return Toolchains(
        path, readable, visible(user.allow_write, user.home), variables, offline,
        pythons, user.own_python, user.home,
    )  # fmt: skip


def _answers(
    foreign: Sequence[Path], repository: Path, project: Path, questions: Mapping[str, str]
) -> dict[str, tuple[Path, shims.Answer]]:
    """By the name of a program: the folder of its shim, and what that stands for. None twice for one installation."""
    answers: dict[str, tuple[Path, shims.Answer]] = {}
    for name in _ASKED:
        found = shutil.which(name, path=questions["PATH"])
        if found is None or Path(found).parent not in foreign or not shims.is_shim(Path(found)):
            continue
        known = [answer for folder, answer in answers.values() if folder == Path(found).parent]
        if any((answer.program.parent / name).exists() for answer in known):
            continue
        answer = shims.ask(Path(found), repository, project, questions)
        if answer is not None:
            answers[name] = (Path(found).parent, answer)
    return answers


def _path(entries: Sequence[Path], answers: Mapping[str, tuple[Path, shims.Answer]]) -> Iterator[Path]:
    """PATH for commands: what shims stand for comes before them."""
    seen: set[Path] = set()
    for entry in entries:
        real = [answer.program.parent for folder, answer in answers.values() if folder == entry]
        for folder in (*(path for path in real if not _is_system(path)), entry):
            if folder not in seen:
                seen.add(folder)
                yield folder


def _pythons(user: UserEnvironment, path: Sequence[Path], folders: Sequence[Path]) -> tuple[Path, ...]:
    """The project's environment elsewhere, the active one, then what PATH says."""
    found = [*user.pythons, *(python for folder in folders for python in project_environments(folder, user.home))]
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        prefix = Path(user.variables.get(name, ""))
        if prefix.is_absolute() and is_python(prefix):
            found.append(prefix / "bin" / "python")
    for name in ("python3", "python"):
        if on_path := shutil.which(name, path=os.pathsep.join(map(str, path))):
            found.append(Path(on_path))
    return tuple(path for path in dict.fromkeys(found) if os.access(path, os.X_OK))


def _of_entry(entry: Path, home: Path) -> list[Path]:
    """What a folder of PATH needs: itself, the installation it belongs to, what links and scripts in it lead to."""
    found = [entry, *_installation(entry, home)]
    real = Path(os.path.realpath(entry))
    if real != entry:
        found += [real, *_installation(real, home)]
    try:
        names = [item.name for item in sorted(os.scandir(entry), key=lambda item: item.name)[:_ENTRIES]]
    except OSError:
        return found
    for name in names:
        program = entry / name
        if program.is_symlink():
            found += _behind(program, home)
        elif interpreter := _interpreter(program):
            found += [path for path in (interpreter, *_behind(interpreter, home)) if not _is_system(path)]
    return found


def _behind(link: Path, home: Path) -> list[Path]:
    """The files that a link leads to, hop by hop, and the installations that they are programs of."""
    found: list[Path] = []
    hop = link
    for _ in range(16):
        found += [*python_paths(hop)[:1], *_installation(hop.parent, home)]
        if not hop.is_symlink():
            break
        hop = Path(os.path.normpath(hop.parent / os.readlink(hop)))
        if _is_system(hop) or not os.path.lexists(hop):
            break
        found.append(hop)
    return found


def _installation(folder: Path, home: Path) -> list[Path]:
    """The installation that a folder of programs is a part of; none where that is a folder for everything.

    Below the home directory a git working tree may be anybody's project: of that the programs are enough.
    """
    prefix = folder.parent
    if folder.name not in ("bin", "sbin", "condabin") or _is_system(prefix) or holds_home(prefix, home):
        return []
    if prefix in [home / name for name in _SHARED] or (prefix.is_relative_to(home) and (prefix / ".git").exists()):
        return []
    return [prefix] if any((prefix / name).exists() for name in _INSTALLATION) else []


def _interpreter(script: Path) -> Path | None:
    """The program that a script's first line names by its place, if that is not the system's."""
    try:
        if not script.is_file():
            return None
        with script.open("rb") as file:
            line = file.readline(512)
    except OSError:
        return None
    words = os.fsdecode(line[2:]).split() if line.startswith(b"#!") else []
    if not words or not words[0].startswith("/") or _is_system(Path(words[0])):
        return None
    return Path(words[0])


def _named_installations(value: str, home: Path) -> Iterator[Path]:
    """The installations that a variable names: JAVA_HOME, VIRTUAL_ENV, CONDA_PREFIX, GOROOT and their like."""
    for part in value.split(os.pathsep):
        folder = Path(part)
        if folder.is_absolute() and folder.is_dir() and not _is_system(folder):
            yield from _installation(folder / "bin", home)


def _handed_on(user: UserEnvironment, repository: Path, readable: Sequence[Path]) -> dict[str, str]:
    """The user's variables that name places which commands may read, and versions."""
    kept: dict[str, str] = {}
    for name in PLACES:
        parts = [Path(part) for part in user.variables.get(name, "").split(os.pathsep) if part]
        known = all(_is_system(part) or _covered(part, (*readable, repository)) for part in parts)
        if parts and known:
            kept[name] = user.variables[name]
    for name in VERSIONS:
        value = user.variables.get(name, "")
        if all(map(_VERSION_NAME.fullmatch, value.split(":"))) and not value.startswith("."):
            kept[name] = value
    return kept


def _covered(path: Path, readable: Iterable[Path]) -> bool:
    """Whether commands see something of `path`."""
    return any(path.is_relative_to(place) or place.is_relative_to(path) for place in readable)


def _is_system(path: Path) -> bool:
    return any(path.is_relative_to(place) for place in _SYSTEM)
