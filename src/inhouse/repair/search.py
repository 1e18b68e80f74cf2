"""The search for a patch: which suspect to ask about next and how, what to make of the answer, when to stop.

Turns go to suspects by the evidence against them; how each is asked about is `strategy`'s affair. A patch that
repairs a part of the tests is returned as such once the greedy questions have found none that repairs all, so that the
caller can look for the rest from there. Knows nothing of how suspects were found.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inhouse.client.types import Sampling, Usage
from inhouse.repair import alternatives, line_edits, patching, prompts, strategy
from inhouse.repair.alternatives import Alternative, Listing
from inhouse.repair.budget import Interview, Reply
from inhouse.repair.events import Asked, Judged, OnEvent, Style, Tried, Verdict
from inhouse.repair.harness import Harness, is_better, is_repaired, is_unfinished
from inhouse.repair.hunks import parts
from inhouse.repair.localise import Suspect, shifted
from inhouse.repair.prompts import Earlier, Prompt
from inhouse.repair.result_kinds import kind_changed
from inhouse.repair.strategy import Question, Round
from inhouse.workspace.checkout import Patch
from inhouse.workspace.code import functions
from inhouse.workspace.edits import EditError
from inhouse.workspace.testing.report import TestReport

_DETAIL_LINES = 8  # of a failure, in events and in what the model is told of an earlier attempt
_PASSED_OVER = 6  # rounds for want of time or lines, after which a suspect gets no more
_ROUND_COST = 2000.0  # of one usual round about a suspect, in tokens read
_HELPED = 2.0  # times the evidence against a suspect of which a version repaired a part
_CHARACTERS, _SHOWN = 3.5, 2800  # characters of a token, and of a long function's listing
_FRUITLESS = 0.5  # of a round's cost on top, where no new version came of one
_WRITING = 8  # tokens read in the time that one is written
_TESTING = 60.0  # tokens read in the time that a version is tested
_TOGETHER = 3  # alternatives that are finished at a time; each may bring better ones than those that are left
_REST = Sampling(max_tokens=strategy.LINE_TOKENS, stop=("\n",))  # of a line that has been begun
_RANKS: tuple[Verdict, ...] = ("verified", "better", "failed", "voted", "repeated", "unchanged", "unusable")


@dataclass
class _Record:
    """What is known of one suspect so far. `cost` is what its answers and their tests took, in tokens read.

    `unread` are the tokens to read before the first answer. Once that is done they count no more: to go on is cheap.
    """

    suspect: Suspect
    unread: float = 0.0
    helped: bool = False  # a version of it repaired a part
    rounds: int = 0
    passed_over: int = 0
    cost: float = 0.0
    earlier: list[Earlier] = field(default_factory=list)
    alternatives: list[Alternative] | None = None  # not tried yet; None: not asked for
    around: bool = False  # whether they were asked for with what is around the suspect
    finished: set[tuple[int, str]] = field(default_factory=set)  # alternatives that were tried


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


_Outcome = tuple[Verdict, str, Found | None]  # of one version of a program, with what went wrong
_Judge = Callable[[Case, _Record, str], _Outcome]  # of a file's new text


@dataclass
class _Tally:
    """What came of a round: the best outcome, how many versions were new, the tokens that it took."""

    best: _Outcome = ("unusable", "", None)
    versions: int = 0
    used: Usage = field(default_factory=Usage)

    def add(self, outcome: _Outcome) -> bool:
        """Whether no better one can come."""
        if not self.versions or _RANKS.index(outcome[0]) < _RANKS.index(self.best[0]):
            self.best = outcome
        self.versions += outcome[0] in ("verified", "better", "failed", "voted")
        return outcome[0] == "verified"


class Search:
    """Searches with one budget; no version of a file is tried twice."""

    def __init__(self, interview: Interview, harness: Harness, on_event: OnEvent, lines: int = 0) -> None:
        """`lines`: answers to one question about single lines (0: no such questions)."""
        self._interview, self._harness, self._on_event = interview, harness, on_event
        self._lines = lines
        self._seen: set[str] = set()
        self._plain: dict[str, tuple[str, str]] = {}  # path: of which version, and with which suspect's turns

    def run(self, case: Case, suspects: Sequence[Suspect]) -> Found | None:
        """The first patch that repairs all, else the best that repairs some; None when nothing helped in time."""
        best: Found | None = None
        records = [_Record(suspect, _unread(suspect, case.texts[suspect.path])) for suspect in suspects]
        for record in self._turns(records):
            found = self._round(case, record, records)
            if found is not None and found.outcome.passed:
                return found
            if found is not None and (best is None or len(found.outcome.failing) < len(best.outcome.failing)):
                best = found
            text = case.texts[record.suspect.path]
            if best is not None and record.rounds >= len(self._first_rounds(record.suspect, text)):
                break
        return best

    def vote(self, case: Case, suspect: Suspect, voters: int) -> Found | None:
        """What more than half of `voters` answers make of a suspect, if the tests pass with it as they do without.

        For where no test tells a repair from what it replaces: answers that were asked for differently, or sampled
        apart, seldom agree on the same mistake.
        """
        ballot, record = _Ballot(), _Record(suspect)
        text = case.texts[suspect.path]
        for number in range(voters):
            if self._interview.spent():
                break
            ask = strategy.question(suspect, text, number, plain=self._wants_plain(suspect, text))
            self._attempt(case, record, (ask,), ballot.judge)
        winner = ballot.winner(voters)
        if winner is None:
            return None
        patch = {**case.base, suspect.path: winner}
        after = self._harness.test(patch, case.before, self._interview.budget.deadline)
        return Found(patch, after) if is_repaired(after, case.before) else None

    def _turns(self, records: list[_Record]) -> Iterator[_Record]:
        """Whom to ask about next, until the budget is spent.

        Turns are shared out in proportion to the evidence (by highest averages, as seats in a parliament) and against
        what was spent and is to be read, so that a plain suspect gets most of them and no other none.
        """
        while records and not self._interview.spent():
            yield max(records, key=_promise)

    def _round(self, case: Case, record: _Record, records: list[_Record]) -> Found | None:
        """The next round about a suspect; one that cannot be asked in the time that is left is passed over."""
        suspect = record.suspect
        text = case.texts[suspect.path]
        plain = self._wants_plain(suspect, text)
        scored = self._interview.scores
        asks = strategy.next_round(suspect, text, record.rounds, plain=plain, lines=self._lines, scored=scored)
        record.rounds += 1
        record.unread = 0.0
        spent = bool(asks) and asks[0].style == "alternative" and record.around and not record.alternatives
        if spent or not asks or not self._affords(case, record, asks[0]):
            record.cost += _ROUND_COST
            record.passed_over += 1
            if record.passed_over > _PASSED_OVER:
                records.remove(record)
            return None
        if asks[0].style == "alternative":
            return self._alternatives(case, record, asks[0].count)
        return self._attempt(case, record, asks, self._judge)

    def _first_rounds(self, suspect: Suspect, text: str) -> Sequence[Round]:
        plain, scored = self._wants_plain(suspect, text), self._interview.scores
        return strategy.first_rounds(suspect, text, plain=plain, lines=self._lines, scored=scored)

    def _affords(self, case: Case, record: _Record, ask: Question) -> bool:
        suspect, interview = record.suspect, self._interview
        if ask.style == "alternative":
            around = record.alternatives is not None
            prompt, _ = prompts.for_alternatives(case.common, suspect, case.texts, around=around)
        else:
            prompt = strategy.prompt_for(ask, case.problem, case.common, suspect, case.texts, record.earlier)
        tokens = strategy.expected_tokens(ask, suspect, case.texts[suspect.path], interview.count_tokens)
        return interview.affords(prompt, tokens)

    def _attempt(self, case: Case, record: _Record, asks: Round, judge: _Judge) -> Found | None:
        """One round of questions and what came of it; `judge` decides that of each answer."""
        suspect, interview = record.suspect, self._interview
        text = case.texts[suspect.path]
        attempt = interview.begin()
        self._on_event(Asked(attempt, suspect.label, asks[0].temperature))
        started = time.monotonic()
        shown = {
            ask.line: strategy.prompt_for(ask, case.problem, case.common, suspect, case.texts, record.earlier)
            for ask in {ask.line: ask for ask in asks}.values()
        }
        questions = []
        for number, ask in enumerate(asks):
            prompt, seed = shown[ask.line], interview.seed(number)
            questions.append((prompt, strategy.sampling(ask, prompt, suspect, text, seed, interview.count_tokens)))
        tally = _Tally()
        for ask, reply in zip(asks, interview.ask_all(questions), strict=False):
            tally.used = _sum(tally.used, reply.usage)
            if tally.add(self._verdict(case, record, ask, reply, judge)):
                break
        return self._told(attempt, record, tally, asks[0].style, started)

    def _alternatives(self, case: Case, record: _Record, count: int) -> Found | None:
        """The next lines that the model would rather have written, each with the rest that it writes to it, tested."""
        suspect, interview = record.suspect, self._interview
        text = case.texts[suspect.path]
        attempt = interview.begin()
        self._on_event(Asked(attempt, suspect.label, 0.0))
        started, tally = time.monotonic(), _Tally()
        around = record.alternatives is not None
        prompt, listed = prompts.for_alternatives(case.common, suspect, case.texts, around=around)
        if not around or not record.around:
            scores = interview.score(prompt, listed.text, alternatives.TOP)
            tokens, tally.used = (scores.tokens, scores.usage) if scores is not None else ((), tally.used)
            likely, missing = line_edits.likely(suspect, text), suspect.kind == "function"
            found = alternatives.ranked(tokens, listed, likely, missing=missing)
            record.alternatives = alternatives.merged(found, record.alternatives or (), record.finished)
            record.around = around
        for change, rest in self._finished(prompt, listed, record, tally, count):
            for new in alternatives.versions(change, change.head + rest, listed, text):
                outcome = self._outcome(case, record, new, self._judge)
                if tally.add(outcome) or interview.over():
                    return self._told(attempt, record, tally, "alternative", started)
                if outcome[0] == "better":  # what is there is wrong, if not in this way
                    record.alternatives = alternatives.preferring(change.number, record.alternatives or ())
        return self._told(attempt, record, tally, "alternative", started)

    def _finished(
        self, prompt: Prompt, listed: Listing, record: _Record, tally: _Tally, count: int
    ) -> Iterator[tuple[Alternative, str]]:
        """The best alternatives with the rest of their lines; the other ways to go on join those that are left."""
        while count > 0 and record.alternatives and not self._interview.over():
            chosen, record.alternatives = record.alternatives[:_TOGETHER], record.alternatives[_TOGETHER:]
            count -= len(chosen)
            record.finished.update((change.number, change.head) for change in chosen)
            begun = {
                change: replace(prompt, prefill=prompt.prefill + listed.text[: change.at] + change.begun, grammar=None)
                for change in chosen
                if not change.whole
            }
            replies = self._interview.ask_all([(each, _REST) for each in begun.values()])
            rests = {
                change: self._rest(change, asked, reply, record, tally)
                for (change, asked), reply in zip(begun.items(), replies, strict=False)
            }
            for change in chosen:
                rest = "" if change.whole else rests.get(change)
                if rest is not None:
                    yield change, rest

    def _rest(self, change: Alternative, asked: Prompt, reply: Reply, record: _Record, tally: _Tally) -> str | None:
        """How a line goes on that has been begun; None where it has no end."""
        tally.used = _sum(tally.used, reply.usage)
        if reply.cut:
            return None
        rest = reply.text.removeprefix(asked.prefill)
        if scores := self._interview.score(asked, rest + "\n", alternatives.FEW):
            tally.used = _sum(tally.used, scores.usage)
            others = [*(record.alternatives or ()), *alternatives.siblings(change, rest, scores.tokens)]
            record.alternatives = sorted(others, key=lambda other: -other.score)
        return rest

    def _told(self, attempt: int, record: _Record, tally: _Tally, style: Style, started: float) -> Found | None:
        """Counts what a round took, and says what came of it."""
        used, (verdict, detail, found) = tally.used, tally.best
        record.helped = record.helped or verdict == "better"
        record.cost += _WRITING * used.completion_tokens
        # Where no version is new, the model finds nothing wrong.
        record.cost += _TESTING * tally.versions if tally.versions else _FRUITLESS * _ROUND_COST
        self._on_event(
            Tried(
                attempt, record.suspect.label, verdict, detail, used.prompt_tokens, used.cached_tokens,
                used.completion_tokens, round(time.monotonic() - started, 2), style, tally.versions,
            )
        )  # fmt: skip
        return found

    def _verdict(self, case: Case, record: _Record, ask: Question, reply: Reply, judge: _Judge) -> _Outcome:
        text = case.texts[record.suspect.path]
        try:
            new = _applied(record.suspect, text, ask, reply)
        except EditError as error:
            return "unusable", str(error).partition("\n")[0], None
        found = self._outcome(case, record, new, judge)
        for part in parts(text, new) if found[0] == "failed" else ():
            if self._interview.over():
                break
            alone = self._outcome(case, record, part, judge)
            found = alone if _RANKS.index(alone[0]) < _RANKS.index(found[0]) else found
        return found

    def _outcome(self, case: Case, record: _Record, new: str, judge: _Judge) -> _Outcome:
        """What `judge` says to a file's new text, if it is a program and another one."""
        path, text = record.suspect.path, case.texts[record.suspect.path]
        if functions.syntax_error(path, text) is None and (problem := functions.syntax_error(path, new)):
            return "unusable", f"the new code is not valid {functions.language_name(path)} ({problem})", None
        if _same(path, new, text):
            return "unchanged", "the new version is the old one", None
        return judge(case, record, new)

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
        if self._harness.added and (changed := _kind_changed(case, suspect, text)):
            return "failed", changed, None
        patch = {**case.base, suspect.path: text}
        after = self._harness.test(patch, case.before, self._interview.budget.deadline)
        repaired, better = is_repaired(after, case.before), is_better(after, case.before)
        if self._interview.spent():
            better = better or is_unfinished(after, case.before)
        verdict: Verdict = "verified" if repaired else "better" if better else "failed"
        self._on_event(Judged(suspect.label, verdict, self._harness.checkout.diff(patch)))
        if repaired:
            return verdict, "", Found(patch, after)
        detail = _first_lines(after.summary) or "fewer tests ran than before"
        if better:
            return verdict, detail, Found(patch, after)
        now = shifted(suspect, text)
        if now is not None:
            record.earlier.append(Earlier(prompts.suspect_text(now, text), detail))
        return verdict, detail, None


def _promise(record: _Record) -> float:
    """By what the next suspect is chosen."""
    evidence = record.suspect.score * (_HELPED if record.helped else 1.0)
    return evidence / (1 + (record.cost + record.unread) / _ROUND_COST)


def _unread(suspect: Suspect, text: str) -> float:
    """What reading counts before the first answer about a suspect: half of its tokens, which are its code twice.

    Where that counted whole, long suspects would have no turn before others have had several.
    """
    return min(len(prompts.suspect_text(suspect, text)), _SHOWN) / _CHARACTERS


def _kind_changed(case: Case, suspect: Suspect, text: str) -> str:
    """How a function would return another kind of thing, which one reproduced value does not ask for."""
    if not suspect.path.endswith(".py") or suspect.kind != "function":
        return ""
    return kind_changed(case.texts[suspect.path], text, suspect.name, case.problem)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.cached_tokens + other.cached_tokens,
        one.completion_tokens + other.completion_tokens,
    )


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


def _applied(suspect: Suspect, text: str, ask: Question, reply: Reply) -> str:
    """The new text of the suspect's file. Raises EditError when the answer cannot be used."""
    if reply.cut:
        raise EditError("the answer has no end; write less")
    if ask.style == "line":
        new = line_edits.changed(suspect, text, reply.text)
    elif ask.style == "plain":
        new = patching.rewritten_file(suspect.path, text, reply.text)
    elif suspect.kind == "function" and "<<<<<<< SEARCH" in reply.text:
        new = patching.edited(text, reply.text)
    elif suspect.kind == "function":
        new = patching.rewritten_function(suspect.path, text, suspect.name, reply.text, suspect.first)
    else:
        new = patching.rewritten_lines(text, suspect.first, suspect.last, reply.text)
    return new


def _same(path: str, new: str, old: str) -> bool:
    return new == old or _normal(path, new) == _normal(path, old)


def _normal(path: str, text: str) -> str:
    """What two versions have in common that differ in comments, docstrings or layout alone."""
    plain = functions.normal_form(path, text)
    return f"{path}\0{plain if plain is not None else text.strip()}"


def _first_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[:_DETAIL_LINES])
