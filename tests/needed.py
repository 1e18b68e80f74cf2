"""Programs that tests use and machines may lack: without them those tests are skipped."""

from __future__ import annotations

import shutil

import pytest


def git_program() -> str:
    """Where git is."""
    return shutil.which("git") or pytest.skip("needs git")
