"""A git directory for a copy of a working tree, with the history and the index of the original. Knows no files.

Objects are borrowed from the original (`objects/info/alternates`), references and index are copied: git inside the copy
says what it says in the original, and nothing that is done there reaches it. Nothing is fetched and no hook runs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from inhouse.workspace.git import git, object_folders


def borrow_history(original: Path, copy: Path) -> tuple[Path, ...]:
    """Make the folder `copy` a repository like the working tree `original`. Returns the folders whose objects it reads.

    Raises WorkspaceError when git cannot read the original.
    """
    git(copy, "init", "--quiet", "--template=", f"--object-format={_said(original, '--show-object-format')}")
    folder = copy / ".git"
    for name in ("info", "objects/info"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    borrowed = object_folders(original)
    (folder / "objects" / "info" / "alternates").write_bytes(b"".join(bytes(path) + b"\n" for path in borrowed))
    for name in ("index", "shallow", "info/exclude", "info/attributes"):
        _copy(_path(original, name), folder / name)
    if shared := _said(original, "--shared-index-path"):
        _copy(original / shared, folder / Path(shared).name)
    references = git(original, "for-each-ref", "--format=%(objectname) %(refname)")
    (folder / "packed-refs").write_bytes(references.encode("utf-8", "surrogateescape"))
    branch = git(original, "symbolic-ref", "--quiet", "HEAD", expected=(1,)).removesuffix("\n")
    (folder / "HEAD").write_text(f"ref: {branch}\n" if branch else f"{_said(original, 'HEAD')}\n")
    for name, value in (("gc.auto", "0"), ("user.name", "-"), ("user.email", "-")):
        git(copy, "config", name, value)
    return borrowed


def _said(original: Path, question: str) -> str:
    return git(original, "rev-parse", question).removesuffix("\n")


def _path(original: Path, name: str) -> Path:
    return Path(git(original, "rev-parse", "--path-format=absolute", "--git-path", name).removesuffix("\n"))


def _copy(source: Path, target: Path) -> None:
    if source.is_file():
        shutil.copyfile(source, target)
