"""Confined commands: bubblewrap without network, with only the workspace and a private /tmp writable.

A command sees the system's programs and libraries, what `readable` names (read-only), and the workspace; not the
user's home, not their environment, not the rest of the disk, no network but its own loopback. The workspace may be
*seen* at another path than where it lies: a copy shown at the original's place keeps editable installs, scripts'
shebangs and paths in tracebacks true. `.git` is read-only, so that nothing a command plants there runs later, outside.

It fails closed: a command that cannot be confined is not run. Knows nothing of repositories, tests or models.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inhouse.errors import SandboxError
from inhouse.workspace.commands import CommandResult, Limits, as_argv, execute, limited

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_ETC = (
    "alternatives", "fonts", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "mime.types", "nsswitch.conf", "os-release", "passwd", "pki/tls/certs", "protocols", "services",
    "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone",
)  # fmt: skip
_KEPT_VARIABLES = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TERM")
_INSTALL = (
    "install it (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap; Arch: pacman -S bubblewrap)"
)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command may see of the caller's environment: language, time zone and terminal, nothing else."""
    return {name: environment[name] for name in _KEPT_VARIABLES if name in environment}


def python_paths(executable: Path) -> tuple[Path, ...]:
    """The directories that a Python interpreter needs to start: its virtual environment and its base installation.

    Found by following the links of `executable`, never by running it: it may be part of an untrusted repository.
    """
    found: list[Path] = []
    hop = executable.absolute()
    for _ in range(16):
        prefix = hop.parent.parent
        if (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*/os.py")):
            found.append(prefix)
        if not hop.is_symlink():
            break
        hop = Path(os.path.normpath(hop.parent / os.readlink(hop)))
    return tuple(dict.fromkeys(path for path in found if not path.is_relative_to("/usr")))


@dataclass(frozen=True)
class Sandbox:
    """Runs commands inside `root`, confined.

    `seen_as`: where the commands see `root` (default: where it is). `readable`: further files and directories that are
    visible, read-only, at their own paths. `mounts`: read-only places inside the workspace, from path to the path seen.
    `path`: directories put before the system's in PATH. `environment`: extra variables for every command.
    """

    root: Path
    seen_as: Path | None = None
    readable: Sequence[Path] = ()
    mounts: Mapping[Path, Path] = field(default_factory=dict)
    path: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def place(self) -> Path:
        """Where commands see the workspace."""
        return self.seen_as or self.root.absolute()

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
        argv = [
            *self._confinement(limits),
            "--chdir", str(self.place / (cwd or "")),
            "--", *limited(as_argv(command), limits, _program("prlimit", "install util-linux")),
        ]  # fmt: skip
        variables = {**self._variables(), **(environment or {})}
        return execute(argv, cwd=None, environment=variables, timeout=timeout, limits=limits)

    def probe(self) -> None:
        """Raise SandboxError with the remedy unless a real command runs confined here."""
        result = self.run(["/bin/sh", "-c", "echo confined"], timeout=20)
        if result.ok and result.output.strip() == "confined":
            return
        said = " ".join(result.output.split())[-300:] or f"exit code {result.exit_code}"
        raise SandboxError(
            f"bubblewrap cannot confine commands on this machine: {said}; allow unprivileged user namespaces "
            "(sysctl kernel.unprivileged_userns_clone=1; Ubuntu: sysctl kernel.apparmor_restrict_unprivileged_userns=0)"
        )

    def _variables(self) -> dict[str, str]:
        path = [*map(str, self.path), "/usr/local/bin", "/usr/bin", "/bin"]
        return {
            "PATH": os.pathsep.join(path),
            "HOME": "/tmp/home",
            "TMPDIR": "/tmp",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            **self.environment,
        }

    def _confinement(self, limits: Limits) -> list[str]:
        """bubblewrap's arguments. Later mounts lie over earlier ones, so the order is the meaning."""
        argv = [_program("bwrap", _INSTALL), "--unshare-all", "--new-session", "--die-with-parent", "--cap-drop", "ALL"]
        for name in _SYSTEM:
            path = Path(name)
            if path.is_symlink():
                argv += ["--symlink", os.readlink(path), name]
            elif path.is_dir():
                argv += ["--ro-bind", name, name]
        for name in _ETC:
            argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        scratch = str(limits.scratch)
        argv += ["--proc", "/proc", "--dev", "/dev", "--size", scratch, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
        argv += ["--size", scratch, "--tmpfs", "/tmp", "--dir", "/tmp/home"]
        for path in self.readable:
            argv += ["--ro-bind", str(path), str(path)]
        argv += ["--bind", str(self.root), str(self.place)]
        for path, seen in self.mounts.items():
            argv += ["--ro-bind", str(path), str(seen)]
        if (self.root / ".git").exists():
            argv += ["--ro-bind", str(self.root / ".git"), str(self.place / ".git")]
        return [*argv, "--remount-ro", "/"]


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
        path = os.pathsep.join([*map(str, self.path), "/usr/local/bin", "/usr/bin", "/bin"])
        variables = {"PATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", **self.environment}
        argv = limited(as_argv(command), limits, _program("prlimit", "install util-linux"))
        return execute(
            argv,
            cwd=self.root / (cwd or ""),
            environment={**variables, **(environment or {})},
            timeout=timeout,
            limits=limits,
        )


def _program(name: str, remedy: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SandboxError(f"{name} is not installed, and commands are never run unconfined unasked; {remedy}")
    return found
