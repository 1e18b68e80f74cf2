"""What a model would rather have written than the program has: ranked, made into versions, and searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from shop import TESTS, Repository, text_of

from inhouse.client.types import ChatRequest, ScoredToken, Scores, Usage
from inhouse.repair import alternatives, events
from inhouse.repair.alternatives import Alternative, Listing, ranked, versions
from inhouse.repair.localise import Suspect

CODE = "def f(x):\n    if x > 1:\n        return x\n    return 0"
LISTED = Listing(tuple(CODE.split("\n")), (5, 6, 7, 8))


def token(text: str, *top: tuple[str, float], logprob: float = -2.0, after: str = "") -> ScoredToken:
    """A token of CODE with alternatives; the first such text that follows `after`."""
    at = CODE.index(text, CODE.index(after) + len(after))
    return ScoredToken(at, text, logprob, ((text, logprob), *top))


def heads(tokens: Sequence[ScoredToken], likely: Sequence[int] = (6, 7, 8)) -> list[str]:
    return [change.head for change in ranked(tokens, LISTED, likely)]


class TestRanked:
    def test_the_likeliest_alternatives_come_first_and_the_least_likely_tokens(self) -> None:
        tokens = [
            token(" >", (" >=", -1.0), (" <", -3.0)),
            token(" x", (" 1", -1.5), logprob=-9.0, after="return"),
        ]
        assert heads(tokens) == ["        return 1", "    if x >=", "    if x <"]

    def test_of_equals_what_stands_on_the_more_suspicious_line(self) -> None:
        tokens = [token(" >", (" <", -1.0)), token(" 0", (" 1", -1.0))]
        assert heads(tokens, (6, 7, 8)) == ["    if x <", "    return 1"]
        assert heads(tokens, (8, 7, 6)) == ["    return 1", "    if x <"]

    def test_lines_that_failing_tests_did_not_run_are_left_alone(self) -> None:
        tokens = [token(" >", (" <", -1.0)), token(" 0", (" 1", -1.0))]
        assert heads(tokens, (8,)) == ["    return 1"]

    def test_comments_ends_of_the_answer_and_the_same_line_are_no_alternatives(self) -> None:
        tokens = [
            token(" return", (" #", -0.1), (" ```", -0.2), after=":\n       "),
            token("\n", ("  \n", -0.1), after="return x"),
            ScoredToken(-1, "?", -1.0, (("!", -0.1),)),
        ]
        assert heads(tokens) == []

    def test_a_line_may_be_missing_before_one_that_ran_and_after_it(self) -> None:
        tokens = [token(" return", (" yield", -1.0), after="return x\n   ")]
        (here,) = ranked(tokens, LISTED, (8,))
        assert (here.instead, here.before) == (True, True)
        (after,) = ranked(tokens, LISTED, (7,))
        assert (after.instead, after.before) == (False, True)


def test_a_line_may_be_missing_behind_a_blank_one() -> None:
    listed = Listing(("for (;;) {", "  a();", "", "}"), (1, 2, 3, 4))
    closing = ScoredToken(listed.text.index("}"), "}", -0.1, (("}", -0.1), ("  b", -2.0)))
    (change,) = ranked([closing], listed, (2,))
    assert (change.number, change.instead, change.before) == (4, False, True)


def test_of_a_constant_no_line_is_missing() -> None:
    tokens = [token(" return", (" yield", -1.0), after="return x\n   ")]
    (here,) = ranked(tokens, LISTED, (8,), missing=False)
    assert (here.instead, here.before) == (True, False)
    assert ranked(tokens, LISTED, (7,), missing=False) == []


def test_where_a_correction_helped_others_come_first() -> None:
    tokens = [token(" >", (" <", -1.0)), token(" 0", (" 1", -1.1))]
    first, second = ranked(tokens, LISTED, (6, 8))
    assert [change.number for change in alternatives.preferring(second.number, [first, second])] == [8, 6]


def test_a_line_that_was_finished_could_have_gone_on_otherwise() -> None:
    (change,) = ranked([token(" x", (" self", -1.0), after="return")], LISTED, (7,))
    rest = [
        ScoredToken(0, ".a", -0.5, ((".a", -0.5), (".b", -1.5))),
        ScoredToken(2, "\n", -0.1, (("\n", -0.1), ("()", -3.0), (" #", -4.0))),
    ]
    found = alternatives.siblings(change, ".a", rest)
    assert [(other.head, other.whole) for other in found] == [
        ("        return self.b", False), ("        return self.a()", False),
    ]  # fmt: skip
    assert [round(other.score - change.score, 3) for other in found] == [-1.5, -3.5]
    assert found[0].begun == " self.b"


class TestVersions:
    TEXT = "import a\n\nclass C:\n\n\tdef f(x):\n\t    if x > 1:\r\n\t        return x\n\t    return 0\n"

    def change(self, number: int, *, instead: bool = True, before: bool = False) -> Alternative:
        return Alternative(0, "", number, "", False, instead, before, 0.0)

    def test_a_line_keeps_the_margin_and_the_end_that_it_has_in_the_file(self) -> None:
        (new,) = versions(self.change(6), "    if x >= 1:  ", LISTED, self.TEXT)
        assert new == self.TEXT.replace("x > 1", "x >= 1")

    def test_a_missing_line_comes_before(self) -> None:
        instead, before = versions(self.change(8, before=True), "    yield 1", LISTED, self.TEXT)
        assert instead == self.TEXT.replace("return 0", "yield 1")
        assert before == self.TEXT.replace("\t    return 0", "\t    yield 1\n\t    return 0")


def test_a_long_function_is_scored_around_its_likeliest_lines() -> None:
    text = "def f(x):\n" + "".join(f"    x += {n}\n" for n in range(200)) + "    return x\n"
    suspect = Suspect("m.py", "f", "function", 1, 202, 1.0, (), (150,))
    listed = alternatives.listing(suspect, text, text.rstrip("\n"))
    assert len(listed.lines) < 80
    assert listed.lines[listed.numbers.index(150)] == "    x += 148"
    assert listed.lines[listed.numbers.index(0)] == "..."


class Minus:
    """Finds a minus unlikely, and would rather have written what it is told."""

    def __init__(self, *instead: str) -> None:
        self.instead = instead
        self.asked: list[ChatRequest] = []

    def score(self, request: ChatRequest, answer: str, top: int) -> Scores | None:
        self.asked.append(request)
        at = answer.find(" - 1")
        tops = tuple((text, -float(turn)) for turn, text in enumerate(self.instead))
        tokens = (ScoredToken(at, " -", -5.0, tops),) if at >= 0 else ()
        return Scores(tokens, Usage(len(answer), 0, 0))


@pytest.fixture
def shop(tmp_path: Path, scratch: Path) -> Repository:
    """A repository with one bug, `- 1` in line 8, and a test that shows it."""
    return Repository.made(tmp_path, TESTS)


def test_what_would_rather_have_been_written_is_finished_and_tested_before_anything_is_asked(shop: Repository) -> None:
    scorer = Minus(" *", " //", " +")
    result = shop.fix([lambda r: " 2\n", lambda r: " 1", lambda r: " 0"], scorer=scorer)
    assert (result.status, result.attempts) == ("verified", 1)
    assert "+    return sum(prices) // 1\n" in result.diff
    tried = [event for event in shop.events if isinstance(event, events.Tried)]
    assert [(event.style, event.verdict, event.versions) for event in tried] == [("alternative", "verified", 2)]
    assert [request.prefill.rpartition("\n")[2] for request in shop.requests] == [
        "    return sum(prices) *", "    return sum(prices) //", "    return sum(prices) +",
    ]  # fmt: skip
    assert scorer.asked[0].messages == shop.requests[0].messages


def test_a_line_that_ends_there_needs_no_more_of_the_model(shop: Repository) -> None:
    result = shop.fix([], attempts=1, scorer=Minus("\n"))
    assert (result.status, shop.requests) == ("verified", [])


def test_without_alternatives_the_model_is_asked_as_usual(shop: Repository) -> None:
    scorer = Minus()
    result = shop.fix(["    return sum(prices)\n"], attempts=3, scorer=scorer)
    assert (result.status, result.attempts) == ("verified", 3)
    styles = [event.style for event in shop.events if isinstance(event, events.Tried)]
    assert styles == ["alternative", "alternative", "repair"]
    first, second = scorer.asked  # without what is around the function, which is quicker to read, then with it
    assert "Available in the program" not in text_of(first.messages)
    assert text_of(second.messages) == text_of(shop.requests[0].messages)


def test_two_readings_are_one_list() -> None:
    tokens = [token(" >", (" <", -1.0)), token(" 0", (" 1", -1.1))]
    first, second = ranked(tokens, LISTED, (6, 8))
    better = replace(second, score=first.score + 1)
    assert alternatives.merged([first, second], [better], ()) == [better, first]
    assert alternatives.merged([first, second], [better], {(first.number, first.head)}) == [better]
