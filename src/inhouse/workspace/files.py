"""Text files of a tree, read and written without ever leaving it. Knows nothing of git, edits or Python.

Paths are relative to the root, with forward slashes. What the bytes of a text file mean is `text`'s affair.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inhouse.errors import WorkspaceError
from inhouse.workspace.protected_names import protected_part
from inhouse.workspace.text import decode

_TEST_DIRECTORIES = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__"})
_NOT_CODE = frozenset(
    {"md", "rst", "txt", "lock", "json", "csv", "svg", "html", "css", "toml", "cfg", "ini", "yml", "yaml", "ipynb"}
)
_SCRIPTS = frozenset({".js", ".cjs", ".mjs", ".jsx", ".ts", ".cts", ".mts", ".tsx"})
_SCRIPT_TEST = re.compile(r"(.*[-_.])?(test|tests|spec|specs)|test-.*")  # as npm packages name theirs
_SCRIPT_CONFIGURATION = re.compile(r"^(jest|vitest|vite|ava|karma|babel|playwright|cypress)\.(config|conf|setup)\.")
MOST_BYTES = 16 << 20  # of a file that is viewed or edited as a whole
_MAX_BYTES = 2 << 20  # of a program's file
_CHUNK = 1 << 20


@dataclass(frozen=True)
class LinePart:
    """The beginning of a line; `length` is that of the whole line, in characters."""

    text: str
    length: int


def is_test_file(path: str) -> bool:
    """Whether a path is part of the tests (by the conventions of pytest, unittest, and the JavaScript world)."""
    pure = PurePosixPath(path)
    name = pure.name.lower()
    return (
        name.startswith(("test_", "conftest."))
        or name.split(".")[0].endswith(("_test", "_tests"))
        or (pure.suffix in _SCRIPTS and bool(_SCRIPT_TEST.fullmatch(name.split(".")[0])))
        or ".test." in name
        or ".spec." in name
        or any(part.lower() in _TEST_DIRECTORIES for part in pure.parts[:-1])
    )


def decides_tests(path: str) -> bool:
    """Whether an edit of a path could change which tests run or how: the tests, and the files that configure them."""
    configuration = ("pytest.ini", ".pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml", "noxfile.py", "Makefile")
    name = PurePosixPath(path).name
    scripts = bool(_SCRIPT_CONFIGURATION.search(name)) or name.startswith(".mocharc.")
    return is_test_file(path) or scripts or name in (*configuration, "sitecustomize.py", "usercustomize.py")


def is_program_file(path: str) -> bool:
    """Whether a path is code that neither is a test nor decides which tests run, nor is protected."""
    name = PurePosixPath(path).name.lower()
    if protected_part(PurePosixPath(path).parts):
        return False
    return "." in name and name.rpartition(".")[2] not in _NOT_CODE and not decides_tests(path)


def locate(root: Path, path: str) -> Path:
    """The absolute path of a regular (or new) file of the tree. Raises WorkspaceError where a path leads out of it."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or ".git" in pure.parts:
        raise WorkspaceError(f"{path}: not a path inside the repository; use one relative to its root")
    here = root
    for part in pure.parts:
        here = here / part
        if here.is_symlink():
            raise WorkspaceError(f"{path}: {here.name} is a symbolic link; edit the file it points to by its own path")
    if here.exists() and not stat.S_ISREG(here.lstat().st_mode):
        raise WorkspaceError(f"{path}: not a regular file")
    return here


def read_text(root: Path, path: str) -> str:
    """The text of a file, line ends made "\n". Raises WorkspaceError if it is missing, not text, or over 2 MiB."""
    return decode(path, read_bytes(root, path)).text


def read_bytes(root: Path, path: str, most: int = _MAX_BYTES) -> bytes:
    """The bytes of a file of at most `most` bytes; raises like `read_text`."""
    file = locate(root, path)
    try:
        if file.stat().st_size > most:
            raise WorkspaceError(f"{path}: too large to work on ({file.stat().st_size} bytes, at most {most})")
        return file.read_bytes()
    except OSError as error:
        raise WorkspaceError(f"{path}: {error.strerror or error}; name a file of the repository") from error


def count_lines(file: Path) -> int:
    """The lines of a file of any size, by "\\n". Raises WorkspaceError for what is no text."""
    count, last = 0, b"\n"
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            if b"\0" in chunk:
                raise WorkspaceError(
                    f"{file.name}: a binary file, or UTF-16 of more than {MOST_BYTES} bytes; left alone"
                )
            count += chunk.count(b"\n")
            last = chunk[-1:]
    return count + (last != b"\n")


def read_lines(file: Path, first: int, last: int, most: int) -> list[LinePart]:
    """Lines first..last (from 1, inclusive) of a file of any size, each no longer than its first `most` characters."""
    found: list[LinePart] = []
    with file.open("rb") as stream:
        for _ in range(first - 1):
            while (piece := stream.readline(_CHUNK)) and not piece.endswith(b"\n"):
                pass
        for _ in range(last - first + 1):
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            text, length, piece = "", 0, b""
            while not piece.endswith(b"\n") and (piece := stream.readline(_CHUNK)):
                part = decoder.decode(piece).removesuffix("\n").removesuffix("\r")
                text, length = (text + part)[:most], length + len(part)
            found.append(LinePart(text, length))
    return found


def write_bytes(root: Path, path: str, data: bytes) -> None:
    """Write a file in place of the old one, which keeps its mode. Makes missing directories."""
    replace_files(root, {path: data})


def replace_files(root: Path, contents: dict[str, bytes]) -> None:
    """Replace all these files or none: on any failure the ones already replaced get their old bytes back."""
    targets = {path: locate(root, path) for path in contents}
    staged: list[tuple[Path, Path]] = []
    done: list[tuple[Path, bytes | None]] = []
    try:
        for path, data in contents.items():
            target = targets[path]
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.inhouse-{os.getpid()}")
            staged.append((temporary, target))
            temporary.write_bytes(data)
            if target.exists():
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        for temporary, target in staged:
            old = target.read_bytes() if target.exists() else None
            temporary.replace(target)
            done.append((target, old))
    except BaseException as error:
        for target, old in reversed(done):
            if old is None:
                target.unlink(missing_ok=True)
            else:
                target.write_bytes(old)
        for temporary, _ in staged:
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WorkspaceError(f"{root}: cannot write ({error}); nothing was changed") from error
        raise
