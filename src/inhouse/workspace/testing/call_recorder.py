"""Runs *inside* the tests of the user's project and writes down which of its functions and lines each test runs.

Its text is copied beside a `sitecustomize.py` that calls `start`; so it uses the standard library alone, runs on any
Python 3.8 or newer, and must never disturb the program: what cannot be written down is left out. It knows nothing of
the rest of this package; `calls.py` puts it in place and reads what it wrote.
"""

from __future__ import annotations

import atexit
import dis
import json
import os
import reprlib
import sys
import threading
import time
from typing import Any

MAX_CALLS = 8  # written down per function and test
MAX_TESTS = 4  # whose values are written down
MAX_TEXT = 120  # characters of one value
SETUPS = ("setUp", "asyncSetUp", "setup_method", "setup")  # what they run belongs to the test after them
SUSPENDABLE = 0x2A0  # code flags of generators and coroutines, whose frames also return to go on later
EVERY = 1.0  # seconds between two times that something is written down: a test may end the process of all
MAX_STEPS = 400  # lines traced of one function in one test, loops included: the rest of its run costs nothing


class Recorder:
    """Collects, per test function, the functions and lines of the project that it runs.

    A test is what runs below a function called `test…` in a file of the tests: true for pytest and unittest alike.
    Only tests called like one in `watched` get values written down.
    """

    def __init__(self, root: str, watched: list[str], output: str) -> None:
        self._output, self._written = output, time.monotonic()
        self._root = root.rstrip("/") + "/"
        self._watched = frozenset(watched)
        self._process = os.getpid()
        self._files: dict[str, str | None] = {}  # of code objects -> relative to the root, None outside
        self._test: str | None = None
        self._test_frame: Any = None
        self._busy = False
        self.covered: dict[str, set[str]] = {}
        self.lines: dict[str, dict[str, set[int]]] = {}
        self.calls: dict[str, list[dict[str, Any]]] = {}
        self._seen: dict[Any, set[int]] = {}  # code object -> its lines that ran in the test of now
        self._prepared: set[str] = set()  # functions that the set-up of the next test ran
        self._raised = False
        self._steps: dict[Any, int] = {}
        self._open: dict[int, dict[str, Any]] = {}
        self._short = reprlib.Repr()
        self._short.maxstring = self._short.maxother = self._short.maxlong = MAX_TEXT
        self._short.maxlist = self._short.maxtuple = self._short.maxset = self._short.maxdict = 8

    def trace(self, frame: Any, event: str, value: Any) -> Any:
        """The trace function of the interpreter: called as a function begins, answers with what follows its lines."""
        code = frame.f_code
        path = self._path(code.co_filename)
        if path is None:
            return None
        if self._test_frame is None:
            if code.co_name.startswith("test") or code.co_name in SETUPS:
                self._begin(frame, path)
                return self._trace_test
            return None
        place = path + ":" + str(code.co_firstlineno)
        (self._prepared if self._test is None else self.covered[self._test]).add(place)
        if self._steps.get(code, 0) >= MAX_STEPS:
            return None
        self._seen.setdefault(code, set()).add(frame.f_lineno)
        return self._trace_lines

    def _trace_test(self, frame: Any, event: str, value: Any) -> Any:
        frame.f_trace_lines = False
        if event == "return" and frame is self._test_frame and (self._raised or not suspended(frame)):
            self._end()
        self._raised = event == "exception"
        return self._trace_test

    def _trace_lines(self, frame: Any, event: str, value: Any) -> Any:
        if event == "line":
            code = frame.f_code
            self._seen[code].add(frame.f_lineno)
            steps = self._steps[code] = self._steps.get(code, 0) + 1
            if steps >= MAX_STEPS:
                frame.f_trace_lines = False
        return self._trace_lines

    def _begin(self, frame: Any, path: str) -> None:
        name = frame.f_code.co_name
        self._test_frame = frame
        if name in SETUPS:
            return
        self._test = path + "::" + name
        self.covered.setdefault(self._test, set()).update(self._prepared)
        self._prepared = set()
        if name in self._watched and (self._test in self.calls or len(self.calls) < MAX_TESTS):
            self.calls.setdefault(self._test, [])
            sys.setprofile(self.profile)

    def _end(self) -> None:
        """A test, or the set-up before one, is over."""
        sys.setprofile(None)
        if self._test is not None:
            lines = self.lines.setdefault(self._test, {})
            for code, seen in self._seen.items():
                path = self._path(code.co_filename)
                if path is not None:
                    lines.setdefault(path, set()).update(seen)
            self._seen = {}
        self._test, self._test_frame = None, None
        self._steps = {}
        self._open.clear()
        if time.monotonic() - self._written > EVERY and os.getpid() == self._process:
            self._note({})
            self.covered, self.lines = {}, {}

    def profile(self, frame: Any, event: str, value: Any) -> None:
        """The profile function of the interpreter, for tests whose values are written down."""
        if self._busy or event not in ("call", "return") or frame is self._test_frame:
            return
        path = self._path(frame.f_code.co_filename)
        if path is None or self._test is None:
            return
        self._busy = True
        try:
            if event == "call":
                self._enter(frame, path)
            else:
                self._leave(frame, value)
        except Exception:  # never the program's business
            pass
        finally:
            self._busy = False

    def _path(self, filename: str) -> str | None:
        if filename not in self._files:
            inside = filename.startswith(self._root) and "/site-packages/" not in filename
            self._files[filename] = filename[len(self._root) :] if inside else None
        return self._files[filename]

    def _enter(self, frame: Any, path: str) -> None:
        code = frame.f_code
        if id(frame) in self._open or code.co_name.startswith("<"):  # a generator goes on
            return
        place = path + ":" + str(code.co_firstlineno)
        calls = self.calls[self._test or ""]
        if sum(call["place"] == place for call in calls) >= MAX_CALLS:
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        arguments = {name: self._repr(frame.f_locals[name]) for name in names if name in frame.f_locals}
        call = {"place": place, "name": code.co_name, "arguments": arguments, "yields": [], "result": None}
        calls.append(call)
        self._open[id(frame)] = call

    def _leave(self, frame: Any, value: Any) -> None:
        call = self._open.get(id(frame))
        if call is None:
            return
        if frame.f_code.co_flags & SUSPENDABLE and value is not None:  # it may go on
            if len(call["yields"]) < MAX_CALLS:
                call["yields"].append(self._repr(value))
            return
        del self._open[id(frame)]
        if value is not None or returns(frame):
            call["result"] = self._repr(value)  # else it was left by an exception, which also looks like a None

    def _repr(self, value: Any) -> str:
        try:
            text = self._short.repr(value)
        except Exception:
            text = "<" + type(value).__name__ + ">"
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."

    def write(self) -> None:
        """Write down what was seen and is not written yet."""
        sys.settrace(None)
        self._end()
        if os.getpid() == self._process:
            self._note(self.calls)

    def _note(self, calls: dict[str, list[dict[str, Any]]]) -> None:
        """Add to the file, one JSON object a line (several processes may run)."""
        self._written = time.monotonic()
        seen = {
            "covered": {test: sorted(places) for test, places in self.covered.items()},
            "lines": {test: {p: sorted(n) for p, n in files.items()} for test, files in self.lines.items()},
            "calls": calls,
        }
        if self.covered or calls:
            with open(self._output, "a", encoding="utf-8") as file:
                file.write(json.dumps(seen) + "\n")


def returns(frame: Any) -> bool:
    """Whether a frame is left by a return statement (an exception looks like a None)."""
    return bool(dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN"))


def suspended(frame: Any) -> bool:
    """Whether a frame that seems to return goes on later: a generator or coroutine at a yield or await."""
    return bool(frame.f_code.co_flags & SUSPENDABLE) and not returns(frame)


def start(settings: str) -> None:
    """Begin to record as the JSON file `settings` says: root, watched, output."""
    with open(settings, encoding="utf-8") as file:
        wanted = json.load(file)
    recorder = Recorder(wanted["root"], wanted["watched"], wanted["output"])
    atexit.register(recorder.write)
    threading.settrace(recorder.trace)
    sys.settrace(recorder.trace)
