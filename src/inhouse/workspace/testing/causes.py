"""Whether a failing test fails for a reason of its own: something it needs is not there, whatever the program does.

Reads failures and the repository's files; runs nothing. What lies in the project's own code is never such a reason.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from inhouse.workspace import source
from inhouse.workspace.files import is_test_file
from inhouse.workspace.testing.outcomes import Raised
from inhouse.workspace.testing.report import Failure, places_in

_DECLARED = re.compile(
    r"(?:^|/)(?:pyproject\.toml|setup\.(?:py|cfg)|Pipfile|tox\.ini|environment\.ya?ml|.*requirements[^/]*\.(?:txt|in))$"
)
_MISSING = re.compile(r"No module named ['\"]?(?P<name>[\w.]+)")
_NAME_FROM = re.compile(
    r"cannot import name ['\"](?P<name>\w+)['\"] from (?:partially initialized module )?['\"](?P<module>[\w.]+)"
)
_RESOLUTION = re.compile(
    r"Temporary failure in name resolution|Name or service not known|nodename nor servname|Network is unreachable|"
    r"getaddrinfo (?:ENOTFOUND|EAI_AGAIN)|ENETUNREACH|\[Errno -[2-5]\]"
)
_LFS = "version https://git-lfs.github.com/spec/"
_POINTER_BYTES = 1024


OwnKind = Literal["fixture", "dependencies", "network", "usage", "file", "permission", "read_only", "command_not_found"]


@dataclass(frozen=True)
class OwnReason:
    """Why a test fails whatever the program does: of which kind, and in words that go on from the test's name."""

    kind: OwnKind
    text: str


@dataclass(frozen=True)
class Repository:
    """What must be known of a repository: its files' paths, their texts, where the tests see it, its top folders."""

    known: frozenset[str]
    read: Callable[[str], str]  # raises OSError or an InhouseError where there is no text
    place: Path
    root: Path
    problem: str = ""
    folders: frozenset[str] = field(default_factory=frozenset)

    def parses(self, path: str) -> bool:
        """Whether a file of the repository is Python for the newest version that we know."""
        try:
            return source.parse(self.read(path)) is not None
        except Exception:
            return True

    @cached_property
    def modules(self) -> frozenset[str]:
        """The names under which the repository's own modules and packages may be imported."""
        names: set[str] = set()
        for path in self.known:
            if path.endswith((".py", ".pyx", ".so", ".pyi")):
                pure = PurePosixPath(path)
                names.update(pure.parts[:-1])
                names.add(pure.name.split(".")[0])
        return frozenset(names)

    @cached_property
    def declared(self) -> str:
        """All that the repository says of what it depends on."""
        texts = []
        for path in sorted(self.known):
            if _DECLARED.search(path):
                try:
                    texts.append(self.read(path))
                except Exception:  # not text
                    continue
        return "\n".join(texts).lower().replace("_", "-")

    @cached_property
    def pointers(self) -> frozenset[str]:
        """Names of files that hold a pointer of Git LFS instead of their content."""
        found = set()
        for path in self.known:
            file = self.root / path
            try:
                if file.is_symlink() or file.stat().st_size > _POINTER_BYTES:
                    continue
                with file.open("rb") as stream:
                    if stream.read(len(_LFS)) == _LFS.encode():
                        found.add(path.rpartition("/")[2])
            except OSError:
                continue
        return frozenset(found)


def own_reason(failure: Failure, repository: Repository) -> OwnReason | None:
    """Why a test fails that no patch of the program can help; None where it may be the program's fault."""
    said, raised = failure.message, failure.raised
    if failure.kind == "fixture":
        return OwnReason("fixture", f"needs a plugin that is missing: {failure.reason}")
    if missing := _missing_module(failure, repository):
        return OwnReason("dependencies", f"needs the module {missing}, which is not installed")
    if re.search(r"not found in `markers` configuration option|Unknown pytest\.mark", said):
        return OwnReason("usage", f"has a marker that pytest's configuration does not know: {failure.reason}")
    if (raised is not None and raised.exception in ("gaierror", "herror")) or _RESOLUTION.search(said):
        return OwnReason("network", f"needs the network: {failure.reason}")
    if pointer := next((name for name in repository.pointers if name in said or _reads(failure, repository, name)), ""):
        return OwnReason("file", f"needs {pointer}, of which only Git LFS's pointer is here (git lfs pull)")
    if raised is not None and raised.errno == errno.EROFS:
        return OwnReason("read_only", f"writes outside of the repository: {failure.reason}")
    if raised is not None and raised.exception in ("PermissionError", "FileNotFoundError"):
        return _file_reason(failure, raised, repository)
    return None


def own_code(output: str, repository: Repository) -> bool:
    """Whether a run without any test ended by a fault in the project's own program, as its traceback tells."""
    if (missing := _MISSING.search(output)) and missing["name"].split(".")[0] in repository.modules:
        return True
    if (name := _NAME_FROM.search(output)) and name["module"].split(".")[0] in repository.modules:
        return True
    if missing:
        return False
    places = places_in(output, repository.place, repository.known)
    if not places:
        return False
    return not is_test_file(places[-1].path) and ("SyntaxError" not in output or not repository.parses(places[-1].path))


def _missing_module(failure: Failure, repository: Repository) -> str:
    """The module of somebody else that a failing test cannot import; empty where there is none."""
    match = _MISSING.search(failure.message)
    if match is None or failure.exception not in ("ModuleNotFoundError", "ImportError", ""):
        return ""
    name = (failure.raised.name if failure.raised is not None and failure.raised.name else match["name"]).split(".")[0]
    if name in repository.modules or re.search(rf"\b{re.escape(name)}\b", repository.problem):
        return ""
    importer = failure.innermost.path if failure.innermost is not None else ""
    if not importer:  # a test, or a module of somebody else that a test imports
        return name
    declared = re.search(rf"(?<![\w-]){re.escape(name.lower().replace('_', '-'))}(?![\w-])", repository.declared)
    return name if declared or _imported_elsewhere(name, importer, repository) else ""


def _imported_elsewhere(name: str, importer: str, repository: Repository) -> bool:
    """Whether another file of the repository imports a module too: then its name is no slip of the pen."""
    pattern = re.compile(rf"^\s*(?:import|from) {re.escape(name)}\b", re.MULTILINE)
    for path in repository.known:
        if path.endswith(".py") and path != importer:
            try:
                if pattern.search(repository.read(path)):
                    return True
            except Exception:  # not text
                continue
    return False


def _file_reason(failure: Failure, raised: Raised, repository: Repository) -> OwnReason | None:
    """A file that the test itself opens, outside of the repository, or a program that it starts."""
    filename = raised.filename
    if failure.innermost is not None or not filename:
        return None
    if raised.exception == "FileNotFoundError" and "/" not in filename:
        started = any(frame.path.endswith("subprocess.py") for frame in raised.frames)
        text = f"needs the program {filename}, which is not found"
        return OwnReason("command_not_found", text) if started else None
    if not filename.startswith("/") or filename.startswith((f"{repository.place}/", "/tmp/", "/var/tmp/")):
        return None
    if raised.exception == "PermissionError":
        return OwnReason("permission", f"has no permission for {filename}")
    return OwnReason("file", f"needs {filename}, which is not part of the repository")


def _reads(failure: Failure, repository: Repository, name: str) -> bool:
    """Whether the source of the failing test names a file."""
    for place in failure.places[:1]:
        try:
            lines = repository.read(place.path).split("\n")
        except Exception:  # not text
            continue
        return name in "\n".join(lines[max(0, place.line - 6) : place.line + 1])
    return False
