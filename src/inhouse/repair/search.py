"""The search for a patch: which suspect to ask about next and how, what to make of the answer, when to stop.

Turns go to suspects by the evidence against them; how each is asked about is `questions`' affair. A patch that
repairs a part of the tests is returned as such once the greedy questions have found none that repairs all, so that the
caller can look for the rest from there. Knows nothing of how suspects were found.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from inhouse.repair import patching, prompts, strategy
from inhouse.repair.budget import Interview, Reply
from inhouse.repair.events import Asked, OnEvent, Tried, Verdict
from inhouse.repair.harness import Harness, is_better, is_repaired
from inhouse.repair.localise import Suspect, shifted
from inhouse.repair.prompts import Earlier
from inhouse.repair.strategy import Question
from inhouse.workspace import source
from inhouse.workspace.checkout import Patch
from inhouse.workspace.edits import EditError
from inhouse.workspace.testing.report import TestReport

_DETAIL_LINES = 8  # of a failure, in events and in what the model is told of an earlier attempt


@dataclass
class _Record:
    """What is known of one suspect so far."""

    suspect: Suspect
    asked: int = 0
    fruitless: int = 0  # answers that left the program as it was, or could not be used
    earlier: list[Earlier] = field(default_factory=list)


@dataclass(frozen=True)
class Found:
    """The end of a search: the best patch (empty when none helped) and how the tests end with it."""

    patch: Patch
    outcome: TestReport


@dataclass(frozen=True)
class Case:
    """What a search starts from: a program (the user's with `base` on top) that fails as `before` says.

    `texts` are its files as they are with `base`; `common` is what all questions that speak of tests begin with.
    """

    problem: str
    common: str
    texts: Mapping[str, str]
    base: Patch
    before: TestReport


_Judge = Callable[[Case, _Record, str], tuple[Verdict, str, Found | None]]  # of a file's new text


class Search:
    """Searches with one budget; no version of a file is tried twice."""

    def __init__(self, interview: Interview, harness: Harness, on_event: OnEvent) -> None:
        self._interview, self._harness, self._on_event = interview, harness, on_event
        self._seen: set[str] = set()
        self._plain: dict[str, tuple[str, str]] = {}  # path: of which version, and with which suspect's turns

    def run(self, case: Case, suspects: Sequence[Suspect]) -> Found | None:
        """The first patch that repairs all, else the best that repairs some; None when nothing helped in time."""
        records = [_Record(suspect) for suspect in suspects]
        best: Found | None = None
        for record, number in self._turns(records):
            found = self._attempt(case, record, number)
            if found is not None and found.outcome.passed:
                return found
            if found is not None and (best is None or len(found.outcome.failing) < len(best.outcome.failing)):
                best = found
            text = case.texts[record.suspect.path]
            if best is not None and record.asked >= len(self._greedy(record.suspect, text)):
                break
        return best

    def vote(self, case: Case, suspect: Suspect, voters: int) -> Found | None:
        """What more than half of `voters` answers make of a suspect, if the tests pass with it as they do without.

        For where no test tells a repair from what it replaces: answers that were asked for differently, or drawn
        apart, seldom agree on the same mistake.
        """
        ballot, record = _Ballot(), _Record(suspect)
        for number in range(voters):
            if self._interview.spent():
                break
            self._attempt(case, record, number, ballot.judge)
        text = ballot.winner(voters)
        if text is None:
            return None
        patch = {**case.base, suspect.path: text}
        after = self._harness.test(patch, case.before, self._interview.budget.deadline)
        return Found(patch, after) if is_repaired(after, case.before) else None

    def _turns(self, records: list[_Record]) -> Iterator[tuple[_Record, int]]:
        """Whom to ask next, and for the how-manieth time, until the budget is spent.

        Turns are shared out in proportion to the evidence (by highest averages, as seats in a parliament), so that a
        plain suspect gets most of them and no other none. Answers that came to nothing count double.
        """
        while records and not self._interview.spent():
            record = max(records, key=lambda record: record.suspect.score / (1 + record.asked + record.fruitless))
            yield record, record.asked

    def _attempt(self, case: Case, record: _Record, number: int, judge: _Judge | None = None) -> Found | None:
        """One question and what came of it; `judge` decides that (the tests, if None)."""
        suspect = record.suspect
        text = case.texts[suspect.path]
        attempt = self._interview.begin()
        ask = strategy.question(suspect, text, number, plain=self._wants_plain(suspect, text))
        self._on_event(Asked(attempt, suspect.label, ask.temperature))
        started = time.monotonic()
        prompt = strategy.asked(ask, case.problem, case.common, suspect, case.texts, record.earlier)
        interview = self._interview
        drawn = strategy.sampling(ask, prompt, suspect, text, interview.seed(), interview.count_tokens)
        reply = interview.ask(prompt, drawn)
        try:
            verdict, detail, found = (judge or self._judge)(case, record, _changed(suspect, text, ask, reply))
        except _UnchangedError as error:
            verdict, detail, found = "unchanged", str(error), None
        except EditError as error:
            verdict, detail, found = "unusable", str(error).splitlines()[0], None
        record.asked += 1
        record.fruitless += verdict in ("unchanged", "repeated", "unusable") and ask.temperature > 0
        usage = reply.usage
        spent = time.monotonic() - started
        self._on_event(
            Tried(
                attempt, suspect.label, verdict, detail,
                usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, round(spent, 2), ask.style,
            )
        )  # fmt: skip
        return found

    def _greedy(self, suspect: Suspect, text: str) -> Sequence[str]:
        return strategy.greedy(suspect, text, plain=self._wants_plain(suspect, text))

    def _wants_plain(self, suspect: Suspect, text: str) -> bool:
        """Whether its file is asked about as a whole in this suspect's turns: the first one's, before any repair."""
        mine = (_normal(suspect.path, text), suspect.name)
        return self._plain.setdefault(suspect.path, mine) == mine

    def _judge(self, case: Case, record: _Record, text: str) -> tuple[Verdict, str, Found | None]:
        suspect = record.suspect
        key = _normal(suspect.path, text)
        if key in self._seen:
            return "repeated", "this version has been tried", None
        self._seen.add(key)
        patch = {**case.base, suspect.path: text}
        after = self._harness.test(patch, case.before, self._interview.budget.deadline)
        if is_repaired(after, case.before):
            return "verified", "", Found(patch, after)
        detail = _first_lines(after.summary) or "fewer tests ran than before"
        if is_better(after, case.before):
            return "better", detail, Found(patch, after)
        now = shifted(suspect, text)
        if now is not None:
            record.earlier.append(Earlier(prompts.suspect_text(now, text), detail))
        return "failed", detail, None


class _Ballot:
    """Counts answers by what they make of the program, layout and comments aside."""

    def __init__(self) -> None:
        self._votes: Counter[str] = Counter()
        self._texts: dict[str, str] = {}

    def judge(self, case: Case, record: _Record, text: str) -> tuple[Verdict, str, None]:
        key = _normal(record.suspect.path, text)
        self._votes[key] += 1
        self._texts.setdefault(key, text)
        return "voted", f"{self._votes[key]} for this version", None

    def winner(self, voters: int) -> str | None:
        """The version that more than half of all voters are for; answers that could not be used are for none."""
        key, votes = max(self._votes.items(), key=lambda item: item[1], default=("", 0))
        return self._texts[key] if 2 * votes > voters else None


class _UnchangedError(EditError):
    """The new version is the old one."""


def _changed(suspect: Suspect, text: str, ask: Question, reply: Reply) -> str:
    """The new text of the suspect's file. Raises EditError when the answer cannot be used or changes nothing."""
    new = _applied(suspect, text, ask, reply)
    if _same(suspect.path, new, text):
        raise _UnchangedError("the new version is the old one")
    return new


def _applied(suspect: Suspect, text: str, ask: Question, reply: Reply) -> str:
    """The new text of the suspect's file. Raises EditError when the answer cannot be used."""
    if reply.cut:
        raise EditError("the answer has no end; write less")
    if ask.style == "plain":
        new = patching.rewritten_file(text, reply.text)
    elif suspect.kind == "function" and "<<<<<<< SEARCH" in reply.text:
        new = patching.edited(text, reply.text)
    elif suspect.kind == "function":
        new = patching.rewritten_function(text, suspect.name, reply.text)
    else:
        new = patching.rewritten_lines(text, suspect.first, suspect.last, reply.text)
    if suspect.path.endswith(".py") and source.parse(text) is not None and (problem := source.syntax_error(new)):
        raise EditError(f"the new code is not valid Python ({problem})")
    return new


def _same(path: str, new: str, old: str) -> bool:
    return new == old or _normal(path, new) == _normal(path, old)


def _normal(path: str, text: str) -> str:
    """What two versions have in common that differ in comments, docstrings or layout alone."""
    plain = source.without_comments(text) if path.endswith(".py") else None
    return f"{path}\0{plain if plain is not None else text.strip()}"


def _first_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[:_DETAIL_LINES])
