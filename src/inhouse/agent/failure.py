"""What a task asks for, whether it describes a failure, and whether any run has shown that: failing before a change,
passing after it.

Knows words and results, runs nothing. The words are English ones; a task in another language asks for nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from inhouse.workspace.files import is_program_file

TESTS = ""  # what is run, where that is tests: another command for them may show what the first one did

HOW = (
    "to see it fail, take the change back for as long, or run the test on a copy of the state before "
    "(git archive HEAD | tar -x -C a folder below /tmp)"
)
WORD = (
    "[the task describes a failure, and no test and no command has shown it yet. Write a test that fails without this "
    f"change and passes with it, and run it both ways ({HOW}). If nothing can be run here, say so when you finish]"
)
CHALLENGE = (
    "The task describes a failure, and no run was seen that failed before your change and passes after it, so nothing "
    f"shows that it is gone. Add a test that fails without the change and passes with it, run it both ways ({HOW}); "
    "if that cannot be done here, finish and say so."
)

_POLITE = r"^\W*(?:(?:please|kindly|now|then|can you|could you|would you|let us|let's|i want you to|we need to)\s+)*"
_NEW = re.compile(  # what begins like this asks for something new, or for an answer
    _POLITE + r"(?:add|allow|answer|build|bump|change|clean|configure|convert|create|delete|describe|disable|document|"
    r"drop|enable|explain|extend|extract|format|generate|how|implement|improve|install|introduce|list|merge|migrate|move|"
    r"optimi[sz]e|port|raise|refactor|remove|rename|replace|review|show|simplify|speed|split|summari[sz]e|support|tell|"
    r"translate|turn|update|upgrade|use|what|when|where|which|who|why|write)\b",
    re.IGNORECASE,
)
_REPAIR = re.compile(
    r"\b(?:fix|repair|debug|solve|resolve|(?:find|remove)\s+(?:the|this|that|a)\s+bug)\b", re.IGNORECASE
)
_TRACE = re.compile(
    r"^Traceback \(most recent call last\)|^\s*File \"[^\"\n]+\", line \d+|^E {3,}\S|^\s+at \S+ ?\(\S+:\d+(?::\d+)?\)|"
    r"panicked at|^goroutine \d+ \[",
    re.MULTILINE,
)
_SYMPTOMS = re.compile(
    r"\b(?:bugs?|buggy|broken|breaks|crash(?:es|ed|ing)?|fail(?:s|ed|ing|ures?)?|freezes|hangs|regression|segfaults?|"
    r"wrong(?:ly)?|incorrect(?:ly)?|unexpected(?:ly)?|no longer|off by one|stopped working|steps to reproduce|"
    r"(?:does|did)(?:n't| not)|(?:can|could)(?:not|n't)|"
    r"too (?:early|few|large|big|late|long|low|high|many|much|short|small)|"
    r"(?:is|are|was|were|gets?|goes) (?:missing|lost|ignored|dropped|skipped|cut|truncated|duplicated)|"
    r"(?:returns?|returned|gives?|gave|gets?|got|prints?|shows?|yields?|raises?|is|are)\b[^\n]{0,80}\binstead of|"
    r"should\b[^\n]{0,80}\bbut|expected\b[^\n]{0,80}\b(?:but|got|actual)|"
    r"make\b[^\n]{0,60}\btests?\b[^\n]{0,30}\bpass|"
    r"errors?(?! (?:class|code|handling|message|page|type)))\b",
    re.IGNORECASE,
)
_EXCEPTION = re.compile(r"\b[A-Z]\w*(?:Error|Exception)\b")


def describes_failure(text: str) -> bool:
    """Whether the user's words say that something goes wrong, and do not ask for something new or for an answer.

    What begins with a word of such a request ("add", "explain", "why") describes a failure only with a traceback, or
    where it asks for a repair as well.
    """
    if _TRACE.search(text):
        return True
    symptoms = bool(_SYMPTOMS.search(text) or _EXCEPTION.search(text))
    return symptoms and (not _NEW.search(text) or bool(_REPAIR.search(text)))


_DOCUMENTATION = re.compile(
    r"\b(?:readme|docs?|documentation|docstrings?|changelog|comments?|guide|tutorial|manual|man page|typos?|spelling|"
    r"wording)\b|\.(?:md|rst|adoc)\b",
    re.IGNORECASE,
)
_BEHAVIOUR = re.compile(  # a request that only a change of the program can meet
    _POLITE + r"(?:implement|support|allow|refactor|rename|optimi[sz]e|speed up|make|let|handle|port|migrate|"
    r"add\b[^.\n]{0,60}\b(?:option|flag|feature|function|method|class|command|parameter|argument|endpoint|check|"
    r"validation|support|retries|cache|handler|module))\b",
    re.IGNORECASE,
)
_OF_TESTS = r"\s+(?:(?:a|an|the|some|more|new|few|all|these|this|that|unit|regression|missing|test|two|three)\s+){0,4}"
_TESTS_AS_OBJECT = re.compile(
    r"\b(?:add|write|create|extend|update|change|adapt|adjust|rewrite|remove|delete|skip|disable|mark|rename|move|"
    rf"convert|migrate|clean up|split|speed up|improve){_OF_TESTS}(?:tests?|test suite|(?:test )?coverage)\b",
    re.IGNORECASE,
)
_OTHER_TESTS = re.compile(  # the tests themselves are said to be wrong, or to be changed
    r"\b(?:update|change|adapt|adjust|rewrite|remove|delete|drop|skip|disable|rename|replace)\b[^.\n]{0,60}"
    r"\b(?:tests?|snapshots?)\b|\b(?:flaky|outdated|obsolete|stale|wrong|incorrect)\s+(?:\w+\s+)?tests?\b|"
    r"\btests?\b[^.\n]{0,40}\b(?:is|are)\s+(?:\w+\s+)?(?:flaky|outdated|obsolete|stale|wrong|incorrect)\b|\bxfail\b",
    re.IGNORECASE,
)
_TESTS_STAY = re.compile(
    r"\b(?:do not|don't|never|without|instead of|not)\b[^.\n]{0,20}\b(?:touch|chang|updat|adapt|adjust|edit|modify|"
    r"weaken|skip|remov|delet|disabl)\w*\b[^.\n]{0,30}\btests?\b",
    re.IGNORECASE,
)


def asks_for_documentation(text: str) -> bool:
    return bool(_DOCUMENTATION.search(text))


def asks_for_tests(text: str) -> bool:
    """Whether the user's words are about tests to be written or changed, not only about tests that fail."""
    return bool(_TESTS_AS_OBJECT.search(text)) or allows_changed_tests(text)


def allows_changed_tests(text: str) -> bool:
    """Whether the user's words ask for existing tests to be changed, skipped or removed, or call them wrong."""
    return bool(_OTHER_TESTS.search(text)) and not _TESTS_STAY.search(text)


def asks_for_code(text: str) -> bool:
    """Whether only a change of the program can do what the user says: neither documentation nor tests would."""
    wanted = describes_failure(text) or bool(_BEHAVIOUR.search(text)) or bool(_TRACE.search(text))
    return wanted and not asks_for_documentation(text) and not asks_for_tests(text)


@dataclass
class Reproduction:
    """What runs have shown of the failure that a task describes; `wanted` where it describes one.

    `shown`: a run failed. `done`: what failed passes since a change of the program. `told` and `challenged`: the model
    was given a word about that, and was asked again as it wanted to end.
    """

    wanted: bool = False
    shown: bool = False
    done: bool = False
    told: bool = False
    challenged: bool = False
    changed: bool = False  # the program, as far as it was there before
    _added: set[str] = field(default_factory=set)
    _failed: dict[str, bool] = field(default_factory=dict)  # what was run: whether the program changed since it failed

    def edited(self, paths: Sequence[str], added: Sequence[str]) -> None:
        """A call changed files; `added` of them are new. A new file may be what shows the failure."""
        self._added.update(added)
        program = [path for path in paths if is_program_file(path)]
        self.changed = self.changed or any(path not in self._added for path in program)
        for run in self._failed:
            if any(path not in self._added or path.rpartition("/")[2] not in run for path in program):
                self._failed[run] = True

    def ran(self, run: str, ok: bool, *, elsewhere: bool) -> None:
        """`run` (a command, or TESTS) ended; `elsewhere`: on another state of the program, such as the one before."""
        if not ok:
            self.shown = True
            self._failed[run] = self._failed.get(run, False) or (elsewhere and self.changed)
        elif not elsewhere and self._failed.get(run):
            self.done = True

    def word(self) -> str:
        """What is to be said, once, to a change of the program while nothing has shown the failure; "" if nothing."""
        return WORD if self.wanted and self.changed and not self.shown and not self.told else ""

    def challenge(self) -> str:
        """What is to be said against ending now; "" when there is nothing to say."""
        return CHALLENGE if self.wanted and self.changed and not self.done and not self.challenged else ""
