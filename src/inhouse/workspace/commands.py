"""Running one command under limits: time, output, memory, processes. Knows nothing of confinement or repositories.

A command gets its own session, so that its whole process tree can be killed together. Its output is read as it
comes and only the head and the tail are kept, so that a runaway `yes` costs no memory.
"""

from __future__ import annotations

import contextlib
import platform
import re
import selectors
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal, Protocol

import psutil

from inhouse.workspace.processes import kill_session, started

Stop = Literal["timeout", "memory", "processes", "disk", "cancelled"]

POLL_SECONDS = 0.02  # a fork bomb makes ten thousand processes in half a second
_FULL_CHECK = 10  # every so many polls, where nothing looks like a bomb
_LAST_GASP = 10.0  # seconds that a killed tree may take to go
_LEAST_AVAILABLE = 0.02  # of the machine's memory; below that a command is stopped whatever it seems to use


@dataclass(frozen=True)
class Limits:
    """What one command may use. Sizes are bytes; None leaves memory or processes unlimited."""

    memory: int | None = 4 << 30  # private writable memory of each process, and resident memory of all together
    processes: int | None = 256
    file_size: int = 1 << 30
    disk: int | None = 8 << 30  # by which the free space of the workspace's file system may fall
    scratch: int = 1 << 30  # the private /tmp
    output: int = 128 << 10  # kept of what the command prints: half from the head, half from the tail


@dataclass(frozen=True)
class CommandResult:
    """How a command ended. `exit_code` is as a shell reports it (128 + signal); `output` is stdout and stderr."""

    exit_code: int
    output: str
    duration: float  # seconds
    stopped: Stop | None = None  # which limit ended it, if one did

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.stopped is None

    @property
    def timed_out(self) -> bool:
        return self.stopped == "timeout"


@dataclass(frozen=True)
class Launch:
    """How to start one command: for subprocess, with nothing else of the caller's environment."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    pass_fds: Sequence[int] = ()


class Runner(Protocol):
    """Whatever runs commands in a workspace."""

    @property
    def place(self) -> Path:
        """Where commands see the workspace."""

    @property
    def limits(self) -> Limits: ...

    def launch(
        self,
        command: Sequence[str] | str,
        *,
        environment: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        cwd: Path | None = None,
    ) -> AbstractContextManager[Launch]:
        """For commands that are not run to their end at once: start it once, and end it, while the context lasts."""

    def run(
        self,
        command: Sequence[str] | str,
        *,
        timeout: float,
        environment: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        cwd: Path | None = None,
    ) -> CommandResult:
        """Run a shell line or an argument list to its end, in the workspace or in `cwd` relative to it."""


class Capture:
    """Keeps the first and the last bytes of a stream of unknown length."""

    def __init__(self, size: int) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._half = max(size // 2, 1)
        self._tail_size = 0
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        room = self._half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if not data:
            return
        self._tail.append(data)
        self._tail_size += len(data)
        while self._tail_size - len(self._tail[0]) >= self._half:
            self._tail_size -= len(self._tail[0])
            self._dropped += len(self._tail.popleft())

    def text(self) -> str:
        tail = b"".join(self._tail)
        dropped = self._dropped + max(len(tail) - self._half, 0)
        middle = f"\n... [{dropped} bytes left out] ...\n".encode() if dropped else b""
        return (bytes(self._head) + middle + tail[-self._half :]).decode("utf-8", errors="replace")


def as_argv(command: Sequence[str] | str) -> list[str]:
    """A string is a shell line; a sequence is run as it is."""
    return ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)


def limited(argv: Sequence[str], limits: Limits, prlimit: str, *, private: bool = False) -> list[str]:
    """`argv` under the kernel's per-process limits, by prlimit(1).

    Memory is RLIMIT_DATA, not RLIMIT_AS: runtimes such as V8 reserve far more address space than they touch.
    `private`: it runs in a user namespace of its own, where Linux counts its processes apart (since 5.14).
    """
    options = ["--core=0", f"--fsize={limits.file_size}"]
    if limits.memory is not None:
        options.append(f"--data={limits.memory}")
    if private and limits.processes is not None and _kernel() >= (5, 14):
        options.append(f"--nproc={2 * limits.processes}")  # a wall behind the watch, which says what happened
    return [prlimit, *options, "--", *argv]


def _kernel() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(found[1]), int(found[2])) if found else (0, 0)


def execute(launch: Launch, *, timeout: float, limits: Limits) -> CommandResult:
    """Run a command to its end or to the first limit it breaks; never leaves a process of its session behind."""
    started_at = time.monotonic()
    capture = Capture(limits.output)
    watch = Watch(launch.cwd, limits)
    with started(
        launch.argv,
        cwd=launch.cwd,
        env=dict(launch.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        bufsize=0,
        pass_fds=launch.pass_fds,
    ) as process:
        assert process.stdout is not None
        try:
            stopped = _read(process, process.stdout, capture, started_at + timeout, watch)
            if stopped is None:
                process.wait()
        finally:
            kill_session(process)
            _drain(process.stdout)
    code = process.returncode if process.returncode >= 0 else 128 - process.returncode
    return CommandResult(code, capture.text(), time.monotonic() - started_at, stopped)


def _read(
    process: subprocess.Popen[bytes], stream: IO[bytes], capture: Capture, deadline: float, watch: Watch
) -> Stop | None:
    """Feed the output into `capture` until the command ends (None) or breaks a limit."""
    next_check = time.monotonic() + POLL_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if now >= deadline:
                return "timeout"
            if now >= next_check:
                if broken := watch.broken(process.pid):
                    return broken
                next_check = now + POLL_SECONDS
            if selector.select(max(0.0, min(deadline, next_check) - now)):
                data = stream.read(1 << 16)
                if not data:
                    break
                capture.feed(data)
            elif process.poll() is not None:  # ended, but a child that got away keeps the pipe open
                break
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=max(0.0, deadline - time.monotonic()))
        return None
    return "timeout"


def _drain(stream: IO[bytes]) -> None:
    """Wait until everybody who could write is gone: a big tree dies slowly, and until then still takes its share."""
    deadline = time.monotonic() + _LAST_GASP
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left) and stream.read(1 << 16):
            pass


class Watch:
    """The limits on the whole tree of processes, which rlimits cannot express: to be looked at a few times a second."""

    def __init__(self, cwd: Path, limits: Limits) -> None:
        self._limits = limits
        self._cwd = cwd
        self._free = self._free_space()
        self._tasks = _tasks()
        self._polls = 0

    def broken(self, pid: int) -> Stop | None:
        """The limit that the process `pid` and its descendants have broken, if any."""
        limits = self._limits
        self._polls += 1
        surge = limits.processes is not None and _tasks() - self._tasks > limits.processes
        if self._polls % _FULL_CHECK and not surge:
            return None
        try:
            root = psutil.Process(pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.Error:
            return None
        if limits.processes is not None and len(tree) > limits.processes:
            return "processes"
        if limits.disk is not None and self._free - self._free_space() > limits.disk:
            return "disk"
        if limits.memory is None:
            return None
        machine = psutil.virtual_memory()
        if machine.available < _LEAST_AVAILABLE * machine.total:
            return "memory"  # files in memory and pipes belong to no process
        resident = 0
        for member in tree:
            with contextlib.suppress(psutil.Error):
                resident += member.memory_info().rss
        return "memory" if resident > limits.memory else None

    def _free_space(self) -> int:
        return shutil.disk_usage(self._cwd).free


def _tasks() -> int:
    """How many tasks the whole machine has: one short read, where a look at each process comes too late."""
    try:
        with open("/proc/loadavg") as file:
            return int(file.read().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0
