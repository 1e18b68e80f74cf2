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
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from inhouse.errors import SandboxError
from inhouse.workspace import seatbelt
from inhouse.workspace.commands import CommandResult, Launch, Limits, as_argv, execute, limited
from inhouse.workspace.protected import Protection, protected, survey
from inhouse.workspace.seccomp import filter_program

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
_ETC = (
    "alternatives", "fonts", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "mime.types", "nsswitch.conf", "os-release", "passwd", "pki/tls/certs", "protocols", "services",
    "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone",
)  # fmt: skip
# What /proc tells or takes of the whole machine, with root's rights where root runs us.
_KERNEL = (
    "/proc/acpi", "/proc/asound", "/proc/fs", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys",
    "/proc/key-users", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/mtrr",
    "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/vmallocinfo",
)  # fmt: skip
_SETTINGS = ("/proc/sys", "/proc/bus", "/proc/irq")  # root may write there without any capability
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
_KEPT_VARIABLES = ("PYTEST_DISABLE_PLUGIN_AUTOLOAD",)
_INSTALL = (
    "install it (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap; Arch: pacman -S bubblewrap)"
)


def _scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command may see of the caller's environment: what decides how tests run, and says nothing of the user."""
    return {name: environment[name] for name in _KEPT_VARIABLES if name in environment}


def python_paths(executable: Path) -> tuple[Path, ...]:
    """The directories that a Python interpreter needs to start: its virtual environment and its base installation.

    Found by following the links of `executable`, never by running it: it may be part of an untrusted repository.
    """
    found: list[Path] = []
    hop = executable.absolute()
    for _ in range(16):
        prefix = hop.parent.parent
        if _is_python(prefix):
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
    `writable`: False makes the workspace itself read-only too.
    """

    root: Path
    seen_as: Path | None = None
    readable: Sequence[Path] = ()
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
        program = _program("bwrap", _INSTALL)
        bounded = limited(as_argv(command), limits, _program("prlimit", "install util-linux"), private=True)
        rules = filter_program(platform.machine())
        with protected(self.root) if self.writable else contextlib.nullcontext(Protection()) as protection:
            reading, writing = os.pipe()
            try:
                with os.fdopen(writing, "wb") as pipe:  # smaller than a pipe holds, so this does not wait
                    pipe.write(rules)
                confinement = [program, *self._confinement(limits, protection), "--seccomp", str(reading)]
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
        path = [*map(str, self.path), "/usr/local/bin", "/usr/bin", "/bin"]
        return {
            "PATH": os.pathsep.join(path),
            "HOME": "/tmp/home",
            "TMPDIR": "/tmp",
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            **_scrubbed(os.environ),
            **self.environment,
        }

    def _confinement(self, limits: Limits, protection: Protection) -> list[str]:
        """bubblewrap's arguments. Later mounts lie over earlier ones, so the order is the meaning."""
        argv = ["--unshare-all", "--new-session", "--die-with-parent", "--cap-drop", "ALL"]
        for name in _SYSTEM:
            path = Path(name)
            if path.is_symlink():
                argv += ["--symlink", os.readlink(path), name]
            elif path.is_dir():
                argv += ["--ro-bind", name, name]
        for name in _ETC:
            argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        scratch = str(limits.scratch)
        argv += ["--proc", "/proc"]
        for name in _SETTINGS:
            argv += ["--ro-bind-try", name, name]
        for path in filter(Path.exists, map(Path, _KERNEL)):
            argv += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
        argv += ["--dev", "/dev", "--size", scratch, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
        argv += ["--size", scratch, "--tmpfs", "/tmp", "--dir", "/tmp/home"]
        for path in self.readable:
            argv += ["--ro-bind", str(path), str(path)]
        for socket in self._readable_sockets:
            argv += ["--ro-bind", "/dev/null", str(socket)]
        argv += ["--bind" if self.writable else "--ro-bind", str(self.root), str(self.place)]
        for path, seen in self.mounts.items():
            argv += ["--ro-bind", str(path), str(seen)]
        for name in (*protection.readonly, *protection.held):
            argv += ["--ro-bind", str(self.root / name), str(self.place / name)]
        for name in protection.sockets:
            argv += ["--ro-bind", "/dev/null", str(self.place / name)]
        return [*argv, "--remount-ro", "/"]

    @cached_property
    def _readable_sockets(self) -> list[Path]:
        """Servers' sockets in what is readable: read-only mounts do not keep anybody from connecting."""
        folders = [path for path in self.readable if path.is_dir() and not _is_python(path)]  # which are large
        return [path / name for path in folders for name in survey(path).sockets]

    def _seatbelt(self, command: Sequence[str], limits: Limits, cwd: Path | None) -> list[str]:
        profile = seatbelt.profile(
            self.root.resolve(), readable=[*self.readable, *self.mounts], home=Path.home(), writable=self.writable
        )
        program = _program("sandbox-exec", "it is part of macOS; check PATH")
        return seatbelt.command(program, profile, command, limits, self.root / (cwd or ""))


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
        variables = {**fixed, **_scrubbed(os.environ), **self.environment}
        argv = limited(as_argv(command), limits or self.limits, _program("prlimit", "install util-linux"))
        yield Launch(argv, {**variables, **(environment or {})}, self.root / (cwd or ""))


def _is_python(prefix: Path) -> bool:
    """Whether a directory is a virtual environment or an installation of Python."""
    return (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*/os.py"))


def _program(name: str, remedy: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SandboxError(f"{name} is not installed, and commands are never run unconfined unasked; {remedy}")
    return found
