"""What can confine commands on this machine: each kind is tried with a real command before it is trusted."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from inhouse.errors import SandboxError
from inhouse.workspace.commands import Launch, Limits, execute
from inhouse.workspace.confinement.bubblewrap import installed, shipped
from inhouse.workspace.confinement.landlock import Landlock
from inhouse.workspace.confinement.seatbelt import Seatbelt
from inhouse.workspace.confinement.view import Guarantee, View

_REMEDY = (
    "install bubblewrap (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap; Arch: pacman -S "
    "bubblewrap) and allow user namespaces (sysctl user.max_user_namespaces=10000; Ubuntu: sysctl "
    "kernel.apparmor_restrict_unprivileged_userns=0), or use Linux 5.13 or newer with Landlock"
)
_SECONDS = 20.0  # for the trial of one kind


class Mechanism(Protocol):
    """One kind of confinement."""

    @property
    def name(self) -> str: ...

    @property
    def check(self) -> Sequence[str]:
        """A command that prints "confined" alone, or what is missing for that."""

    @property
    def guarantees(self) -> Sequence[Guarantee]: ...

    @property
    def advice(self) -> str:
        """What whoever writes commands must know of it; empty if nothing surprises."""

    def place(self, root: Path, seen_as: Path | None) -> Path:
        """Where commands see a workspace that is wanted to be seen at `seen_as`."""

    def launch(
        self, view: View, argv: Sequence[str], limits: Limits, environment: Mapping[str, str], cwd: Path
    ) -> AbstractContextManager[Launch]:
        """`argv` confined, to be started once while the context lasts. `cwd` is relative to the workspace."""


@dataclass(frozen=True)
class Trial:
    """Whether a kind of confinement works here: `problem` is empty then."""

    mechanism: Mechanism
    problem: str


def candidates() -> tuple[Mechanism, ...]:
    """The kinds there may be on this system, best first."""
    if sys.platform == "darwin":
        return (Seatbelt(),)
    found = (shipped(), installed(), Landlock())
    return tuple(mechanism for mechanism in found if mechanism is not None)


def trial(mechanism: Mechanism) -> Trial:
    """Run a command that looks whether it is confined."""
    with tempfile.TemporaryDirectory(prefix="inhouse-probe-") as folder:
        root = Path(os.path.realpath(folder))
        view = View(root, root, (), (), {}, writable=True, disposable=False, also_writable=())
        try:
            with mechanism.launch(view, mechanism.check, Limits(), {"PATH": "/usr/bin:/bin"}, Path()) as start:
                result = execute(start, timeout=_SECONDS, limits=Limits())
        except (SandboxError, OSError) as error:
            return Trial(mechanism, str(error))
    if result.ok and result.output.strip() == "confined":
        return Trial(mechanism, "")
    return Trial(mechanism, " ".join(result.output.split())[-300:] or f"exit code {result.exit_code}")


def best() -> Mechanism:
    """The first kind that works here. Raises SandboxError with what is wrong with each, and what to do."""
    return _best(candidates())


@lru_cache
def _best(kinds: tuple[Mechanism, ...]) -> Mechanism:
    problems = []
    for kind in kinds:
        tried = trial(kind)
        if not tried.problem:
            return kind
        problems.append(f"{kind.name}: {tried.problem}")
    said = "; ".join(problems) or f"there is no confinement for {sys.platform}"
    raise SandboxError(
        f"commands cannot be confined on this machine ({said}), and are never run unconfined unasked; {_REMEDY}"
    )
