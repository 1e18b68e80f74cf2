"""Confined commands: bubblewrap (Linux) or Seatbelt (macOS), no network, writes only in the workspace and private /tmp.

A command sees the system's programs and libraries, what `readable` names (read-only), and the workspace; not the
user's home, not their environment, not the rest of the disk, no network but its own loopback. The workspace may be
*seen* at another path than where it lies: a copy shown at the original's place keeps editable installs, scripts'
shebangs and paths in tracebacks true. What something outside would run later (`.git`, start-up files: `protected`) is
read-only, also before it exists; what namespaces do not separate is taken away by a system-call filter (`seccomp`).

It fails closed: a command that cannot be confined is not run. Knows nothing of repositories, tests or models.
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from inhouse.errors import SandboxError
from inhouse.workspace.commands import CommandResult, Launch, Limits, as_argv, execute, limited
from inhouse.workspace.confinement import seatbelt
from inhouse.workspace.confinement.bubblewrap import View, arguments, layers
from inhouse.workspace.confinement.interpreters import is_python
from inhouse.workspace.confinement.programs import program, scrubbed
from inhouse.workspace.confinement.protected import protected, survey
from inhouse.workspace.confinement.seccomp import filter_program
from inhouse.workspace.processes import started

_PROBE = """\
grep -q '^Seccomp:[[:space:]]*2' /proc/self/status || { echo 'no system-call filter'; exit 1; }
grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status || { echo 'capabilities are left'; exit 1; }
grep -q '^NoNewPrivs:[[:space:]]*1' /proc/self/status || { echo 'set-user-id programs have power'; exit 1; }
[ "$(grep -c : /proc/net/dev)" -le 1 ] || { echo 'there is a network'; exit 1; }
for place in / /usr /etc /proc/sys/kernel; do
    if (: > "$place/.inhouse-probe") 2>/dev/null; then echo "$place can be written"; exit 1; fi
done
if (: >> /proc/sys/kernel/core_pattern) 2>/dev/null; then echo 'kernel settings can be written'; exit 1; fi
echo confined"""
_PROBE_SECONDS = 20.0
_INSTALL = (
    "install it (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap; Arch: pacman -S bubblewrap)"
)


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

    @property
    def place(self) -> Path:
        """Where commands see the workspace. Seatbelt cannot show it elsewhere than where it is."""
        return self.root.absolute() if self.seen_as is None or sys.platform == "darwin" else self.seen_as

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

        Raises SandboxError when bubblewrap or prlimit is missing. That bubblewrap *works* is `probe`'s question: here a
        bubblewrap that fails is a command that fails.
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
        limits = limits or self.limits
        variables = {**self._variables(), **(environment or {})}
        if sys.platform == "darwin":
            yield Launch(self._seatbelt(as_argv(command), limits, cwd), variables, self.root)
            return
        bwrap = program("bwrap", _INSTALL)
        bounded = limited(as_argv(command), limits, program("prlimit", "install util-linux"), private=True)
        rules = filter_program(platform.machine())
        with contextlib.ExitStack() as stack:
            protections = {root: stack.enter_context(protected(root)) for root in self._writable_folders()}
            reading, writing = os.pipe()
            try:
                with os.fdopen(writing, "wb") as pipe:  # smaller than a pipe holds, so this does not wait
                    pipe.write(rules)
                confinement = [bwrap, *arguments(self._view(), limits, protections), "--seccomp", str(reading)]
                argv = [*confinement, "--chdir", str(self.place / (cwd or "")), "--", *bounded]
                yield Launch(argv, variables, self.root, (reading,))
            finally:
                os.close(reading)

    def probe(self) -> None:
        """Raise SandboxError with the remedy unless a real command runs confined here, and finds itself confined."""
        result = self.run(["/bin/sh", "-c", _PROBE if sys.platform != "darwin" else "echo confined"], timeout=20)
        if result.ok and result.output.strip() == "confined":
            return
        said = " ".join(result.output.split())[-300:] or f"exit code {result.exit_code}"
        raise SandboxError(
            f"bubblewrap cannot confine commands on this machine: {said}; allow unprivileged user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1; Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
        )

    def _variables(self) -> dict[str, str]:
        path = dict.fromkeys([*map(str, self.path), "/usr/local/bin", "/usr/bin", "/bin"])
        return {
            "PATH": os.pathsep.join(path),
            "HOME": "/tmp/home",
            "TMPDIR": "/tmp",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            **scrubbed(os.environ),
            **self.environment,
        }

    def _writable_folders(self) -> tuple[Path, ...]:
        return (self.root, *self.also_writable) if self.writable else ()

    def _view(self) -> View:
        readable = self.readable if self.writable else (*self.readable, *self.also_writable)
        return View(
            self.root, self.place, self.installed, readable, self._readable_sockets, self.mounts, self.writable,
            self._mounted_sockets, self._layered,
        )  # fmt: skip

    @property
    def _layered(self) -> bool:
        """Whether what is mounted gets a layer that commands may write to."""
        if not self.writable or sys.platform == "darwin":
            return False
        return _can_layer(program("bwrap", _INSTALL), tuple(self.mounts))

    @cached_property
    def _readable_sockets(self) -> list[Path]:
        """Servers' sockets in what is readable: read-only mounts do not keep anybody from connecting."""
        folders = [path for path in self.readable if path.is_dir() and not is_python(path)]  # which are large
        return [path / name for path in folders for name in survey(path).sockets]

    @cached_property
    def _mounted_sockets(self) -> list[Path]:
        """The same in what is mounted, as it is seen."""
        folders = [
            path for path in self.mounts if path.is_dir() and path.name != "node_modules" and not is_python(path)
        ]
        return [self.mounts[path] / name for path in folders for name in survey(path).sockets]

    def _seatbelt(self, command: Sequence[str], limits: Limits, cwd: Path | None) -> list[str]:
        profile = seatbelt.profile(
            self.root.resolve(), readable=[*self.installed, *self._view().readable, *self.mounts], home=Path.home(),
            writable=self.writable, also_writable=self.also_writable if self.writable else (),
        )  # fmt: skip
        tool = program("sandbox-exec", "it is part of macOS; check PATH")
        return seatbelt.command(tool, profile, command, limits, self.root / (cwd or ""))


@lru_cache
def _can_layer(bwrap: str, paths: tuple[Path, ...]) -> bool:
    """Whether all these may get a writable layer: bubblewrap 0.11, overlayfs in user namespaces, below it a file system
    that allows it."""
    if not any(path.is_dir() for path in paths):
        return False
    mounts = {path: Path(f"/tmp/{number}") for number, path in enumerate(paths) if path.is_dir()}
    base = ["--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--tmpfs", "/tmp"]
    argv = [
        bwrap,
        *base,
        *layers(mounts),
        "--",
        "/bin/sh",
        "-c",
        "for place in /tmp/*/; do : > $place/.probe || exit; done",
    ]
    with started(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(timeout=_PROBE_SECONDS) == 0
        except subprocess.TimeoutExpired:
            return False
