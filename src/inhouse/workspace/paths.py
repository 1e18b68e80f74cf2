"""Where a path that a model names really leads, and whether it may be written. Knows nothing of tools.

Writing is refused outside the workspace and in places that make a program of the user's run something later: what git,
shells, editors and environment managers read by themselves. That holds also where those files do not exist yet.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inhouse.errors import WorkspaceError
from inhouse.workspace.protected_names import protected_part

_ESCAPE = re.compile(rb"\\x([0-9a-fA-F]{2})")


@dataclass(frozen=True)
class Target:
    """A path inside the workspace: `path` is relative to its root, free of links, with forward slashes."""

    root: Path
    path: str

    @property
    def real(self) -> Path:
        return self.root / self.path


def resolve(root: Path, given: str) -> Target:
    """Where a path really leads. `root` is a real path. Raises WorkspaceError, worded for a model, if that is outside.

    `given` may be absolute, or relative to the root; "" and "." are the root itself.
    """
    text = given.strip()
    if "\0" in text:
        raise WorkspaceError("a path holds no NUL character; name a file of the workspace")
    real = Path(os.path.realpath(_as_spelled(root, text)))
    if real != root and not real.is_relative_to(root):
        leads = f" leads to {real}, which" if str(real) != text else ""
        raise WorkspaceError(f"{text}:{leads} is outside the workspace {root}; use a path relative to that folder")
    return Target(root, real.relative_to(root).as_posix())


def _as_spelled(root: Path, text: str) -> Path:
    """A path below `root` in the form in which its names are there: é may be one character of a name, or two; a byte
    that is no UTF-8 is shown as `\\xff`.

    A path that exists, or fits no name or several, is left as it is.
    """
    given = root / text
    if "\\x" in text and not os.path.lexists(given):
        named = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), os.fsencode(text))
        return root / os.fsdecode(named) if os.path.lexists(os.fsencode(root) + b"/" + named) else given
    below = os.path.relpath(os.path.normpath(given), root)
    if os.path.lexists(given) or below.startswith("..") or below.isascii():
        return given
    here = root
    for part in PurePosixPath(below).parts:
        if not os.path.lexists(here / part) and here.is_dir():
            wanted = unicodedata.normalize("NFC", part)
            same = [name for name in os.listdir(here) if unicodedata.normalize("NFC", name) == wanted]
            part = same[0] if len(same) == 1 else part
        here = here / part
    return here


def writable(root: Path, given: str) -> Target:
    """`resolve`, for a file that is to be written. Raises WorkspaceError also for protected places."""
    target = resolve(root, given)
    named = PurePosixPath(os.path.relpath(os.path.normpath(root / given.strip()), root)).parts
    if part := protected_part((*PurePosixPath(target.path).parts, *named)):
        raise WorkspaceError(
            f"{given}: {part} is protected, because programs of the user's read or run it by themselves; "
            "leave it, and tell the user what should change there"
        )
    if target.path == "." or target.real.is_dir():
        raise WorkspaceError(f"{given}: is a folder; name a file")
    return target
