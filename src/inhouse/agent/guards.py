"""Watches a turn for what models do when they are lost, and says so to them. Knows calls and results, runs nothing.

Three kinds of loop are told apart: the very same call with the same result, a circle of a few calls that changes
nothing, and calls that cannot be carried out at all. Each is answered with a word first, and ends the turn later.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from inhouse.agent.failure import (
    TESTS,
    Reproduction,
    allows_changed_tests,
    asks_for_code,
    asks_for_documentation,
    asks_for_tests,
    describes_failure,
)

IDENTICAL_NOTE, IDENTICAL_STOP = 3, 5  # the same call with the same result, in a row
CIRCLE_NOTE, CIRCLE_STOP = 12, 24  # calls without a change of files or anything new in their results
MALFORMED_STOP = 5  # in a row
_FEW = 4  # different calls make a circle


@dataclass
class Guards:
    """The memory of one turn. `stop` is set when the turn must end, with what to tell the user."""

    stop: tuple[str, str] | None = None
    _last: str = ""
    _same: int = 0
    _recent: deque[str] = field(default_factory=lambda: deque(maxlen=CIRCLE_STOP))
    _malformed: int = 0

    def malformed(self) -> None:
        """A call could not be carried out as it was."""
        self._malformed += 1
        if self._malformed >= MALFORMED_STOP:
            self.stop = ("malformed", f"{self._malformed} calls in a row could not be understood")

    def called(self, tool: str, arguments: str, result: str, *, changed: bool) -> str:
        """A call was carried out. Returns a word to the model, or ""."""
        self._malformed = 0
        if changed:
            self._last, self._same = "", 0
            self._recent.clear()
            return ""
        key = hashlib.sha256(f"{tool}\0{arguments}\0{result}".encode()).hexdigest()
        self._same = self._same + 1 if key == self._last else 1
        self._last = key
        self._recent.append(key)
        if self._same >= IDENTICAL_STOP:
            self.stop = ("loop", f"{tool} was called {self._same} times in a row with the same result")
        elif self._same >= IDENTICAL_NOTE:
            return (
                f"[this is the same call with the same result for the {self._same}th time; it will not change. Do "
                "something else: read another place, edit, run the tests, or finish and say what is in the way]"
            )
        return self._circle()

    def _circle(self) -> str:
        if len(self._recent) == CIRCLE_STOP and len(set(self._recent)) <= _FEW:
            self.stop = ("loop", f"the last {CIRCLE_STOP} calls went in a circle and changed nothing")
        elif len(self._recent) >= CIRCLE_NOTE and len(set(list(self._recent)[-CIRCLE_NOTE:])) <= _FEW:
            return (
                f"[the last {CIRCLE_NOTE} calls went in a circle and changed nothing; say in one sentence what you "
                "know, then take a step that you have not taken yet, or finish and say what is in the way]"
            )
        return ""


@dataclass(frozen=True)
class Run:
    """A command that can show something, and how it ended; `tests`: it ran tests. `exit_code` is None if not known."""

    command: str
    ok: bool
    tests: bool
    exit_code: int | None = None
    failing: tuple[str, ...] = ()


@dataclass
class Evidence:
    """What is known of how well the work was checked: changes and runs since the user last spoke.

    What was shown of a failure that the user described outlives their next words, up to `finish`.
    """

    changed: list[str] = field(default_factory=list)
    checked: bool = True  # something was run since the last change
    failing: Sequence[str] = ()
    passed: bool | None = None  # the last test run
    challenged: bool = False
    runs: list[Run] = field(default_factory=list)  # since the last change
    start: str = ""  # the checkpoint at which the user last spoke
    code_wanted: bool = False  # what the user says can only be met by a change of the program
    tests_wanted: bool = False
    tests_may_change: bool = False
    reproduction: Reproduction = field(default_factory=Reproduction)

    def begun(self, prompt: str, start: str = "") -> Evidence:
        """The evidence as a turn begins in which the user says `prompt`; `start` is the checkpoint of the files."""
        other = asks_for_documentation(prompt) or asks_for_tests(prompt)
        return Evidence(
            start=start,
            code_wanted=asks_for_code(prompt) or (self.code_wanted and not self.changed and not other),
            tests_wanted=asks_for_tests(prompt),
            tests_may_change=allows_changed_tests(prompt),
            reproduction=Reproduction(wanted=True) if describes_failure(prompt) else self.reproduction,
        )

    def finished(self) -> None:
        """The task is done: what the user says next is another one."""
        self.reproduction = Reproduction()
        self.code_wanted = False

    def edited(self, paths: Sequence[str], added: Sequence[str] = ()) -> None:
        """A call changed files, of which `added` are new."""
        self.changed += [path for path in paths if path not in self.changed]
        self.checked = False
        self.runs.clear()
        self.reproduction.edited(paths, added)

    def ran(
        self,
        verdict: bool | None,
        failing: Sequence[str] = (),
        *,
        ok: bool,
        command: str = "",
        exit_code: int | None = None,
        elsewhere: bool = False,
    ) -> None:
        """Commands ran; `verdict` is that of tests, None of anything else. `elsewhere`: not on the program as it is."""
        self.reproduction.ran(command if verdict is None else TESTS, ok, elsewhere=elsewhere)
        if elsewhere:
            return
        self.checked = True
        self.runs.append(Run(command, ok, verdict is not None, exit_code, tuple(failing)))
        if verdict is not None:
            self.passed, self.failing = verdict, failing

    def said(self, word: str) -> None:
        """One of our words reached the model: that of the reproduction ("reproduction") or a challenge ("evidence")."""
        self.reproduction.told = True
        if word == "evidence":
            self.challenged = self.reproduction.challenged = True

    def unverified(self) -> str:
        """What is to be said of changes that nothing was run after, or whose tests fail; "" when they were verified."""
        if not self.checked:
            return (
                "Nothing was run after your last change, so nothing shows that it works. Run the tests that matter "
                "(run_tests), or a command that shows it, then finish. If nothing can be run here, finish and say so."
            )
        if self.passed is False:
            tests = ", ".join(self.failing[:5]) or "the test command"
            return (
                f"The last test run failed ({tests}). Repair that and run the tests again; if it failed before your "
                "changes as well, or cannot be repaired, finish and say so."
            )
        return ""
