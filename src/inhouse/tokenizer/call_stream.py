"""The arguments of one tool call as JSON text, piece by piece as the model writes them. For calls that cannot turn out
to be none: their form is enforced while they are drawn.
"""

from __future__ import annotations

import json
import re
from typing import Protocol

from inhouse.tokenizer.schemas import Schema, SchemaError, alternatives, types_of
from inhouse.tokenizer.xml_calls import schema_of, typed
from inhouse.tokenizer.xml_values import written

_KEY = re.compile(r"\s*<parameter=([^>\n]+)>\n?")
_END = re.compile(r"\n?</parameter>\s*(?=<parameter=|</function>)")
_MAY_END = re.compile(
    r"\n?(?:<(?:/(?:p(?:a(?:r(?:a(?:m(?:e(?:t(?:e(?:r(?:>\s*(?:<[^>]{0,12})?)?)?)?)?)?)?)?)?)?)?)?)?\Z"
)


class CallStream(Protocol):
    def feed(self, text: str) -> str:
        """The JSON that `text`, the next piece of a call behind its head, adds."""


class JsonStream:
    """Of a call in JSON: its text as it is, to the end of the object."""

    def __init__(self) -> None:
        self._depth = 0
        self._inside = False  # of a string
        self._escaped = False
        self._begun = self._ended = False

    def feed(self, text: str) -> str:
        if not self._begun:
            text = text.lstrip()  # clients read what has come so far, and white space alone is no JSON
            self._begun = bool(text)
        if self._ended:
            return ""
        for at, character in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._inside:
                self._escaped = character == "\\"
                self._inside = character != '"'
            elif character == '"':
                self._inside = True
            else:
                self._depth += (character in "{[") - (character in "}]")
                if self._depth == 0 and character in "}]":
                    self._ended = True
                    return text[: at + 1]
        return text


class XmlStream:
    """Of a call in the XML dialect: strings as they grow, other values once they are whole."""

    def __init__(self, form: Schema, root: Schema) -> None:
        """`form` is the tool's schema without references or unions at its top, `root` the schema itself."""
        self._form, self._root = form, root
        self._pending = ""
        self._key: str | None = None  # whose value is being written
        self._string = False
        self._any = False  # whether there was a parameter
        self._ended = False

    def feed(self, text: str) -> str:
        self._pending += text
        out = ""
        while not self._ended and (piece := self._next()) is not None:
            out += piece
        return out

    def _next(self) -> str | None:
        """What of the text that is here is certain; None: nothing more."""
        if self._key is not None:
            return self._of_value()
        if head := _KEY.match(self._pending):
            if head.end() == len(self._pending) and not head[0].endswith("\n"):
                return None  # a newline that comes next belongs to it
            self._pending = self._pending[head.end() :]
            self._key = head[1].strip()
            self._string = self._is_string(self._key)
            lead, self._any = (", " if self._any else "{"), True
            return f"{lead}{json.dumps(self._key, ensure_ascii=False)}: " + ('"' if self._string else "")
        if self._pending.lstrip().startswith("</function>"):
            self._ended = True
            return "}" if self._any else "{}"
        return None

    def _of_value(self) -> str | None:
        end = _END.search(self._pending)
        if end is None:
            return self._growing() if self._string else None
        text, self._pending = self._pending[: end.start()], self._pending[end.end() :]
        key, self._key = self._key or "", None
        if self._string:
            return f'{_escaped(text)}"'
        return json.dumps(typed(text, schema_of(key, self._form), self._root), ensure_ascii=False)

    def _growing(self) -> str | None:
        """The part of a string that cannot be the beginning of its end marker."""
        held = _MAY_END.search(self._pending)
        certain = self._pending[: held.start()] if held else self._pending
        if not certain:
            return None
        self._pending = self._pending[len(certain) :]
        return _escaped(certain)

    def _is_string(self, key: str) -> bool:
        """Whether a parameter is a string written as it is, whatever its text."""
        try:
            leaves = alternatives(schema_of(key, self._form), self._root)
            quoted = written(schema_of(key, self._form), self._root).quoted
        except SchemaError:
            return False
        return not quoted and all((types_of(leaf) or {"string"}) == {"string"} for leaf in leaves)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def xml_stream(schema: Schema) -> XmlStream | None:
    """For a call of a tool with these parameters; None where they are a union, of which the whole call decides."""
    try:
        forms = alternatives(schema, schema)
    except SchemaError:
        return None
    return XmlStream(forms[0], schema) if len(forms) == 1 else None
