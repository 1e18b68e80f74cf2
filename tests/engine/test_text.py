"""From tokens to text: nothing half, nothing twice, nothing lost."""

from __future__ import annotations

import re
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parrot import vocabulary

from inhouse.engine.text import ChatText, PlainText, StopStrings
from inhouse.tokenizer import OutputParser

TOKENIZER = vocabulary([])


def cut(stops: tuple[str, ...], pieces: list[str]) -> list[str]:
    filter = StopStrings(stops)
    out = [filter.push(piece) for piece in pieces]
    return [*out, filter.finish()]


def test_a_stop_string_over_several_pieces_never_leaks() -> None:
    assert cut(("STOP",), ["aS", "T", "O", "P b"]) == ["a", "", "", "", ""]


def test_a_false_beginning_comes_out_when_it_is_known_to_be_false() -> None:
    assert cut(("STOP",), ["aS", "T", "x"]) == ["a", "", "STx", ""]
    assert cut(("STOP",), ["aS", "T"]) == ["a", "", "ST"]


def test_the_first_of_several_stops_to_be_complete_wins() -> None:
    assert "".join(cut(("world", "lo"), ["hel", "lo world"])) == "hel"
    assert "".join(cut(("aba", "b"), ["aba"])) == "a"


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3), st.data())
def test_stops_do_not_depend_on_how_the_text_is_cut(text: str, stops: list[str], data: st.DataObject) -> None:
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    expected = text[: min(ends)[1]] if ends else text
    pieces, rest = [], text
    while rest:
        length = data.draw(st.integers(1, len(rest)))
        pieces.append(rest[:length])
        rest = rest[length:]
    assert "".join(cut(tuple(stops), pieces)) == expected


def test_half_a_character_is_never_shown() -> None:
    text = PlainText(TOKENIZER, ())
    pieces = [text.push(token).text for token in TOKENIZER.encode("a🦜b")]
    assert pieces == ["a", "", "", "", "🦜", "b"]
    text.push(TOKENIZER.encode("🦜")[0])
    assert text.finish().text == "\ufffd"


def test_a_stop_string_ends_a_text_in_mid_token() -> None:
    text = PlainText(TOKENIZER, ("é!",))
    pieces = [text.push(token).text for token in TOKENIZER.encode("né!x")]
    assert "".join(pieces) + text.finish().text == "n"
    assert text.stopped


def chat(answer: str, prefill: str = "", *, thinking: bool = False, dialect: str = "hermes_json") -> tuple[str, ...]:
    """Content, reasoning and names of calls of an answer that comes byte by byte after `prefill`."""
    new_parser = partial(OutputParser, dialect, thinking=thinking)  # type: ignore[arg-type]
    text = ChatText(PlainText(TOKENIZER, ()), new_parser, prefill)
    pieces = [*(text.push(token) for token in TOKENIZER.encode(answer)), text.finish()]
    calls = [call.name for piece in pieces for call in piece.tool_calls]
    return "".join(piece.text for piece in pieces), "".join(piece.reasoning for piece in pieces), *calls


CALL = '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>'


@pytest.mark.parametrize("length", range(len(CALL) + 1))
def test_a_prefill_is_seen_but_not_repeated(length: int) -> None:
    answer = f"Let me see.\n{CALL}"
    start = len("Let me see.\n") + length
    assert chat(answer[start:], prefill=answer[:start]) == ("", "", *(["look"] if start < len(answer) else []))


def test_text_that_resembles_the_prefill_is_not_lost() -> None:
    assert chat("<html>", prefill="<think>\nHm.\n</think>\n\n") == ("<html>", "")
    assert chat("aaa", prefill="a") == ("aaa", "")
    assert chat(" <x>", prefill="see <") == (" <x>", "")
    assert chat("  two", prefill="one\n") == ("  two", "")


def test_a_prefill_may_end_the_reasoning_that_the_template_began() -> None:
    assert chat("Four.", prefill="Easy.\n</think>\n\n", thinking=True) == ("Four.", "")
    assert chat("sy.\n</think>\n\nFour.", prefill="Ea", thinking=True) == ("Four.", "sy.")


def test_no_two_calls_have_one_id() -> None:
    calls = []
    for _ in range(2):
        text = ChatText(PlainText(TOKENIZER, ()), partial(OutputParser, "hermes_json"))
        calls += [call for token in TOKENIZER.encode(CALL + CALL) for call in text.push(token).tool_calls]
    assert [call.name for call in calls] == ["look"] * 4
    assert len({call.id for call in calls}) == 4
    assert all(re.fullmatch(r"call_[0-9a-f]{24}", call.id) for call in calls)
