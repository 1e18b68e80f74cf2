"""Programs that confinement is made of, and what of the caller's environment a command may see."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from inhouse.errors import SandboxError

_KEPT_VARIABLES = ("PYTEST_DISABLE_PLUGIN_AUTOLOAD",)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """What a command may see of the caller's environment: what decides how tests run, and says nothing of the user."""
    return {name: environment[name] for name in _KEPT_VARIABLES if name in environment}


def program(name: str, remedy: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SandboxError(f"{name} is not installed, and commands are never run unconfined unasked; {remedy}")
    return found
