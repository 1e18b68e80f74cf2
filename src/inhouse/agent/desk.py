"""What the tools work on: the workspace, how commands run in it, and what is known of its files. Asks no model."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inhouse.errors import WorkspaceError
from inhouse.workspace import Runner, Sandbox
from inhouse.workspace.environment import candidates, open_runner
from inhouse.workspace.files import MOST_BYTES, read_bytes, write_bytes
from inhouse.workspace.git import object_folders, outside_folders
from inhouse.workspace.paths import Target
from inhouse.workspace.shell import Shell
from inhouse.workspace.text import TextFile, decode
from inhouse.workspace.toolchains import UserEnvironment, find_toolchains

COMMAND_SECONDS = 120.0
LONGEST_COMMAND = 1800.0

Check = Callable[[str, str | None, str], str]  # (path, old text, new text) -> what is wrong with the new one, or ""


@dataclass(frozen=True)
class Room:
    """How commands run: one kind of confinement and the shell that lives in it."""

    runner: Runner
    shell: Shell


class Desk:
    """`root` is a real path. `test` is the user's test command; `pythons` might run the project's tests, the most
    likely first, of which `stand_in` is our own.

    `maps` is the folder that keeps what is known of repositories' code; None keeps nothing.

    While `read_only` is set, commands run in the second room, which may not write to the workspace.
    """

    def __init__(
        self,
        root: Path,
        runner: Runner,
        *,
        reader: Runner | None = None,
        test: str | None = None,
        pythons: Sequence[Path] = (),
        stand_in: Path | None = None,
        checks: Sequence[Check] = (),
        maps: Path | None = None,
    ) -> None:
        self.root = root
        self.test = test
        self.pythons = tuple(pythons)
        self.stand_in = stand_in
        self.maps = maps
        self.test_seconds = 600.0
        self.read_only = False
        self._writing = Room(runner, Shell(runner))
        self._reading = Room(reader, Shell(reader)) if reader is not None else None
        self._checks = checks

    @property
    def confined(self) -> bool:
        """Whether commands run in the sandbox."""
        return self._reading is not None

    @property
    def advice(self) -> str:
        """What the commands' author must know of their confinement; empty if nothing surprises."""
        runner = self._writing.runner
        return runner.confinement.advice if isinstance(runner, Sandbox) else ""

    @property
    def runner(self) -> Runner:
        return self._room.runner

    @property
    def shell(self) -> Shell:
        return self._room.shell

    @property
    def _room(self) -> Room:
        return self._reading if self.read_only and self._reading is not None else self._writing

    def close(self) -> None:
        """End the shells and what runs in them."""
        for room in (self._writing, self._reading):
            if room is not None:
                room.shell.close()

    def read(self, target: Target) -> TextFile:
        """A text file. Raises WorkspaceError if it is missing, not text, or too large."""
        return decode(target.path, read_bytes(self.root, target.path, MOST_BYTES))

    def write(self, target: Target, file: TextFile) -> None:
        """Put a file in the place of what is there, whose mode it gets."""
        write_bytes(self.root, target.path, file.data)

    def problems(self, path: str, old: str | None, new: str) -> str:
        """What the checks say of a new text, in lines; empty if nothing."""
        return "\n".join(said for check in self._checks if (said := check(path, old, new)))


def open_desk(
    root: Path,
    *,
    sandboxed: bool,
    test: str | None = None,
    user: UserEnvironment,
    checks: Callable[[Runner, Path], Sequence[Check]] = lambda runner, root: (),
    maps: Path | None = None,
) -> Desk:
    """A desk in the user's own repository, with the programs of the user's shell.

    Raises SandboxError when commands cannot be confined here and `sandboxed` is wanted.
    """
    root = Path(os.path.realpath(root))
    toolchains = find_toolchains(user, root)
    pythons = candidates(toolchains, root)
    environment = {"PYTHONPATH": str(root / "src")} if (root / "src").is_dir() else {}
    runner = open_runner(
        root, root, toolchains, next(iter(pythons), None), sandboxed=sandboxed, readable=_history(root),
        environment=environment,
    )  # fmt: skip
    reader = None
    if isinstance(runner, Sandbox):
        runner.probe()
        reader = replace(runner, writable=False)
    return Desk(
        root, runner, reader=reader, test=test, pythons=pythons, stand_in=toolchains.stand_in,
        checks=checks(runner, root), maps=maps,
    )  # fmt: skip


def _history(root: Path) -> list[Path]:
    """Where git keeps this tree's history, if that is outside: of a linked working tree, of a submodule, and of a clone
    that borrows objects."""
    folders = outside_folders(root)
    if not folders and not (root / ".git").is_dir():
        return []
    try:
        objects = object_folders(root)
    except WorkspaceError:  # no git, or a repository that it cannot read: commands inside will say so
        objects = ()
    found = [*folders, *objects]
    return [
        path for path in found if not any(path.is_relative_to(other) for other in (root, *folders) if other != path)
    ]
