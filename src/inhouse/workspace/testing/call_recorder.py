"""Runs *inside* the tests of the user's project and writes down which of its functions each test calls, with values.

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
from typing import Any

MAX_CALLS = 8  # written down per function and test
MAX_TESTS = 4  # whose values are written down
MAX_TEXT = 120  # characters of one value


class Recorder:
    """Collects, per test function, the functions of the project that it calls.

    A test is what runs below a function called `test…` in a file of the tests: true for pytest and unittest alike.
    Only tests called like one in `watched` get values written down.
    """

    def __init__(self, root: str, watched: list[str]) -> None:
        self._root = root.rstrip("/") + "/"
        self._watched = frozenset(watched)
        self._files: dict[str, str | None] = {}  # of code objects -> relative to the root, None outside
        self._test: str | None = None
        self._test_frame: Any = None
        self._busy = False
        self.covered: dict[str, set[str]] = {}
        self.calls: dict[str, list[dict[str, Any]]] = {}
        self._open: dict[int, dict[str, Any]] = {}
        self._short = reprlib.Repr()
        self._short.maxstring = self._short.maxother = self._short.maxlong = MAX_TEXT
        self._short.maxlist = self._short.maxtuple = self._short.maxset = self._short.maxdict = 8

    def profile(self, frame: Any, event: str, value: Any) -> None:
        """The profile function of the interpreter."""
        if self._busy or event not in ("call", "return"):
            return
        path = self._path(frame.f_code.co_filename)
        if path is None:
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
        if self._test is None:
            if code.co_name.startswith("test"):
                self._test, self._test_frame = path + "::" + code.co_name, frame
                self.covered.setdefault(self._test, set())
            return
        place = path + ":" + str(code.co_firstlineno)
        self.covered[self._test].add(place)
        if code.co_name not in self._watched and self._test.rpartition("::")[2] not in self._watched:
            return
        if id(frame) in self._open or code.co_name.startswith("<"):  # a generator goes on
            return
        if self._test not in self.calls and len(self.calls) >= MAX_TESTS:
            return
        calls = self.calls.setdefault(self._test, [])
        if sum(call["place"] == place for call in calls) >= MAX_CALLS:
            return
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        arguments = {name: self._repr(frame.f_locals[name]) for name in names if name in frame.f_locals}
        call = {"place": place, "name": code.co_name, "arguments": arguments, "yields": [], "result": None}
        calls.append(call)
        self._open[id(frame)] = call

    def _leave(self, frame: Any, value: Any) -> None:
        if frame is self._test_frame:
            self._test, self._test_frame = None, None
            self._open.clear()
            return
        call = self._open.get(id(frame))
        if call is None:
            return
        if frame.f_code.co_flags & 0x2A0 and value is not None:  # a generator or coroutine that may go on
            if len(call["yields"]) < MAX_CALLS:
                call["yields"].append(self._repr(value))
            return
        del self._open[id(frame)]
        if value is not None or dis.opname[frame.f_code.co_code[frame.f_lasti]].startswith("RETURN"):
            call["result"] = self._repr(value)  # else it was left by an exception, which also looks like a None

    def _repr(self, value: Any) -> str:
        try:
            text = self._short.repr(value)
        except Exception:
            text = "<" + type(value).__name__ + ">"
        return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."

    def write(self, path: str) -> None:
        """Add what was seen to a file, one JSON object a line (several processes may have run)."""
        sys.setprofile(None)
        seen = {"covered": {test: sorted(places) for test, places in self.covered.items()}, "calls": self.calls}
        if self.covered:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(seen) + "\n")


def start(settings: str) -> None:
    """Begin to record as the JSON file `settings` says: root, watched, output."""
    with open(settings, encoding="utf-8") as file:
        wanted = json.load(file)
    recorder = Recorder(wanted["root"], wanted["watched"])
    process = os.getpid()
    atexit.register(lambda: recorder.write(wanted["output"]) if os.getpid() == process else None)
    threading.setprofile(recorder.profile)
    sys.setprofile(recorder.profile)
