"""From an answer's tokens to its text as it streams. Knows neither models nor sampling.

Three filters in a row, each of which may hold something back until it knows what it is: bytes that are not yet a
character, text that may be the beginning of a stop string, and (in a chat) the marks around reasoning and tool calls.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from inhouse.engine.completion import CallDelta, ToolCall
from inhouse.tokenizer import (
    Call,
    CallBegun,
    CallPart,
    Detokenizer,
    Event,
    OutputParser,
    Reasoning,
    Text,
    Tokenizer,
)


class StopStrings:
    """Ends a text before the first of `stops` to be complete in it, and never lets a part of one slip out too early."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.found: str | None = None  # the one that ended the text

    def push(self, text: str) -> str:
        """What is certain to come before any stop string; nothing once one is found."""
        if self.found is not None:
            return ""
        text = self._held + text
        found = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._held = ""
            _, begin, self.found = min(
                found
            )  # the first to be complete: text that comes character by character knows no other
            return text[:begin]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def finish(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that is a beginning of `stop`."""
    for length in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:length]):
            return length
    return 0


@dataclass(frozen=True)
class Piece:
    """What one token (or the end) adds to an answer."""

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    call_deltas: tuple[CallDelta, ...] = ()


class PlainText:
    """An answer that is text and nothing else. Without a tokenizer it is no text at all."""

    def __init__(self, tokenizer: Tokenizer | None, stops: Sequence[str]) -> None:
        self._detokenizer = None if tokenizer is None else Detokenizer(tokenizer)
        self._stops = StopStrings(stops)

    @property
    def stopped(self) -> str | None:
        """The stop string that has ended the answer."""
        return self._stops.found

    @property
    def reasoning(self) -> bool:
        """Text has no reasoning."""
        return False

    def push(self, token: int) -> Piece:
        """What `token` adds."""
        return Piece("" if self._detokenizer is None else self._stops.push(self._detokenizer.push(token)))

    def finish(self, *, cut: bool = False) -> Piece:
        """What the end of the answer adds; `cut` where it would have gone on, which makes no difference here."""
        if self._detokenizer is None:
            return Piece()
        return Piece(self._stops.push(self._detokenizer.finish()) + self._stops.finish())


class ChatText:
    """An answer in a chat: reasoning, text and tool calls apart.

    `prefill` is how the answer begins already: the parser must have seen it, but it is not given out again. Calls have
    random ids: clients put conversations together, and tell calls apart by nothing else.
    """

    def __init__(self, plain: PlainText, new_parser: Callable[[], OutputParser], prefill: str = "") -> None:
        self._plain = plain
        self._parser = new_parser()
        self._parser.push(prefill)
        # What the parser still holds of the prefill, it will give out together with what comes next.
        twin = new_parser()
        twin.push(prefill)
        self._known = "".join(event.text for event in twin.finish() if isinstance(event, Text))
        self._writing: tuple[str, str] | None = None  # id and name of a call

    @property
    def stopped(self) -> str | None:
        """The stop string that has ended the answer."""
        return self._plain.stopped

    @property
    def reasoning(self) -> bool:
        """Whether the answer has not yet come out of its reasoning."""
        return self._parser.reasoning

    def push(self, token: int) -> Piece:
        """What `token` adds."""
        return self._piece(self._parser.push(self._plain.push(token).text))

    def finish(self, *, cut: bool = False) -> Piece:
        """What the end of the answer adds; `cut`: it would have gone on."""
        return self._piece([*self._parser.push(self._plain.finish().text), *self._parser.finish(cut=cut)])

    def _piece(self, events: Sequence[Event]) -> Piece:
        text, reasoning = "", ""
        calls: list[ToolCall] = []
        deltas: list[CallDelta] = []
        for event in events:
            match event:
                case Text():
                    text += self._unknown(event.text)
                case Reasoning():
                    reasoning += event.text
                case CallBegun():
                    self._writing = (_new_id(), event.name)
                    deltas.append(CallDelta(*self._writing, ""))
                    self._known = ""  # it was the call's beginning
                case CallPart():
                    assert self._writing is not None
                    deltas.append(CallDelta(*self._writing, event.text))
                case Call():
                    id, _ = self._writing or (_new_id(), "")
                    rest = event.arguments_json if self._writing is None else ""
                    calls.append(ToolCall(id, event.name, event.arguments_json))
                    deltas.append(CallDelta(id, event.name, rest, True))
                    self._known, self._writing = "", None
        return Piece(text, reasoning, tuple(calls), tuple(deltas))

    def _unknown(self, text: str) -> str:
        """`text` less what the caller gave as prefill."""
        if self._known.startswith(text):
            self._known = self._known[len(text) :]
            return ""
        known, self._known = self._known, ""
        return text.removeprefix(known)


def _new_id() -> str:
    return f"call_{secrets.token_hex(12)}"
