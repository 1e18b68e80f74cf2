"""Folders that the user lets commands use besides the repository: asked for once, remembered for a project.

They are kept in this program's own folder, one file for each project, which commands never see; nothing inside a
repository can add to them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.cli.common import confirm, home, user_environment
from inhouse.errors import ParameterError
from inhouse.weights.atomic import replacing
from inhouse.workspace.toolchains import UserEnvironment
from inhouse.workspace.toolchains.grants import checked


@dataclass(frozen=True)
class Grants:
    """What commands may read, and what they may write as well."""

    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()

    def joined(self, other: Grants) -> Grants:
        """What either allows."""
        return Grants(_unique(self.read + other.read), _unique(self.write + other.write))


def add_grants(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("folders that commands may use besides the repository")
    for name, what in (("read", "read"), ("write", "read and write")):
        group.add_argument(
            f"--allow-{name}", type=Path, action="append", default=[], metavar="DIR",
            help=f"let commands {what} this folder; at a terminal it can be remembered for the project",
        )  # fmt: skip


def shell(args: argparse.Namespace, repository: Path, *, ask: bool = False) -> UserEnvironment:
    """The user's shell, with what commands may use for work in `repository`: given now, or remembered.

    `ask`: somebody is at the terminal, who may have what is new remembered. Raises ParameterError for a folder that
    must not be given.
    """
    user = user_environment()
    repository = repository.resolve()
    known = remembered(repository)
    given = Grants(
        _unique(checked(path, user, [home()], writing=False) for path in args.allow_read),
        _unique(checked(path, user, [home()], writing=True) for path in args.allow_write),
    )
    new = Grants(_without(given.read, known.read + known.write), _without(given.write, known.write))
    if ask and (new.read or new.write) and sys.stdin.isatty():
        print(f"commands in {repository} may {_described(new)}", file=sys.stderr)
        if confirm("remember for this project?", False):
            _remember(repository, known.joined(new))
    whole = _still_allowed(known, user).joined(given)
    return replace(user, allow_read=whole.read, allow_write=whole.write)


def remembered(repository: Path) -> Grants:
    """What was remembered for a project (a real path). Raises ParameterError where the file is damaged."""
    file = _file(repository)
    try:
        return _read(json.loads(file.read_text("utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return Grants()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{file}: cannot be read ({error}); remove it, and allow the folders again") from error


def all_remembered() -> Iterator[tuple[Path, Grants]]:
    """Each project that something is remembered for, by its path; files that are damaged are left out."""
    for file in sorted((home() / "projects").glob("*.json")):
        try:
            fields = json.loads(file.read_text("utf-8"))
            yield Path(fields["repository"]), _read(fields)
        except (OSError, ValueError, KeyError, TypeError):
            continue


def _remember(repository: Path, grants: Grants) -> None:
    file = _file(repository)
    file.parent.mkdir(parents=True, exist_ok=True)
    fields = {
        "repository": os.fspath(repository),
        "allow_read": [os.fspath(path) for path in grants.read],
        "allow_write": [os.fspath(path) for path in grants.write],
    }
    with replacing(file) as draft:
        draft.write((json.dumps(fields, indent=2) + "\n").encode())


def _still_allowed(known: Grants, user: UserEnvironment) -> Grants:
    """What is remembered and may still be given: folders go, and links come to lead elsewhere."""

    def allowed(paths: tuple[Path, ...], *, writing: bool) -> Iterator[Path]:
        for path in paths:
            try:
                yield checked(path, user, [home()], writing=writing)
            except ParameterError as error:
                print(f"inhouse: remembered for this project, and left out: {error}", file=sys.stderr)

    return Grants(tuple(allowed(known.read, writing=False)), tuple(allowed(known.write, writing=True)))


def _read(fields: dict[str, list[str]]) -> Grants:
    return Grants(tuple(map(Path, fields["allow_read"])), tuple(map(Path, fields["allow_write"])))


def _file(repository: Path) -> Path:
    return home() / "projects" / f"{hashlib.sha256(os.fsencode(repository)).hexdigest()[:24]}.json"


def _described(grants: Grants) -> str:
    read = [f"read {', '.join(map(str, grants.read))}"] if grants.read else []
    write = [f"read and write {', '.join(map(str, grants.write))}"] if grants.write else []
    return " and ".join([*read, *write])


def _without(paths: tuple[Path, ...], known: tuple[Path, ...]) -> tuple[Path, ...]:
    return tuple(path for path in paths if path not in known)


def _unique(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(paths))
