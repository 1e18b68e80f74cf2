"""The command line for tests: the type of the fixture that runs it, and one at a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from subprocess import CompletedProcess
from typing import Protocol

import pytest


class Inhouse(Protocol):
    def __call__(self, *args: object, input: str = "", **variables: str) -> CompletedProcess[str]:
        """Runs `python -m inhouse ARGS` with `input` on stdin and `variables` in the environment."""


def told(done: CompletedProcess[str]) -> str:
    """What a pull says on stderr, without the progress that it shows if it takes more than two seconds."""
    return re.sub(r"^\S+: (fetching|checking|waits for another pull)( \d+%)?\n", "", done.stderr, flags=re.MULTILINE)


class Terminal:
    """`inhouse ARGS` at the other end of a pseudo-terminal."""

    def __init__(self, environment: dict[str, str], *args: str) -> None:
        self._end, theirs = pty.openpty()
        command = [sys.executable, "-m", "inhouse", *args]
        self.process = subprocess.Popen(
            command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)
        self._read = ""

    def type(self, text: str) -> None:
        os.write(self._end, text.encode())

    def wait_for(self, pattern: str, seconds: float = 30) -> str:
        """Everything up to and with the first match of `pattern` since the last call."""
        deadline = time.monotonic() + seconds
        while (found := re.search(pattern, self._read)) is None:
            ready, _, _ = select.select([self._end], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} in {self._read!r}"
            self._read += os.read(self._end, 65536).decode("utf-8", "replace")
        text, self._read = self._read[: found.end()], self._read[found.end() :]
        return text

    def interrupt_until(self, pattern: str) -> None:
        """Ctrl-C, again if need be: one that comes between readline's echo and its next wait is seen only after it."""
        for _ in range(30):
            self.process.send_signal(signal.SIGINT)
            with contextlib.suppress(AssertionError):
                self.wait_for(pattern, seconds=1)
                return
        pytest.fail(f"no {pattern!r} after 30 times Ctrl-C")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._end)
