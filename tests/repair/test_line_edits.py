"""Corrections of single lines: what is listed, what an answer makes of a file, and how the search asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import TESTS, Repository, text_of

from inhouse.client.types import ChatRequest
from inhouse.repair import events, line_edits
from inhouse.repair.localise import Suspect
from inhouse.workspace.edits import EditError

LONG = "def long(x):\n" + "".join(f"    x += {number}\n" for number in range(200)) + "    return x\n"


def suspect(text: str, lines: tuple[int, ...] = ()) -> Suspect:
    return Suspect("m.py", "long", "function", 1, text.count("\n"), 1.0, (), lines)


def test_a_short_function_is_listed_whole_with_its_numbers() -> None:
    text = "def long(x):\n    return x + 1\n"
    shown = line_edits.listed(suspect(text), text)
    assert line_edits.listing(text, shown) == "1|def long(x):\n2|    return x + 1"


def test_of_a_long_function_the_head_and_what_is_around_its_likeliest_lines() -> None:
    shown = line_edits.listed(suspect(LONG, (150, 30)), LONG)
    assert len(shown) <= line_edits.LISTED
    assert {1, 150, 140, 160, 30} <= set(shown)
    assert 90 not in shown
    assert "\n...\n140|" in line_edits.listing(LONG, shown)


def test_lines_that_no_failing_test_ran_are_not_likely() -> None:
    assert line_edits.likely(suspect(LONG, (150, 30)), LONG) == [150, 30]
    assert line_edits.likely(suspect(LONG), LONG)[:2] == [2, 3]


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        ("```\n3|        return x - 1\n", "        return x - 1"),
        ("```\n3|return x - 1", "        return x - 1"),  # the margin was left out
        ("```\n3|  return x - 1", "        return x - 1"),  # it does not parse with that margin
        ("3|        return x - 1  ", "        return x - 1"),
    ],
)
def test_an_answer_changes_its_line_alone(answer: str, line: str) -> None:
    text = "def long(x):\n    if x:\n        return x + 1\n\n    return 0\n"
    assert line_edits.changed(suspect(text), text, answer) == text.replace("        return x + 1", line)


@pytest.mark.parametrize("answer", ["", "```\nreturn x", "```\n9|    return x", "```\n0|x"])
def test_an_answer_without_a_line_of_the_function_is_refused(answer: str) -> None:
    text = "def long(x):\n    return x\n\n\ny = 1\n"
    with pytest.raises(EditError):
        line_edits.changed(Suspect("m.py", "long", "function", 1, 2, 1.0), text, answer)


@pytest.fixture
def shop(tmp_path: Path, scratch: Path) -> Repository:
    """A repository with one bug, in line 8, and a test that shows it."""
    return Repository.made(tmp_path, TESTS)


def line_of(request: ChatRequest, code: str) -> str:
    """An answer to a question about lines: after its beginning, the number too where that is not given."""
    return code if request.prefill.endswith("|") else f"8|{code}"


def test_several_answers_to_one_question_are_each_tested_and_count_as_one_attempt(shop: Repository) -> None:
    wrong = ["    return sum(prices) + 1", "    return sum(prices) + 2", "    return sum(prices) + 1"]
    answers = [lambda request, code=code: line_of(request, code) for code in [*wrong, "    return sum(prices)"]]
    result = shop.fix(["    return 7\n", *answers], attempts=2, line_answers=4)
    assert (result.status, result.attempts) == ("verified", 2)
    tried = [event for event in shop.events if isinstance(event, events.Tried)]
    assert [(event.style, event.verdict) for event in tried] == [("repair", "failed"), ("line", "verified")]
    assert tried[1].versions == 3  # one was there twice
    asked = shop.requests[1]
    assert "8|    return sum(prices) - 1" in text_of(asked.messages)
    assert "LINE: /(8)" in (asked.grammar or "")
    assert {request.messages for request in shop.requests[1:]} == {asked.messages}
    assert [request.sampling.temperature > 0 for request in shop.requests[1:]] == [False, True, True, True]


def test_a_round_ends_with_the_answer_that_is_verified(shop: Repository) -> None:
    result = shop.fix(["    return 7\n", lambda r: line_of(r, "    return sum(prices)")], attempts=2, line_answers=6)
    assert result.status == "verified"
    assert len(shop.requests) == 2


def test_lines_have_their_turn_one_by_one_where_there_are_several(shop: Repository) -> None:
    program = (shop.root / "shop/prices.py").read_text()
    shop.write(
        "shop/prices.py", program.replace("    return sum(prices) - 1", "    n = -1\n    return sum(prices) + n")
    )
    any_line = [lambda r: "9|    return sum(prices) + n - 1"] * 2
    each = [lambda r: "    n = 3", lambda r: "    return sum(prices)"]
    result = shop.fix(["    return 7\n", *any_line, *each], attempts=3, line_answers=2)
    assert result.status == "verified"
    assert [request.prefill for request in shop.requests[3:]] in (["```\n8|", "```\n9|"], ["```\n9|"])
