"""What this machine offers to confine commands, and why some of it fails: for a person, or for a bug report."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from inhouse.workspace.confinement.launcher import landlock_abi
from inhouse.workspace.confinement.mechanisms import Mechanism, Trial, candidates, trial

# Settings of the kernel that decide whether an ordinary user may make namespaces.
_SETTINGS = {
    "user.max_user_namespaces": "user/max_user_namespaces",
    "kernel.unprivileged_userns_clone": "kernel/unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns": "kernel/apparmor_restrict_unprivileged_userns",
}
_REFUSING = {
    "user.max_user_namespaces": "0",
    "kernel.unprivileged_userns_clone": "0",
    "kernel.apparmor_restrict_unprivileged_userns": "1",
}


@dataclass(frozen=True)
class Diagnosis:
    """`trials` of all kinds, best first. `landlock` is the version the kernel has, 0 for none. `namespaces`: the
    kernel's settings for user namespaces, those that exist; `refused` are those that forbid them.
    """

    trials: tuple[Trial, ...]
    kernel: str
    landlock: int
    namespaces: Mapping[str, str]
    refused: tuple[str, ...]

    @property
    def chosen(self) -> Mechanism | None:
        """What confines commands here."""
        return next((tried.mechanism for tried in self.trials if not tried.problem), None)


def diagnose() -> Diagnosis:
    """Try each kind with a real command."""
    found = {name: value for name, place in _SETTINGS.items() if (value := _setting(place))}
    refused = tuple(f"{name}={value}" for name, value in found.items() if value == _REFUSING[name])
    tried = tuple(trial(kind) for kind in candidates())
    return Diagnosis(tried, f"{platform.system()} {platform.release()}", landlock_abi(), found, refused)


def _setting(place: str) -> str:
    try:
        return Path("/proc/sys", place).read_text().strip()
    except OSError:
        return ""
