"""Confinement by Landlock and a system-call filter, where the kernel gives us no namespaces. Linux 5.13 or newer.

`launcher.py` does it; here it is told what may be read and written. Landlock can only allow, so that a folder in which
something is protected is not given as a whole: what lies in it is, one by one, and nothing new can be made in it. A
throw-away copy is given as a whole, and what is protected in it lies elsewhere meanwhile (`stand_ins`).

It cannot show anything at another place: a copy is seen where it lies, mounts become symbolic links while commands run.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.errors import SandboxError
from inhouse.workspace.commands import Launch, Limits, limited
from inhouse.workspace.confinement import launcher
from inhouse.workspace.confinement.programs import program
from inhouse.workspace.confinement.protected import closed_parts, set_aside, stand_ins, survey
from inhouse.workspace.confinement.seccomp import shared_filter_program
from inhouse.workspace.confinement.view import ETC, SYSTEM, Guarantee, View

NEWEST = 6  # the newest version of Landlock that is made use of
_DEVICES = ("/dev/full", "/dev/null", "/dev/random", "/dev/urandom", "/dev/zero")
# Of the machine. What /proc tells of processes cannot be had for the command's own alone.
_PROC = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")
_SILENT = {"GIT_CONFIG_NOSYSTEM": "1", "PIP_CONFIG_FILE": os.devnull}  # settings that are there and cannot be read
_CHECK = """\
if (: < /proc/self/status) 2>/dev/null; then echo 'processes can be seen'; exit 1; fi
for place in / /usr /etc /proc/sys/kernel; do
    if (: > "$place/.inhouse-probe") 2>/dev/null; then echo "$place can be written"; exit 1; fi
done
if (: >> /proc/sys/kernel/core_pattern) 2>/dev/null; then echo 'kernel settings can be written'; exit 1; fi
if chmod 1777 /tmp 2>/dev/null; then echo 'modes can be changed outside'; exit 1; fi
if kill -0 @PID@ 2>/dev/null; then echo 'processes outside can be reached'; exit 1; fi
: > "$TMPDIR/x" && chmod 600 "$TMPDIR/x" || { echo 'the temporary folder cannot be used'; exit 1; }
echo confined"""


@dataclass(frozen=True)
class Landlock:
    """`abi`: the newest version of Landlock to make use of, if the kernel has it."""

    abi: int = NEWEST

    @property
    def name(self) -> str:
        return "Landlock"

    @property
    def check(self) -> Sequence[str]:
        """A command that prints "confined" alone, or what is missing for that."""
        return ("/bin/sh", "-c", _CHECK.replace("@PID@", str(os.getpid())))

    @property
    def guarantees(self) -> Sequence[Guarantee]:
        by = "the kernel" if min(self.abi, launcher.landlock_abi()) >= launcher.SCOPE_ABI else "a supervisor"
        return (
            Guarantee("network", "yes", "no sockets but pairs, so no loopback either: tests that need one fail"),
            Guarantee("writing outside the workspace", "yes", "nothing else is writable but a private folder"),
            Guarantee("reading your home directory", "partly", "only what is allowed; names and sizes are seen"),
            Guarantee(".git and start-up files", "partly", "in your repository nothing new can be made beside them; in "
                      "a copy they are put back after each command"),
            Guarantee("signals to other processes", "yes", f"{by} lets them reach a command's own alone"),
            Guarantee("/proc", "partly", "processes cannot be read, not even a command's own; that they exist is seen"),
            Guarantee("shared memory", "yes", "none, so that semaphores of multiprocessing fail"),
            Guarantee("terminals", "yes", "none, not even one of its own"),
        )  # fmt: skip

    @property
    def advice(self) -> str:
        return (
            "Commands cannot make, rename or delete files directly in the root folder (the edit tools can), "
            "only change them and work in its subfolders; they have no sockets, and $TMPDIR instead of /tmp."
        )

    def place(self, root: Path, seen_as: Path | None) -> Path:
        return root.absolute()

    @contextlib.contextmanager
    def launch(
        self, view: View, argv: Sequence[str], limits: Limits, environment: Mapping[str, str], cwd: Path
    ) -> Iterator[Launch]:
        """`argv` confined, to be started once while the context lasts. `cwd` is relative to the workspace."""
        abi = min(self.abi, launcher.landlock_abi())
        if abi < 1:
            raise SandboxError("the kernel has no Landlock (Linux 5.13 or newer, with landlock among its lsm=)")
        bounded = limited(argv, limits, program("prlimit", "install util-linux"))
        with _scratch() as scratch, _writable(view) as (parts, protected, beside), _links(view):
            specification = {
                "readable": [*_system(), *map(str, (*_seen(view), *beside))],
                "writable": [*map(str, (*parts, scratch))],
                "protected": [*map(str, protected)],
                "devices": _DEVICES,
                "abi": abi,
                "filter": shared_filter_program(platform.machine(), abi).hex(),
                "processes": 2 * limits.processes if limits.processes is not None else None,
                "cwd": str(view.place / cwd),
                "argv": bounded,
            }
            with tempfile.TemporaryFile() as told:
                told.write(json.dumps(specification).encode())
                told.seek(0)
                start = [sys.executable, "-I", "-S", launcher.__file__, str(told.fileno())]
                variables = {**_SILENT, "HOME": str(scratch / "home"), "TMPDIR": str(scratch), **environment}
                yield Launch(start, variables, view.root, (told.fileno(),))


def _system() -> list[str]:
    names = [*SYSTEM, *(f"/etc/{name}" for name in ETC), *(f"/proc/{name}" for name in _PROC)]
    return [os.path.realpath(name) for name in names]


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A private folder for temporary files, and a home directory in it."""
    folder = Path(tempfile.mkdtemp(prefix="inhouse-tmp-"))
    try:
        (folder / "home").mkdir()
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a folder also where a command has closed folders in it."""
    for here, _, _ in os.walk(folder):
        with contextlib.suppress(OSError):
            os.chmod(here, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def _seen(view: View) -> Iterator[Path]:
    """What commands may read. A link in what is installed is there without a rule."""
    yield from view.installed
    yield from (Path(os.path.realpath(path)) for path in (*view.readable_folders, *view.mounts, view.root))
    yield from view.also_writable


@contextlib.contextmanager
def _writable(view: View) -> Iterator[tuple[list[Path], list[Path], list[Path]]]:
    """What may be changed, what in that may not be, and what is to be read beside it."""
    parts: list[Path] = []
    protected: list[Path] = []
    beside: list[Path] = []
    with contextlib.ExitStack() as stack:
        for folder in view.writable_folders:
            root = Path(os.path.realpath(folder))
            if folder == view.root and view.disposable:
                beside.append(stack.enter_context(stand_ins(root)))
                parts.append(root)
                continue
            before = survey(root)
            closed = closed_parts(root, before)
            protected += [root / name for name in closed]
            if closed or folder == view.root:
                parts += _open_parts(root, "", closed)
                stack.callback(set_aside, root, before)
            else:  # the user said that it may be written, and it holds nothing that is protected
                parts.append(root)
                stack.callback(set_aside, root, before, names=True)
        yield parts, protected, beside


def _open_parts(root: Path, here: str, closed: frozenset[str]) -> Iterator[Path]:
    """What lies in a folder and holds nothing closed, and in folders that do, the same."""
    for entry in sorted(os.scandir(root / here), key=lambda entry: entry.name):
        path = f"{here}{entry.name}"
        if path in closed or entry.is_symlink():
            continue
        if entry.is_dir() and any(name.startswith(f"{path}/") for name in closed):
            yield from _open_parts(root, f"{path}/", closed)
        else:
            yield root / path


@contextlib.contextmanager
def _links(view: View) -> Iterator[None]:
    """Mounts into a throw-away copy as symbolic links, where nothing is in their place."""
    made: list[Path] = []
    try:
        if view.disposable:
            for path, seen in view.mounts.items():
                if not seen.is_relative_to(view.place):
                    continue
                link = view.root / seen.relative_to(view.place)
                if link != path and not os.path.lexists(link):
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(path)
                    made.append(link)
        yield
    finally:
        for link in made:
            with contextlib.suppress(OSError):
                link.unlink()
