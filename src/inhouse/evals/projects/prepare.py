"""Makes a project ready as its developer would have it: unpacked, with its environment, its tests run clean, twice.

Archives come from the ecosystem's registry through its own client, by exact version, and count only with the checksum
of the catalogue. What was prepared stays in the cache folder; a copy of it is an ordinary git repository.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from inhouse.errors import DownloadError, WorkspaceError
from inhouse.evals.projects.catalog import Project
from inhouse.evals.projects.suites import SCRATCH, Outcome, python, run_suite
from inhouse.workspace.git import git

_INSTALL_SECONDS = 900
_IDENTITY = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@localhost")
# What a project's own .gitignore would name; not every archive has one.
_IGNORED = (".venv/", "node_modules/", "__pycache__/", "*.egg-info/", ".pytest_cache/", f"{SCRATCH}/")
_PUBLISHED_BEFORE = "2026-11-01"  # packages that the named npm packages need: the newest of that day
_RELOCATED_SUFFIXES = (".pth", ".py", ".cfg", ".json")


@dataclass(frozen=True)
class Prepared:
    """A project that is ready in `root`: its tests as they end without any change."""

    project: Project
    root: Path
    clean: Outcome
    flaky: tuple[str, ...]  # tests that did not end alike in two runs; they decide nothing


@contextmanager
def exclusive(project: Project, cache: Path) -> Iterator[None]:
    """While this lasts, no other process prepares the project in this cache, or puts faults into it."""
    folder = cache / "projects"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{_folder_name(project)}.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def prepare(project: Project, cache: Path, lock: Path) -> Prepared:
    """The project, ready under `cache`; made where it is not there yet.

    `lock` pins what Python projects need, with checksums. Raises DownloadError where an archive is not the one that the
    catalogue names, WorkspaceError where an installation fails or the tests do not pass.
    """
    place = cache.resolve() / "projects" / _folder_name(project)
    root, state = place / "repository", place / "prepared.json"
    key = _key(project, lock)
    if state.is_file():
        kept = json.loads(state.read_text(encoding="utf-8"))
        if kept["key"] == key and root.is_dir():
            clean = Outcome(frozenset(kept["passed"]), {}, kept["seconds"])
            return Prepared(project, root, clean, tuple(kept["flaky"]))
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    archive = fetch(project, cache.resolve() / "archives")
    unpack(project, archive, root)
    _install(project, root, lock.resolve())
    clean, flaky = _clean(project, root)
    kept = {"key": key, "passed": sorted(clean.passed), "seconds": clean.seconds, "flaky": flaky}
    state.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return Prepared(project, root, clean, flaky)


def _folder_name(project: Project) -> str:
    return project.name.replace("/", "+").lstrip("@")


def _key(project: Project, lock: Path) -> str:
    """What a prepared project depends on; the half that it is in is none of it, and the lock's comments neither."""
    pins = _pins(lock, project.requirements) if _is_python(project) else ""
    stated = {**asdict(project), "half": "", "pins": [line for line in pins.splitlines() if "#" not in line]}
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def fetch(project: Project, folder: Path) -> Path:
    """The project's archive in `folder`, its checksum compared."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / project.file
    if not target.is_file():
        if project.ecosystem == "pypi":
            wanted = folder / f"{project.name}.requirement"
            wanted.write_text(f"{project.name}=={project.version} --hash=sha256:{project.sha256}\n", encoding="utf-8")
            options = ("--no-deps", "--no-binary", project.name, "--require-hashes", "-r", str(wanted))
            _run([sys.executable, "-m", "pip", "download", "-q", "-d", str(folder), *options], folder)
        elif project.ecosystem == "npm":
            _run(["npm", "pack", "--silent", f"{project.name}@{project.version}"], folder)
        else:
            package = project.file.partition("_")[0]
            _run(["apt-get", "download", "-q", f"{package}={project.version}"], folder)
    if not target.is_file():
        raise DownloadError(f"{project.name} {project.version}: the registry gave no {project.file}; see {folder}")
    found = hashlib.sha256(target.read_bytes()).hexdigest()
    if found != project.sha256:
        raise DownloadError(
            f"{target}: its SHA-256 is {found}, not {project.sha256} as the catalogue says; delete it and try again"
        )
    return target


def extract(tar: tarfile.TarFile, folder: Path) -> None:
    """Everything in an archive, nothing outside of `folder`. Raises WorkspaceError for an archive that would."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
        return
    for member in tar:  # Python before 3.11.4, Debian 12's among them
        plain = member.isfile() or member.isdir()
        if not plain or not (folder / member.name).resolve().is_relative_to(folder.resolve()):
            raise WorkspaceError(f"{member.name!r} of an archive is not unpacked: no plain file within its folder")
        tar.extract(member, folder)


def unpack(project: Project, archive: Path, root: Path) -> None:
    """The project's part of an archive, at `root`."""
    inner = root.parent / "unpacked"
    inner.mkdir()
    if archive.suffix == ".deb":
        _run(["dpkg-deb", "-x", str(archive), str(inner)], inner)
    elif archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            zipped.extractall(inner)
    else:
        with tarfile.open(archive) as tar:
            extract(tar, inner)
    if project.folder:
        top = inner / project.folder
    else:
        top = next(path for path in sorted(inner.iterdir()) if path.is_dir())
    shutil.move(top, root)
    shutil.rmtree(inner)


def copy(prepared: Prepared, root: Path, files: dict[str, str]) -> None:
    """The project at `root`, a repository of one commit with `files` changed."""
    old = prepared.root
    shutil.copytree(old, root, symlinks=True)
    for path, text in files.items():
        (root / path).write_bytes(text.encode("utf-8"))
    _relocate(root, str(old), str(root))
    commit(root)


def commit(root: Path) -> None:
    """Make a folder a repository with one commit of all that is no environment."""
    git(root, "init", "--quiet")
    (root / ".git" / "info").mkdir(exist_ok=True)
    (root / ".git" / "info" / "exclude").write_text("\n".join(_IGNORED) + "\n", encoding="utf-8")
    git(root, "add", "--all")
    git(root, *_IDENTITY, "commit", "--quiet", "--no-verify", "-m", "The project as it is")


def _relocate(root: Path, old: str, new: str) -> None:
    """Environments name the folder that they were made in; put the new one there."""
    environment = root / ".venv"
    if not environment.is_dir():
        return
    candidates = [*(environment / "bin").iterdir(), environment / "pyvenv.cfg"]
    for packages in environment.glob("lib/python3*/site-packages"):
        candidates += [path for path in packages.iterdir() if path.suffix in _RELOCATED_SUFFIXES]
        candidates += packages.glob("*.dist-info/direct_url.json")
    for path in candidates:
        if path.is_symlink() or not path.is_file():
            continue
        data = path.read_bytes()
        if old.encode() in data:
            path.write_bytes(data.replace(old.encode(), new.encode()))


def _install(project: Project, root: Path, lock: Path) -> None:
    if _is_python(project):
        _run([python(), "-m", "venv", "--without-pip", ".venv"], root)
        ours = [sys.executable, "-m", "pip", "--python", ".venv/bin/python"]  # several times faster than one for each
        pip = [*ours, "install", "-q", "--no-warn-script-location"]
        if project.requirements:
            pinned = root.parent / "requirements.txt"
            pinned.write_text(_pins(lock, project.requirements), encoding="utf-8")
            _run([*pip, "--require-hashes", "-r", str(pinned)], root)
        constraints = root.parent / "build.txt"  # of build tools; pip takes no checksums for an editable project
        constraints.write_text(_names_alone(lock), encoding="utf-8")
        _run([*pip, "--no-deps", "-e", "."], root, {"PIP_CONSTRAINT": str(constraints)})
    elif project.ecosystem == "npm":
        _install_modules(project, root)
    elif project.runner == "go" and not (root / "go.mod").is_file():
        _run(["go", "mod", "init", project.folder.partition("/src/")[2] or project.name], root)


def _install_modules(project: Project, root: Path) -> None:
    """`node_modules` with what the program and its tests need, not all that its developers have (linters, browsers)."""
    stated = json.loads((root / "package.json").read_text(encoding="utf-8")).get("dependencies", {})
    wanted = dict(requirement.rsplit("@", 1) for requirement in project.requirements)
    place = root.parent / "modules"
    place.mkdir()
    (place / "package.json").write_text(json.dumps({"dependencies": {**stated, **wanted}}), encoding="utf-8")
    options = ("--no-audit", "--no-fund", "--ignore-scripts", f"--before={_PUBLISHED_BEFORE}")
    _run(["npm", "install", *options], place)
    shutil.move(place / "node_modules", root / "node_modules")
    shutil.rmtree(place)


def _is_python(project: Project) -> bool:
    return project.ecosystem == "pypi"


def _pins(lock: Path, names: tuple[str, ...]) -> str:
    """The lock's entries of these packages, and of those that they need (which the lock says with "via")."""
    entries = _entries(lock)
    wanted, todo = {}, list(names)
    while todo:
        name = todo.pop()
        if name in wanted:
            continue
        if name not in entries:
            raise DownloadError(
                f"{lock}: {name} is not pinned there; add it to the .in file beside it and make the lock"
            )
        wanted[name] = entries[name]
        todo += [other for other, text in entries.items() if _is_needed_by(text, name)]
    return "".join(wanted[name] for name in sorted(wanted))


def _is_needed_by(entry: str, name: str) -> bool:
    return re.search(rf"^ +# +(?:via )?{re.escape(name)}$", entry, re.MULTILINE) is not None


def _entries(lock: Path) -> dict[str, str]:
    """A lock's text by package: the pin, its checksums, and the comment that says who needs it."""
    found: dict[str, str] = {}
    name = ""
    for line in lock.read_text(encoding="utf-8").splitlines(keepends=True):
        if line[:1].isalnum():
            name = line.partition("==")[0].strip()
        if name:
            found[name] = found.get(name, "") + line
    return found


def _names_alone(lock: Path) -> str:
    lines = lock.read_text(encoding="utf-8").splitlines()
    return "".join(f"{line.split()[0]}\n" for line in lines if line[:1].isalnum())


def _clean(project: Project, root: Path) -> tuple[Outcome, tuple[str, ...]]:
    """The outcome of two runs, the first with the user's rights: tests that passed in both, and those that did not."""
    first, second = run_suite(project, root, confined=False), run_suite(project, root)
    for run in (first, second):
        if not run.clean:
            shown = "; ".join(sorted(run.failed)[:5]) or run.stopped or run.output.strip()[-600:]
            raise WorkspaceError(f"{project.name} {project.version}: its tests do not pass as released: {shown}")
    both = first.passed & second.passed
    flaky = tuple(sorted((first.passed | second.passed) - both))
    return Outcome(both, {}, max(first.seconds, second.seconds)), flaky


def _run(command: list[str], folder: Path, variables: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **(variables or {})},
        capture_output=True, text=True, errors="replace", timeout=_INSTALL_SECONDS, check=False,
    )  # fmt: skip
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-1500:]
        raise WorkspaceError(f"{' '.join(command[:6])} … in {folder} failed:\n{said}")
