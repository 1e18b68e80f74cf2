"""Processes that never outlive the block they were started for. Knows neither sandboxes nor git."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def started(argv: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, `options` as for subprocess.Popen; the whole session is killed at the end.

    Also when a signal's handler raises while it is being started: Popen alone would then have lost sight of it.
    """
    process: subprocess.Popen[bytes] | None = None
    try:
        with _deferred():
            process = subprocess.Popen(list(argv), start_new_session=True, **options)
        yield process
    finally:
        if process is not None:
            kill_session(process)
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kills what is left of a session, its leader being gone or not: a command may leave children."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _deferred() -> Iterator[None]:
    """What would end us is handled when the block is over. Python handles signals in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {number: signal.getsignal(number) for number in _ENDING}
    taken = {number: handler for number, handler in handlers.items() if callable(handler)}
    for number in taken:
        signal.signal(number, lambda number, frame: came.append((number, frame)))
    try:
        yield
    finally:
        for number, handler in taken.items():
            signal.signal(number, handler)
        for arrived, frame in came:
            taken[signal.Signals(arrived)](arrived, frame)
