"""A shell that stays: variables, functions and the directory live on from one command to the next.

One bash runs under a `Runner`'s confinement and reads commands from its standard input. How a command ended comes back
on a pipe of its own, which the commands themselves do not see, so that no output can be mistaken for the end. Knows
nothing of models, tools or permissions.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from inhouse.workspace.commands import POLL_SECONDS, Capture, CommandResult, Runner, Stop, Watch
from inhouse.workspace.processes import started

_BASH = ("bash", "--noprofile", "--norc")
_GRACE = 1.0  # seconds for bash itself to come back after its children are killed
_LOOK = 0.05  # seconds between two looks at whether the user wants to stop

OnOutput = Callable[[str], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class ShellResult(CommandResult):
    """`cwd` is where the shell is now. `restarted`: it ended or had to be killed, and its variables are gone."""

    cwd: str = ""
    restarted: bool = False


class Shell:
    """Starts with the first command. Use from one thread; `close` may be called twice, also from another."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._process: subprocess.Popen[bytes] | None = None
        self._fd = -1  # the other end, as a number in the shell
        self._status = -1  # our end of the pipe that says how commands ended
        self._cwd = str(runner.place)
        self._launched = contextlib.ExitStack()  # the shell's process, and what confines it
        self._watch: Watch | None = None

    @property
    def cwd(self) -> str:
        return self._cwd

    def run(
        self,
        command: str,
        *,
        timeout: float,
        cancelled: Cancelled = lambda: False,
        on_output: OnOutput = lambda text: None,
    ) -> ShellResult:
        """Run a command, in the shell that is there or in a new one. Raises SandboxError like `Runner.launch`."""
        begun = time.monotonic()
        process = self._running()
        capture = Capture(self._runner.limits.output)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            try:
                process.stdin.write(self._line(command))
                process.stdin.flush()
                ended, stopped = self._follow(process, capture, begun + timeout, cancelled, on_output)
            except BrokenPipeError:
                ended, stopped = None, None
            if stopped is not None and ended is None:
                self._kill_commands(process)
                grace = time.monotonic() + _GRACE
                ended, _ = self._follow(process, capture, grace, lambda: False, on_output, limits=False)
        except BaseException:
            self.close()
            raise
        code, self._cwd = ended or (None, self._cwd)
        restarted = code is None
        if code is None:
            code = self._end(process, by_itself=stopped is None)
        return ShellResult(code, capture.text(), time.monotonic() - begun, stopped, self._cwd, restarted)

    def close(self) -> None:
        """End the shell and everything that was started in it."""
        if self._process is not None:
            self._end(self._process)

    def _running(self) -> subprocess.Popen[bytes]:
        """The shell, started if there is none. Where its last directory is gone it begins in the workspace."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        ours, theirs = os.pipe()
        try:
            self._fd = theirs
            self._process = self._start(theirs)
        except BaseException:
            os.close(ours)
            self._launched.close()
            raise
        finally:
            os.close(theirs)
        self._status = ours
        os.set_blocking(ours, False)
        return self._process

    def _start(self, status: int) -> subprocess.Popen[bytes]:
        launch = self._launched.enter_context(self._runner.launch(_BASH))
        self._watch = Watch(launch.cwd, self._runner.limits)
        process = self._launched.enter_context(
            started(
                launch.argv,
                cwd=launch.cwd,
                env=dict(launch.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(status, *launch.pass_fds),
                bufsize=0,
            )
        )
        assert process.stdin is not None
        if Path(self._cwd) != self._runner.place:
            with contextlib.suppress(BrokenPipeError):  # whoever runs a command will see that it is gone
                process.stdin.write(f"cd -- {shlex.quote(self._cwd)} 2>/dev/null\n".encode())
        return process

    def _line(self, command: str) -> bytes:
        """What bash reads: the command in this very shell, then its status and directory on our pipe.

        The command sees neither our pipe nor the rest of our input.
        """
        text = command.replace("\0", "")
        line = f"{{ eval {shlex.quote(text)}; }} </dev/null {self._fd}>&-\n"
        return (line + f'printf \'%s %s\\0\' "$?" "$PWD" >&{self._fd}\n').encode("utf-8", errors="surrogateescape")

    def _follow(
        self,
        process: subprocess.Popen[bytes],
        capture: Capture,
        deadline: float,
        cancelled: Cancelled,
        on_output: OnOutput,
        *,
        limits: bool = True,
    ) -> tuple[tuple[int, str] | None, Stop | None]:
        """Take in output until the command ends: (exit code, directory), or None and the limit that it broke."""
        status = b""
        next_check = time.monotonic() + POLL_SECONDS
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(self._status, selectors.EVENT_READ)
            while True:
                now = time.monotonic()
                if cancelled():
                    return None, "cancelled"
                if now >= deadline:
                    return None, "timeout"
                if limits and now >= next_check:
                    next_check = now + POLL_SECONDS
                    if self._watch is not None and (broken := self._watch.broken(process.pid)):
                        return None, broken
                for key, _ in selector.select(max(0.0, min(deadline - now, _LOOK))):
                    data = os.read(key.fd, 1 << 16)
                    if key.fd != self._status:
                        if not data:
                            return None, None  # the shell is gone
                        capture.feed(data)
                        on_output(data.decode("utf-8", errors="replace"))
                        continue
                    status += data
                    if not data:
                        self._drain(process, capture, on_output)
                        return None, None
                    if status.endswith(b"\0"):
                        self._drain(process, capture, on_output)
                        code, _, cwd = status[:-1].decode("utf-8", errors="replace").partition(" ")
                        return (int(code), cwd), None

    def _drain(self, process: subprocess.Popen[bytes], capture: Capture, on_output: OnOutput) -> None:
        """What the command had printed when it ended; it is in the pipe already."""
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            for _ in range(64):  # a child in the background may go on printing: that belongs to the next command
                if not selector.select(0):
                    return
                data = os.read(process.stdout.fileno(), 1 << 16)
                if not data:
                    return
                capture.feed(data)
                on_output(data.decode("utf-8", errors="replace"))

    def _kill_commands(self, process: subprocess.Popen[bytes]) -> None:
        """Kill what runs in the shell, not the shell."""
        with contextlib.suppress(psutil.Error):
            keep = _spine(psutil.Process(process.pid))
            for child in keep[0].children(recursive=True):
                if child not in keep:
                    with contextlib.suppress(psutil.Error):
                        child.kill()

    def _end(self, process: subprocess.Popen[bytes], *, by_itself: bool = False) -> int:
        """Kill the shell's whole session; the exit code as a shell reports it, its own if it ends `by_itself`."""
        code = _ended(process) if by_itself else None
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    child.kill()
        self._launched.close()
        if self._status >= 0:
            os.close(self._status)
            self._status = -1
        self._process = None
        code = process.returncode if code is None else code
        return code if code >= 0 else 128 - code


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """The exit code of a shell that is ending by itself."""
    try:
        return process.wait(timeout=0.2)
    except subprocess.TimeoutExpired:
        return None


def _spine(root: psutil.Process) -> list[psutil.Process]:
    """The processes from the confinement down to bash."""
    found = [root]
    while found[-1].cmdline()[: len(_BASH)] != list(_BASH):
        children = found[-1].children()
        if not children:
            break
        found.append(children[0])
    return found
