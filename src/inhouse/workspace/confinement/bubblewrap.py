"""The arguments of bubblewrap: which namespaces and mounts a command gets. Runs nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.workspace.commands import Limits
from inhouse.workspace.confinement.protected import Protection

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


@dataclass(frozen=True)
class View:
    """What a command sees: `root` at `place`, `installed`, `readable`, `mounts` (path: path seen); all but `root`
    read-only. Links in `installed` stay links; a link in `readable` shows what it leads to.

    `covered` are sockets inside `readable` that are hidden: read-only mounts do not keep anybody from connecting;
    `covered_mounts` are those inside `mounts`, as they are seen. With `layered` commands may write to mounted folders:
    into a layer of their own, which goes when they end.
    """

    root: Path
    place: Path
    installed: Sequence[Path]
    readable: Sequence[Path]
    covered: Sequence[Path]
    mounts: Mapping[Path, Path]
    writable: bool
    covered_mounts: Sequence[Path] = ()
    layered: bool = False


def layers(mounts: Mapping[Path, Path]) -> list[str]:
    """The arguments that lay a writable layer in memory over each folder; files stay read-only."""
    argv: list[str] = []
    for path, seen in mounts.items():
        argv += ["--overlay-src", str(path), "--tmp-overlay", str(seen)] if path.is_dir() else _mount(path, seen)
    return argv


def _mount(path: Path, seen: Path) -> list[str]:
    return ["--ro-bind", str(path), str(seen)]


def arguments(view: View, limits: Limits, protections: Mapping[Path, Protection]) -> list[str]:
    """bubblewrap's arguments. Later mounts lie over earlier ones, so the order is the meaning.

    `protections` are of the folders that commands may write to: of the root, and of others.
    """
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
    for path in view.installed:
        link = path.is_symlink()
        argv += ["--symlink", os.readlink(path), str(path)] if link else ["--ro-bind", str(path), str(path)]
    for path in view.readable:
        argv += ["--ro-bind", str(path), str(path)]
    for socket in view.covered:
        argv += ["--ro-bind", "/dev/null", str(socket)]
    argv += ["--bind" if view.writable else "--ro-bind", str(view.root), str(view.place)]
    if view.layered:
        argv += layers(view.mounts)
    else:
        argv += [word for path, seen in view.mounts.items() for word in _mount(path, seen)]
    for socket in view.covered_mounts:
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
