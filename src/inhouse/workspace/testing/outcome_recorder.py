"""Runs *inside* the tests of the user's project: writes down how each test ends, and ends those that never would.

Its text is copied beside a `sitecustomize.py` and `pytest_recorder.py`; so it uses the standard library alone, runs on
any Python 3.8 or newer, and must never disturb the program. It knows unittest (`watch_unittest`); pytest's hooks are in
`pytest_recorder.py`. It knows nothing of the rest of this package; `outcomes.py` puts it in place and reads what it
wrote: one JSON object a line, each flushed at once, so that a process that dies has named the test it died in.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import importlib.abc
import importlib.machinery
import json
import linecache
import os
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from typing import Any

MAX_FRAMES = 60  # of one traceback: the outer third and the rest from its end
MAX_TEXT = 6000  # characters of one message
GRACE = 3.0  # seconds after its limit in which a test may still end by an exception; then its process ends
BUSY = 2.0  # times its limit that a test gets besides where more wants to run than the machine has cores
LEAST_LIMIT = 5.0  # seconds: each test that hangs halves the limit of those after it, down to this
ACTIVE = "INHOUSE_TESTS_RECORDED_BY"  # names the process that records, so that tests which start tests do not
SETTINGS = "INHOUSE_TEST_SETTINGS"


class TimeLimitExceeded(BaseException):
    """A test ran longer than it may. No Exception: a program's own `except Exception` must not swallow it."""


class Recorder:
    """Writes events to the file that the settings name, and holds each test to its limits.

    `quiet` processes (pytest-xdist's workers) enforce limits and write nothing: their controller hears of everything.
    """

    def __init__(self, settings: dict[str, Any], quiet: bool = False) -> None:
        self.root = str(settings["root"]).rstrip("/") + "/"
        self.only = frozenset(settings["only"]) if settings.get("only") is not None else None
        self.skipped = frozenset(settings.get("skipped", ()))
        self.first = {test: index for index, test in enumerate(settings.get("first", ()))}
        self.usual: dict[str, float] = settings.get("limits", {})
        self.limit = float(settings["limit"])
        self.known = frozenset(settings["known"]) if settings.get("known") is not None else None
        self._new: set[str] = set()
        self._most_new = int(settings.get("new_failures", 0))
        self._pid = os.getpid()
        self._output = -1 if quiet else os.open(settings["output"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._stacks = os.open(settings["stacks"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        _limit_memory(settings.get("memory"))

    def write(self, event: str, **fields: Any) -> None:
        """Add one event."""
        if self._output >= 0 and os.getpid() == self._pid:
            line = json.dumps(dict(fields, event=event, pid=self._pid)) + "\n"
            os.write(self._output, line.encode("utf-8", "surrogatepass"))

    def faults(self) -> None:
        """Have the stack of a process that crashes written down."""
        faulthandler.enable(file=self._stacks)

    def wanted(self, test: str) -> bool:
        """Whether a test is among those to be run."""
        return test not in self.skipped and (self.only is None or test in self.only)

    def enough(self, failed: str) -> bool:
        """Whether with this test more fail than need be known of."""
        if self.known is None or failed in self.known:
            return False
        self._new.add(failed)
        return len(self._new) > self._most_new

    @contextlib.contextmanager
    def limited(self, test: str, limit: float | None = None) -> Iterator[None]:
        """Within this, what runs longer than the limit of the test gets TimeLimitExceeded raised where it is.

        Where that cannot be done (a loop in C, a thread, a program that catches everything) the process ends, its
        stack written down.
        """
        seconds = limit or self.usual.get(test, self.limit)
        faulthandler.dump_traceback_later(seconds + GRACE, exit=True, file=self._stacks)
        main = threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer")
        before: Any = None
        rest = (0.0, 0.0)
        began, worked = time.monotonic(), time.process_time()
        allowed = [BUSY * seconds] if _busy() else []

        def expired(number: int, frame: Any) -> None:
            __tracebackhide__ = True  # of pytest
            if (
                allowed and time.process_time() - worked < seconds / 2
            ):  # it waits, or the machine has other things to do
                more = allowed.pop()
                faulthandler.dump_traceback_later(more + GRACE, exit=True, file=self._stacks)
                signal.setitimer(signal.ITIMER_REAL, more)
                return
            self.limit = min(self.limit, max(LEAST_LIMIT, self.limit / 2))
            spent = time.monotonic() - began
            raise TimeLimitExceeded(f"the test was still running after {spent:.0f} s{self._where(frame)}")

        if main:
            before = signal.signal(signal.SIGALRM, expired)
            rest = signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            if main:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
                if signal.getsignal(signal.SIGALRM) is expired:
                    signal.signal(signal.SIGALRM, before if before is not None else signal.SIG_DFL)
                if rest[0] > 0:  # a timer of the project's own goes on
                    signal.setitimer(signal.ITIMER_REAL, max(0.01, rest[0] - (time.monotonic() - began)), rest[1])
            faulthandler.cancel_dump_traceback_later()

    def failure(self, error: BaseException, phase: str) -> dict[str, Any]:
        """What an exception says, with the places of its traceback, innermost last."""
        kind = type(error)
        said: dict[str, Any] = {
            "exception": kind.__name__,
            "module": str(kind.__module__),
            "message": _text(error),
            "places": self._places(error),
            "phase": phase,
        }
        for name in ("name", "filename", "errno"):  # of ImportError and OSError
            value = getattr(error, name, None)
            if isinstance(error, (ImportError, OSError)) and isinstance(value, (str, int)):
                said[name] = value
        if not said["message"] and said["places"]:
            path, line, _ = said["places"][-1]
            where = path if path.startswith("/") else self.root + path
            said["line"] = linecache.getline(where, line).strip()[:300]
        return said

    def _places(self, error: BaseException) -> list[tuple[str, int, str]]:
        places: list[tuple[str, int, str]] = []
        trace = error.__traceback__
        while trace is not None and len(places) < 100_000:
            code = trace.tb_frame.f_code
            if code.co_filename != __file__:
                places.append((self._relative(code.co_filename), trace.tb_lineno, code.co_name))
            trace = trace.tb_next
        if isinstance(error, SyntaxError) and error.filename:
            places.append((self._relative(error.filename), error.lineno or 1, "<syntax>"))
        if len(places) > MAX_FRAMES:
            third = MAX_FRAMES // 3
            places = places[:third] + places[third - MAX_FRAMES :]
        return places

    def _relative(self, filename: str) -> str:
        filename = os.path.abspath(filename) if not filename.startswith(("/", "<")) else filename
        return filename[len(self.root) :] if filename.startswith(self.root) else filename

    def _where(self, frame: Any) -> str:
        while frame is not None:
            filename = frame.f_code.co_filename
            if filename.startswith(self.root) and "/site-packages/" not in filename:
                return f", at {filename[len(self.root) :]}:{frame.f_lineno} in {frame.f_code.co_name}"
            frame = frame.f_back
        return ""


def _busy() -> bool:
    try:
        return os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)
    except OSError:
        return False


def _text(error: BaseException) -> str:
    argument = getattr(error, "argname", None)
    if type(error).__name__ == "FixtureLookupError" and argument:  # whose own text is a whole page
        return f"fixture '{argument}' not found"
    try:
        text = str(error)
    except Exception:
        text = ""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."


def _limit_memory(memory: int | None) -> None:
    """Less than the process is allowed, so that the test gets a MemoryError before all tests are killed."""
    if not memory or not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(Exception):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if soft == resource.RLIM_INFINITY or soft > memory:
            resource.setrlimit(resource.RLIMIT_DATA, (memory, hard))


def records() -> bool:
    """Whether it is this process that shall record its tests."""
    return bool(os.environ.get(SETTINGS)) and os.environ.get(ACTIVE, str(os.getpid())) == str(os.getpid())


def opened(quiet: bool = False) -> Recorder | None:
    """The recorder of this process; None where another one records, or nothing was asked for."""
    if not records() and not (quiet and os.environ.get(SETTINGS)):
        return None
    with open(os.environ[SETTINGS], encoding="utf-8") as file:
        wanted = json.load(file)
    recorder = Recorder(wanted, quiet)
    if not quiet:
        os.environ[ACTIVE] = str(os.getpid())
    return recorder


class _UnittestLoader(importlib.abc.Loader):
    """Loads `unittest.case` and puts the recorder into it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: types.ModuleType) -> None:
        self._loader.exec_module(module)
        with contextlib.suppress(Exception):
            _patch(module)


class _UnittestFinder(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != "unittest.case":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _UnittestLoader(spec.loader)
        return spec


def watch_unittest() -> None:
    """Record what unittest runs, once it is imported; nothing where pytest runs the tests."""
    if os.environ.get(SETTINGS) and "unittest.case" not in sys.modules:
        sys.meta_path.insert(0, _UnittestFinder())


def _patch(case: types.ModuleType) -> None:
    """Record what `TestCase.run` runs and what results are told. Begins with the first test."""
    results: Any = sys.modules["unittest.result"].TestResult
    run: Callable[..., Any] = case.TestCase.run
    state: dict[str, Recorder | None] = {}

    def recorder() -> Recorder | None:
        if "recorder" not in state:
            beside = "inhouse_pytest_recorder" in sys.modules
            state["recorder"] = opened() if not beside else None
            if (found := state["recorder"]) is not None:
                found.faults()
                found.write("begin", runner="unittest")
                atexit.register(found.write, "finish")
        return state["recorder"]

    def limited_run(self: Any, result: Any = None) -> Any:
        found = recorder()
        if found is None:
            return run(self, result)
        test = self.id()
        if not found.wanted(test):
            return result
        began = time.monotonic()
        found.write("start", id=test)
        try:
            with found.limited(test):
                return run(self, result)
        finally:
            found.write("end", id=test, seconds=round(time.monotonic() - began, 4))

    def told(name: str, outcome: str) -> None:
        original = getattr(results, name)

        def method(self: Any, test: Any, *rest: Any) -> Any:
            found = recorder()
            if found is not None:
                error = rest[-1] if outcome == "failed" and rest else None
                raised = error[1] if isinstance(error, tuple) else None
                if name != "addSubTest" or raised is not None:
                    said = None if raised is None else found.failure(raised, "call")
                    found.write("result", id=test.id(), outcome=outcome, failure=said)
                    if outcome == "failed" and found.enough(test.id()):
                        self.stop()
            return original(self, test, *rest)

        setattr(results, name, method)

    case.TestCase.run = limited_run
    for name, outcome in (
        ("addSuccess", "passed"), ("addError", "failed"), ("addFailure", "failed"), ("addSubTest", "failed"),
        ("addUnexpectedSuccess", "failed"), ("addSkip", "skipped"), ("addExpectedFailure", "skipped"),
    ):  # fmt: skip
        told(name, outcome)
