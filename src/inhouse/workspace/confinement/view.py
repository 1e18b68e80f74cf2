"""What a confined command sees of the machine, however it is confined. Runs nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
ETC = (
    "alternatives", "fonts", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "mime.types", "nsswitch.conf", "os-release", "passwd", "pki/tls/certs", "protocols", "services",
    "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """The workspace `root`, seen at `place`; `installed` and `readable` paths; `mounts` (path: path seen).

    Links in `installed` stay links; a link in `readable` shows what it leads to. Only the workspace and the folders
    `also_writable` may be changed, and not even those where not `writable`. `disposable`: the workspace is a throw-away
    copy that nobody else uses while commands run.
    """

    root: Path
    place: Path
    installed: Sequence[Path]
    readable: Sequence[Path]
    mounts: Mapping[Path, Path]
    writable: bool
    disposable: bool
    also_writable: Sequence[Path]

    @property
    def writable_folders(self) -> tuple[Path, ...]:
        return (self.root, *self.also_writable) if self.writable else ()

    @property
    def readable_folders(self) -> tuple[Path, ...]:
        return tuple(self.readable if self.writable else (*self.readable, *self.also_writable))


@dataclass(frozen=True)
class Guarantee:
    """What a kind of confinement holds of one thing, for a person to read."""

    subject: str
    held: Literal["yes", "partly", "no"]
    how: str
