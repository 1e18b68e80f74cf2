"""Which folders a user may let commands read or write besides the workspace, and why not others. Keeps nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from inhouse.errors import ParameterError
from inhouse.workspace.confinement.credentials import holds_home, is_denied
from inhouse.workspace.toolchains.user import UserEnvironment

_MACHINE = ("/", "/boot", "/dev", "/etc", "/home", "/mnt", "/opt", "/proc", "/root", "/run", "/srv", "/sys", "/tmp",
            "/usr", "/var", "/Applications", "/Library", "/System", "/Users", "/Volumes")  # fmt: skip
_NEVER_BELOW = ("/dev", "/etc", "/proc", "/run", "/sys", "/boot")
_RUN_BY_THE_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/var", "/nix", "/System", "/Library")
_SHARED = (".config", ".local", ".local/share", ".cache", "Library", "Library/Application Support")


def checked(folder: Path, user: UserEnvironment, private: Sequence[Path], *, writing: bool) -> Path:
    """The real path of a folder that commands may use. Raises ParameterError with the reason where they may not.

    `private` are folders of this program's own: conversations, keys, and what was granted. Where commands may write,
    nothing must lie that the user's shell would run later: they would have left the sandbox with it.
    """
    option = "--allow-write" if writing else "--allow-read"
    real = Path(os.path.realpath(folder.expanduser()))
    if not real.is_dir():
        raise ParameterError(f"{option} {folder}: no such folder; name one that exists")
    if reason := _reason(real, user, private):
        raise ParameterError(f"{option} {folder}: {reason}; name a folder that holds what the tests need alone")
    if writing and (reason := _runs_later(real, user)):
        raise ParameterError(f"{option} {folder}: {reason}; let commands write where nothing is run from")
    return real


def _reason(real: Path, user: UserEnvironment, private: Sequence[Path]) -> str:
    home = Path(os.path.realpath(user.home))
    if str(real) in _MACHINE or any(real.is_relative_to(place) for place in _NEVER_BELOW):
        return "is a folder of the whole machine"
    if holds_home(real, home):
        return "holds your home directory, with the keys in it"
    if is_denied(real, home):
        return "holds credentials, which commands never see"
    if real in [home / name for name in _SHARED]:
        return "is shared by many programs, with the tokens of some"
    if any(real.is_relative_to(own) or own.is_relative_to(real) for own in map(_real, private)):
        return "holds what Inhouse keeps of you: conversations, keys and what you allowed"
    return ""


def _runs_later(real: Path, user: UserEnvironment) -> str:
    if any(real.is_relative_to(place) for place in _RUN_BY_THE_SYSTEM):
        return "is a part of the system"
    programs = [*map(_real, user.path), _real(Path(sys.prefix)), _real(Path(sys.base_prefix))]
    for place in programs:
        if place.is_relative_to(real) or real.is_relative_to(place):
            return f"programs are run from {place}, and what a command puts there would run outside the sandbox"
    return ""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))
