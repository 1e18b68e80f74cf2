"""Commands with the user's own rights, where the user has said so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.workspace.commands import CommandResult, Launch, Limits, as_argv, execute, limited
from inhouse.workspace.confinement.programs import program, scrubbed


@dataclass(frozen=True)
class Unconfined:
    """Runs commands with the user's own rights: only time, output and memory are limited. Never a silent fallback."""

    root: Path
    path: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def place(self) -> Path:
        return self.root.absolute()

    def run(
        self,
        command: Sequence[str] | str,
        *,
        timeout: float,
        environment: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        cwd: Path | None = None,
    ) -> CommandResult:
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
        """As `Sandbox.launch`."""
        path = os.pathsep.join([*map(str, self.path), "/usr/local/bin", "/usr/bin", "/bin"])
        fixed = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"}
        variables = {**fixed, **scrubbed(os.environ), **self.environment}
        argv = limited(as_argv(command), limits or self.limits, program("prlimit", "install util-linux"))
        yield Launch(argv, {**variables, **(environment or {})}, self.root / (cwd or ""))
