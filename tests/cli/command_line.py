"""The type of the fixture that runs the command line."""

from __future__ import annotations

from subprocess import CompletedProcess
from typing import Protocol


class Inhouse(Protocol):
    def __call__(self, *args: object, input: str = "", **variables: str) -> CompletedProcess[str]:
        """Runs `python -m inhouse ARGS` with `input` on stdin and `variables` in the environment."""
