"""What clients send, put into the order that models know."""

from __future__ import annotations

from typing import Any

import pytest

from inhouse.server.conversation import normalised

USER = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Good day"}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def test_leading_system_messages_become_one() -> None:
    assert normalised([system("Be brief.\n"), system(""), system("Be kind."), USER]) == [
        system("Be brief.\n\nBe kind."),
        USER,
    ]


def test_a_later_system_message_stays_where_it_is() -> None:
    talk = [USER, ANSWER, system("Be brief."), USER]
    assert normalised(talk) == talk


def test_an_empty_system_message_is_none() -> None:
    assert normalised([system("\n"), USER]) == [USER]


def test_headers_of_transport_are_no_words() -> None:
    given = system("x-anthropic-billing-header: cc_version=1; cch=ab12;\nYou are helpful.")
    assert normalised([given, USER]) == [system("You are helpful."), USER]


TURNS = [
    "You are an engineer.\nToday's date: 2026-11-{day}\n\nRules: be brief.",
    "You are an engineer.\nThe current time is 12:{day}:07.\nRules: be brief.",
    "You are an engineer.\n<git_status>\nM file{day}.py\n</git_status>\n\nRules: be brief.",
    "You are an engineer.\n\ngitStatus: The status.\n\nCurrent branch: b{day}\n\nStatus:\nM a.py\n\nRules: be brief.",
]


@pytest.mark.parametrize("turn", TURNS)
def test_what_changes_every_turn_moves_behind_the_last_question(turn: str) -> None:
    first = normalised([system(turn.format(day=1)), USER], stable_prefix=True)
    second = normalised([system(turn.format(day=2)), USER, ANSWER, USER], stable_prefix=True)
    assert first[0] == second[0]
    assert "Rules: be brief." in first[0]["content"]
    assert second[1:3] == [USER, ANSWER]
    assert second[3]["content"].startswith("Hello\n\n")
    assert "2" in second[3]["content"]


@pytest.mark.parametrize("turn", TURNS)
def test_only_where_the_operator_wants_it(turn: str) -> None:
    given = [system(turn.format(day=1)), USER]
    assert normalised(given) == given


def test_the_note_needs_no_user() -> None:
    given = [system("Date: 2026-11-24\nGo."), {"role": "tool", "content": "x"}]
    out = normalised(given, stable_prefix=True)
    assert out[0] == system("Go.")
    assert out[-1] == {"role": "user", "content": "Date: 2026-11-24"}


def test_words_about_dates_are_not_dates() -> None:
    text = "The date is always told in ISO format.\nCurrent branch: main"
    assert normalised([system(text), USER], stable_prefix=True) == [system(text), USER]
