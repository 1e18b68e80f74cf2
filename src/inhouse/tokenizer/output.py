"""A model's answer as it streams, split into reasoning, text and tool calls. Knows no tokens and no engine.

The events do not depend on how the answer is cut into pieces: nothing is decided before the text that decides it is
there. Markers never show, except where they turn out to mark nothing: a malformed call comes out as text, and nothing
is lost but the whitespace around markers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from inhouse.tokenizer.call_stream import CallStream, JsonStream, xml_stream
from inhouse.tokenizer.calls import (
    bare_calls,
    cut_json_call,
    ends_in_string,
    json_call,
    schemas,
)
from inhouse.tokenizer.xml_calls import cut_xml_arguments, xml_arguments

Dialect = Literal["qwen3_xml", "hermes_json", "plain"]


@dataclass(frozen=True)
class Text:
    """A piece of the answer proper."""

    text: str


@dataclass(frozen=True)
class Reasoning:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True)
class Call:
    """A whole tool call; `arguments_json` is a JSON object."""

    name: str
    arguments_json: str


@dataclass(frozen=True)
class CallBegun:
    """A call of a tool is being written; pieces of its arguments follow, and last the whole call."""

    name: str


@dataclass(frozen=True)
class CallPart:
    """A piece of the arguments' JSON."""

    text: str


Event = Text | Reasoning | Call | CallBegun | CallPart

_THINK, _END_THINK, _CALL, _END_CALL, _FUNCTION = "<think>", "</think>", "<tool_call>", "</tool_call>", "<function="
_XML_HEAD = re.compile(r"(?:<tool_call>\s*)?<function=([^>\n]+)>\s*")
_XML_END = re.compile(r"</function>|</tool_call>")
_XML_LAST_END = re.compile(r"</function>\s*</tool_call>\s*\Z")
_JSON_HEAD = re.compile(r'<tool_call>\s*\{\s*"name":\s*"([^"\\]+)",\s*"arguments":\s*')
_AFTER_HEAD = ("<parameter=", "</function>", _END_CALL)
_FENCE = re.compile(r"```(?:json)?[ \t]*\n\s*")
_FENCE_BEGUN = re.compile(r"`{1,2}|```(?:j|js|jso|json)?[ \t]*")
_BARE_HEAD = re.compile(r'\{\s*(?:\{\s*)?"name"')
_BARE_BEGUN = re.compile(r'\{\s*(?:\{\s*)?(?:"(?:n(?:a(?:me?)?)?)?)?')


def detect_dialect(template: str) -> Dialect:
    """How a model with this chat template writes tool calls."""
    if _FUNCTION in template:
        return "qwen3_xml"
    return "hermes_json" if _CALL in template else "plain"


def opens_thinking(prompt: str) -> bool:
    """Whether a rendered prompt leaves the model in the middle of its thinking."""
    return prompt.rstrip().endswith(_THINK)


class OutputParser:
    """Splits one answer. `tools` (OpenAI's shape) give the values of XML calls their types and let calls without
    their outer marker be recognised; `thinking` says that the prompt has already opened the reasoning; `prefill` is the
    answer's beginning where that was given: it is understood, but not given out again. `streams`: whoever draws the
    answer keeps calls to their form, so that they may be given out as they are written."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
        prefill: str = "",
        streams: bool = False,
    ) -> None:
        self._dialect = dialect
        self._streams = False
        self._stream: CallStream | None = None  # of the call that is being written
        self._fed = 0  # of `_pending`: given to it
        self._schemas = schemas(tools)
        self._outside: type[Text] | type[Reasoning] = Reasoning if thinking else Text
        self._pending = ""  # not yet given out
        self._space = ""  # whitespace before a marker that may yet turn out to be none
        self._scanned = 0  # of `_pending` in a call: looked through for its end
        self._fresh = thinking  # whitespace that comes next belongs to a marker
        self._owed = False  # reasoning was ended by a call, and its </think> may follow
        self._events: list[Event] = []
        self._final = self._cut = False
        self._step: Callable[[], bool] = self._start
        self._given = 0  # of what is held back: known to the caller
        self.push(prefill)
        self._given = len(self._space) + len(self._pending)
        self._streams = streams

    @property
    def reasoning(self) -> bool:
        """Whether the answer is, as far as it is understood, in the middle of its reasoning."""
        return self._outside is Reasoning

    def push(self, text: str) -> list[Event]:
        """The events that `text` completes, in order; neighbours of one kind are one event."""
        self._pending += text
        while self._step():
            pass
        events, self._events = self._events, []
        return events

    def finish(self, *, cut: bool = False) -> list[Event]:
        """What was held back, now that the answer has ended.

        `cut`: it would have gone on. A call that breaks off is a call of what is whole in it then, and no text.
        """
        self._final, self._cut = True, cut
        return self.push("")

    # The steps: each looks at `_pending`, takes what it is sure of, and says whether there may be more to do.

    def _start(self) -> bool:
        """The beginning of an answer, or of what follows its reasoning: a <think>, or a call without markers?"""
        text = self._pending.lstrip()
        if text.startswith(_THINK):
            self._pending = text[len(_THINK) :]
            self._outside, self._fresh, self._given = Reasoning, True, 0
        elif _THINK.startswith(text) and not self._final:
            return False
        elif self._outside is Text and self._dialect == "hermes_json" and self._schemas:
            bare = _is_bare_call(text)
            if bare is None and not self._final:
                return False
            self._step = self._bare if bare else self._speak
            return True
        self._step = self._speak
        return True

    def _speak(self) -> bool:
        """Text or reasoning, up to the next marker."""
        if self._fresh:
            text = self._pending.lstrip()
            self._given = max(0, self._given - (len(self._pending) - len(text)))
            self._pending = text
            if not text:
                return False
            self._fresh = False
        markers = self._markers()
        found = [(at, marker) for marker in markers if (at := self._pending.find(marker)) >= 0]
        if not found:
            self._give_certain(markers)
            return False
        at, marker = min(found)
        before = self._pending[:at].rstrip()
        self._emit(before)
        self._space = self._pending[len(before) : at]
        self._pending = self._pending[at:]
        if marker == _END_THINK:
            self._pending, self._space = self._pending[len(marker) :], ""
            self._step = self._speak if self._owed else self._start
            self._outside, self._fresh, self._owed, self._given = Text, True, False, 0
        else:
            self._scanned = 0
            self._step = self._xml_call if self._dialect == "qwen3_xml" else self._json_call
        return True

    def _markers(self) -> list[str]:
        markers = [_END_THINK] if self._outside is Reasoning or self._owed else []
        if self._dialect != "plain":
            markers.append(_CALL)
        if self._dialect == "qwen3_xml" and self._outside is Text:
            markers += [f"{_FUNCTION}{name}>" for name in self._schemas]
        return markers

    def _give_certain(self, markers: Sequence[str]) -> None:
        """Give out what neither begins a marker nor is whitespace that a marker may follow."""
        text = self._pending
        if not self._final:
            longest = max(map(len, markers), default=1)
            starts = range(max(0, len(text) - longest + 1), len(text))
            held = (at for at in starts if any(marker.startswith(text[at:]) for marker in markers))
            text = text[: next(held, len(text))]
            if markers:
                text = text.rstrip()
        self._emit(text)
        self._pending = self._pending[len(text) :]

    def _xml_call(self) -> bool:
        """<tool_call><function=NAME><parameter=KEY>VALUE</parameter>...</function></tool_call>"""
        head = _XML_HEAD.match(self._pending)
        if head is None or not _may_begin(self._pending[head.end() :], _AFTER_HEAD):
            return self._no_call() if head or self._final or not _may_be_head(self._pending) else False
        name = head[1].strip()
        schema = self._schemas.get(name, {})
        self._grow(name, head.end(), lambda: xml_stream(schema))
        for end in _XML_END.finditer(self._pending, max(head.end(), self._scanned)):
            arguments = xml_arguments(self._pending[head.end() : end.start()], schema)
            if arguments is not None:
                return self._call(name, arguments, end.end(), more=end[0] != _END_CALL)
            self._scanned = end.end()
        if not self._final:
            self._scanned = max(self._scanned, len(self._pending) - len(_END_CALL))
            return False
        if last := _XML_LAST_END.search(self._pending, head.end()):
            arguments = xml_arguments(self._pending[head.end() : last.start()], schema, lenient=True)
            if arguments is not None:
                return self._call(name, arguments, len(self._pending), more=False)
        if (self._cut or self._stream is not None) and name in self._schemas:
            arguments = cut_xml_arguments(self._pending[head.end() :], schema)
            return self._call(name, arguments, len(self._pending), more=False)
        return self._no_call(whole=True)

    def _xml_rest(self) -> bool:
        """After </function>: the end of the block, or another function in it."""
        text = self._pending.lstrip()
        if text.startswith(_FUNCTION):
            self._pending, self._scanned, self._step = text, 0, self._xml_call
        elif text.startswith(_END_CALL):
            self._pending, self._step = text[len(_END_CALL) :], self._speak
        elif _may_begin(text, (_FUNCTION, _END_CALL)):
            self._pending = "" if self._final else self._pending
            return False
        else:
            self._step = self._speak
        return True

    def _json_call(self) -> bool:
        """<tool_call>{"name": NAME, "arguments": {...}}</tool_call>"""
        start = len(_CALL)
        if not _may_begin(self._pending[start:].lstrip(), ("{",)):
            return self._no_call()
        if head := _JSON_HEAD.match(self._pending):
            self._grow(head[1], head.end(), JsonStream)
        while (end := self._pending.find(_END_CALL, max(start, self._scanned))) >= 0:
            body = self._pending[start:end]
            if call := json_call(body):
                return self._call(*call, end + len(_END_CALL), more=False)
            self._scanned = end + len(_END_CALL)
            if not ends_in_string(body):
                return self._no_call(until=self._scanned)
        if not self._final:
            self._scanned = max(self._scanned, len(self._pending) - len(_END_CALL))
            return False
        body = self._pending[start:]
        cut = next((at for at in range(len(body)) if _END_CALL.startswith(body[at:])), len(body))
        broken_off = self._cut or self._stream is not None
        call = json_call(body[:cut]) or (cut_json_call(body[:cut], self._schemas) if broken_off else None)
        if call is not None:
            return self._call(*call, len(self._pending), more=False)
        return self._no_call(whole=True)

    def _bare(self) -> bool:
        """The rest of an answer that may be calls without their markers: known only at its end."""
        if not self._final:
            return False
        found = bare_calls(self._pending, self._schemas)
        if not found and self._cut and (call := cut_json_call(self._pending, self._schemas)):
            found = [call]
        if not found:
            self._step = self._speak
            return True
        for call in found:
            self._call(*call, len(self._pending), more=False)
        return True

    def _after_call(self) -> bool:
        """What follows a call: another without its marker, as small models write it, or anything."""
        bare = _is_bare_call(self._pending.lstrip())
        if bare is None and not self._final:
            return False
        self._step = self._bare if bare else self._speak
        return True

    # What the steps do.

    def _grow(self, name: str, head: int, new: Callable[[], CallStream | None]) -> None:
        """Gives out what of a call's arguments is certain. `head` is where they begin in `_pending`."""
        if not self._streams or name not in self._schemas:
            return
        if self._stream is None:
            if (stream := new()) is None:
                return
            self._stream, self._fed = stream, head
            self._events.append(CallBegun(name))
        if text := self._stream.feed(self._pending[self._fed :]):
            self._events.append(CallPart(text))
        self._fed = len(self._pending)

    def _call(self, name: str, arguments: str, end: int, *, more: bool) -> bool:
        self._stream = None
        self._events.append(Call(name, arguments))
        self._owed = self._owed or self._outside is Reasoning
        self._outside, self._fresh = Text, True
        self._pending, self._space, self._given = self._pending[end:], "", 0
        hermes = self._dialect == "hermes_json" and self._schemas
        self._step = self._xml_rest if more else self._after_call if hermes else self._speak
        return True

    def _no_call(self, *, until: int | None = None, whole: bool = False) -> bool:
        """Not a call after all: its marker, its text up to `until`, or all there is becomes what it stands in."""
        if whole and self._outside is Reasoning:
            self._outside = Text  # the model had stopped thinking and begun to act
        if until is None:
            until = len(self._pending) if whole else self._pending.index(">") + 1
        self._emit(self._space + self._pending[:until])
        self._pending, self._space, self._scanned = self._pending[until:], "", 0
        self._step = self._speak
        return True

    def _emit(self, text: str) -> None:
        known = min(self._given, len(text))
        self._given -= known
        text = text[known:]
        if not text:
            return
        last = self._events[-1] if self._events else None
        if isinstance(last, self._outside):
            self._events[-1] = self._outside(last.text + text)
        else:
            self._events.append(self._outside(text))


def _may_begin(text: str, tags: Sequence[str]) -> bool:
    """Whether `text` begins with one of `tags`, or will if it goes on."""
    return any(text.startswith(tag) or tag.startswith(text) for tag in tags)


def _may_be_head(text: str) -> bool:
    """Whether `text`, no whole head of an XML call yet, can become one."""
    rest = text.removeprefix(_CALL).lstrip()
    if not rest.startswith(_FUNCTION):
        return _FUNCTION.startswith(rest)
    return "\n" not in rest and ">" not in rest


def _is_bare_call(text: str) -> bool | None:
    """Whether an answer begins like a JSON call without marker, in a code fence or not; None: too early to say."""
    if fence := _FENCE.match(text):
        text = text[fence.end() :]
    elif _FENCE_BEGUN.fullmatch(text):
        return None
    if _BARE_HEAD.match(text):
        return True
    return None if not text or _BARE_BEGUN.fullmatch(text) else False
