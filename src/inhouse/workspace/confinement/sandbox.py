"""Confined commands: no network, and nothing to write but the workspace and a private folder for temporary files.

A command sees the system's programs and libraries, what `readable` names (read-only), and the workspace; not the
user's home, not their environment, not the rest of the disk. Where the machine's kind of confinement can
(`mechanisms`), the workspace is *seen* at another path than where it lies: a copy shown at the original's place keeps
editable installs, scripts' shebangs and paths in tracebacks true. What something outside would run later (`.git`,
start-up files: `protected`) cannot be changed, nor made.

It fails closed: a command that cannot be confined is not run. Knows nothing of repositories, tests or models.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from inhouse.errors import SandboxError
from inhouse.workspace.commands import CommandResult, Launch, Limits, as_argv, execute
from inhouse.workspace.confinement.mechanisms import Mechanism, best
from inhouse.workspace.confinement.programs import scrubbed
from inhouse.workspace.confinement.view import View


@dataclass(frozen=True)
class Sandbox:
    """Runs commands inside `root`, confined.

    `seen_as`: where the commands see `root` (default: where it is). `readable`: further files and directories that are
    visible, read-only, at their own paths. `installed`: the same of the user's programs, which are large: whoever names
    them has left out what commands must not see (`credentials.visible`). `also_writable`: folders that commands may
    change as they may the workspace. `mounts`: further places inside the workspace, from path to the path seen; what
    commands write there is gone when they end, or refused where the kernel offers no such layer.
    `path`: directories put before the system's in PATH. `environment`: extra variables for every command.
    `writable`: False makes the workspace itself read-only too.
    `disposable`: nobody else uses `root` while commands run; without namespaces, only such a workspace can be given as
    a whole (`landlock`). `mechanism`: the kind of confinement; the best that works here, if None.
    """

    root: Path
    seen_as: Path | None = None
    readable: Sequence[Path] = ()
    installed: Sequence[Path] = ()
    also_writable: Sequence[Path] = ()
    mounts: Mapping[Path, Path] = field(default_factory=dict)
    path: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    writable: bool = True
    disposable: bool = False
    mechanism: Mechanism | None = None

    @cached_property
    def confinement(self) -> Mechanism:
        """What confines the commands. Raises SandboxError where nothing can."""
        return self.mechanism if self.mechanism is not None else best()

    @property
    def place(self) -> Path:
        """Where commands see the workspace. Raises SandboxError where nothing confines commands."""
        return self.confinement.place(self.root, self.seen_as)

    def run(
        self,
        command: Sequence[str] | str,
        *,
        timeout: float,
        environment: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        cwd: Path | None = None,
    ) -> CommandResult:
        """Run a shell line (str) or an argument list, in the workspace or in `cwd` relative to it.

        Raises SandboxError when nothing can confine it here. That it confines *this* workspace is `probe`'s question:
        a confinement that fails is a command that fails.
        """
        limits = limits or self.limits
        with self.launch(command, environment=environment, limits=limits, cwd=cwd) as start:
            return execute(start, timeout=timeout, limits=limits)

    @contextlib.contextmanager
    def launch(
        self,
        command: Sequence[str] | str,
        *,
        environment: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        cwd: Path | None = None,
    ) -> Iterator[Launch]:
        """For commands that are not run to their end at once, such as a shell: start it once while the context lasts.

        Whoever starts it ends it, before the context does. Raises like `run`.
        """
        variables = {**self._variables(), **(environment or {})}
        view = View(
            self.root, self.place, self.installed, self.readable, self._mounts(), self.writable, self.disposable,
            self.also_writable,
        )  # fmt: skip
        argv = as_argv(command)
        with self.confinement.launch(view, argv, limits or self.limits, variables, cwd or Path()) as start:
            yield start

    def probe(self) -> None:
        """Raise SandboxError with the remedy unless a real command runs confined here, and finds itself confined."""
        result = self.run(self.confinement.check, timeout=20)
        if result.ok and result.output.strip() == "confined":
            return
        said = " ".join(result.output.split())[-300:] or f"exit code {result.exit_code}"
        raise SandboxError(
            f"{self.confinement.name} cannot confine commands in {self.root}: {said}; `inhouse doctor` says more"
        )

    def _mounts(self) -> dict[Path, Path]:
        """Where the mounts are seen: they move with the workspace if it cannot be seen where it is wanted."""
        wanted = self.seen_as or self.root.absolute()
        return {
            path: self.place / seen.relative_to(wanted) if seen.is_relative_to(wanted) else seen
            for path, seen in self.mounts.items()
        }

    def _variables(self) -> dict[str, str]:
        path = dict.fromkeys([*map(str, self.path), "/usr/local/bin", "/usr/bin", "/bin"])
        return {
            "PATH": os.pathsep.join(path),
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            **scrubbed(os.environ),
            **self.environment,
        }
