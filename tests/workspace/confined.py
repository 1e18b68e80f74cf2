"""Whether this machine can confine commands at all: for tests that need it to, however it does."""

from __future__ import annotations

import pytest

from inhouse.errors import SandboxError
from inhouse.workspace.confinement.mechanisms import best


def problem() -> str:
    """Why commands cannot be confined here; empty if they can."""
    try:
        best()
    except SandboxError as error:
        return str(error)
    return ""


needs_sandbox = pytest.mark.skipif(bool(problem()), reason=problem() or "commands can be confined")
