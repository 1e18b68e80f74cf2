"""What conversations in a terminal share: lines that are entered, a history, and a Ctrl-C that stops one thing."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

_HISTORY_LINES = 1000
_NAP = 0.2  # seconds that a Ctrl-C may be overlooked


def lines() -> Iterator[str]:
    """What the user enters, stripped. Ctrl-C drops a line half written, Ctrl-D ends."""
    begun = ""
    while True:
        try:
            if sys.stdin.isatty():
                with _attentive():
                    line = input("... " if begun else "> ")
            else:
                line = input()
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            print("\n(Ctrl-D or /exit to leave)", file=sys.stderr)
            begun = ""
            continue
        if line.endswith("\\"):
            begun += line[:-1] + "\n"
            continue
        yield (begun + line).strip()
        begun = ""


@contextmanager
def _attentive() -> Iterator[None]:
    """While this lasts, no Ctrl-C is overlooked.

    CPython's readline sees a signal only if it comes while it sleeps; one that comes just before waits for the next
    key. So it is woken now and then.
    """
    done = threading.Event()
    main = threading.get_ident()

    def wake() -> None:
        while not done.wait(_NAP):
            signal.pthread_kill(main, signal.SIGURG)

    before = signal.signal(signal.SIGURG, lambda number, frame: None)  # merely having a handler ends the sleep
    waker = threading.Thread(target=wake, daemon=True)
    waker.start()
    try:
        yield
    finally:
        done.set()
        waker.join()
        signal.signal(signal.SIGURG, before)


class Flag:
    """Set by the first Ctrl-C."""

    def __init__(self) -> None:
        self._set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first time the answer ends at its next token; the second time at once."""
        if self._set:
            raise KeyboardInterrupt
        self._set = True


@contextmanager
def interruptible() -> Iterator[Flag]:
    """While this lasts, Ctrl-C sets the flag."""
    flag = Flag()
    before = signal.signal(signal.SIGINT, flag.on_signal)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def line_editing(history: Path) -> Iterator[None]:
    """Editing keys and a history that survives, where this Python has readline and a terminal."""
    try:
        import readline
    except ImportError:
        yield
        return
    if not sys.stdin.isatty():
        yield
        return
    readline.set_history_length(_HISTORY_LINES)
    if history.exists():
        readline.read_history_file(history)
    try:
        yield
    finally:
        history.parent.mkdir(parents=True, exist_ok=True)
        readline.write_history_file(history)
        history.chmod(0o600)
