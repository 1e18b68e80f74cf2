"""Keeps an answer to its constraint while it is drawn. Knows tokens and grammars, neither models nor any API.

A grammar binds from the first token on, or lazily: text is free until it begins a tool call, which then cannot but fit
the tool's schema, and free again after it. Where both a shape and tools are given, the answer is of that shape or calls
tools. llguidance says which tokens may come next.
"""

from __future__ import annotations

import functools
import json
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from inhouse.engine.constraints import Constraint
from inhouse.engine.grammars import BEGIN, ToolGrammar, bare_head, call_grammar, joined, json_grammar, tool_grammar
from inhouse.engine.recent import Recent
from inhouse.errors import InhouseError, ParameterError
from inhouse.tokenizer import Dialect, Tokenizer
from inhouse.tokenizer.calls import schemas
from inhouse.tokenizer.schemas import Schema

F32 = npt.NDArray[np.float32]

_LOG = logging.getLogger("inhouse.engine")

_END_THINK = "</think>"
_MARKS = (BEGIN, "</tool_call>", "<think>", _END_THINK)  # text to a grammar, whatever the vocabulary calls them
_COMPILED = 64  # grammars that are remembered: an agent asks with the same tools again and again
_TAIL = 256  # bytes of free text that are remembered, to find a marker in


class Grammars:
    """Compiles grammars for one vocabulary, and remembers the last; its table is made when first needed. For any
    thread."""

    def __init__(self, tokenizer: Tokenizer, eos: frozenset[int], vocab_size: int) -> None:
        self.tokenizer = tokenizer
        self.eos = np.asarray(sorted(eos), np.intp)
        self._size = vocab_size
        self._table: LLTokenizer | None = None
        self._lock = threading.Lock()
        self._problems = Recent[str](4 * _COMPILED)
        self._matchers = Recent[LLMatcher](_COMPILED)
        self._told = Recent[None](_COMPILED)

    def sound(self, grammar: str) -> bool:
        """Whether a grammar can be enforced."""
        return not self._problem(grammar)

    def check(self, grammar: str, what: str) -> str:
        """`grammar` if it can be enforced. Raises ParameterError."""
        if problem := self._problem(grammar):
            raise ParameterError(f"{what}: {' '.join(problem.split())[:500]}; give one that can be enforced")
        return grammar

    def matcher(self, grammar: str) -> LLMatcher:
        """One at the beginning of a grammar, for one answer."""
        return self._matchers.get(grammar, lambda: LLMatcher(self._vocabulary(), grammar)).deep_copy()

    def _problem(self, grammar: str) -> str:
        return self._problems.get(grammar, lambda: LLMatcher.validate_grammar(grammar, self._vocabulary()))

    def guide(
        self,
        constraint: Constraint | None,
        *,
        dialect: Dialect = "plain",
        tools: Sequence[Mapping[str, Any]] | None = None,
        thinking: bool = False,
        prefill: str = "",
    ) -> Guide | None:
        """What keeps an answer to `constraint` and to the schemas of `tools`; None if anything goes.

        A regex or a grammar leaves no room for calls, a JSON schema does.
        Raises ParameterError for a schema or grammar that cannot be enforced, or that `prefill` breaks already.
        """
        constraint = constraint or Constraint()
        known = schemas(tools) if dialect != "plain" and constraint.tool_choice != "none" else {}
        if constraint.tool is not None:
            known = {name: schema for name, schema in known.items() if name == constraint.tool}
        must = constraint.tool is not None or constraint.tool_choice == "required"
        if must and not known:
            raise ParameterError("a tool must be called and there is none, or this model knows no tools: offer it")
        rules = self._tool_grammars(dialect, known, constraint.strict_tools)
        whole, call = self._whole(constraint), None
        if known and must:
            whole = self._shape("@call", call=call_grammar(rules, begun=False))
        elif known and constraint.json_schema is not None and whole is not None:
            calls = '@call ("\\n" @call)* "\\n"?' if constraint.parallel_tool_calls else "@call"
            grammar = call_grammar(rules, begun=False)
            whole = self._shape(f"@shape | {calls}", shape=whole.grammar, call=grammar)
        if known and (must or whole is None):
            call = call_grammar(rules, begun=True)
        if whole is None and call is None:
            return None
        bare = known if call is not None and dialect == "hermes_json" else {}
        guide = Guide(self, whole, call, bare, several=constraint.parallel_tool_calls, must=must, thinking=thinking)
        guide.read(prefill.encode("utf-8", "replace"))
        if guide.broken:
            raise ParameterError(
                f"no answer of the form that is demanded begins with {prefill[:100]!r}: change one of the two"
            )
        return guide

    def _tool_grammars(
        self, dialect: Dialect, tools: Mapping[str, Schema], strict: Collection[str]
    ) -> list[ToolGrammar]:
        """Of each tool, and says what of its schema cannot be enforced. Raises ParameterError if it is `strict`."""
        found = []
        for index, (name, schema) in enumerate(tools.items()):
            grammar = tool_grammar(dialect, f"tool_{index}", name, schema, self._problem)
            found.append(grammar)
            reason = " ".join(grammar.loosened.split())[:500]
            if reason and name in strict:
                raise ParameterError(f"the parameters of tool {name!r}: {reason}; change them, or drop 'strict'")
            if reason:
                told = f"calls of tool {name!r} may not fit its parameters: {reason}"
                self._told.get(told, functools.partial(_LOG.warning, told))
        return found

    def _whole(self, constraint: Constraint) -> Shape | None:
        if constraint.json_schema is not None:
            return self._shape("@shape", shape=self.check(json_grammar(constraint.json_schema), "json_schema"))
        if constraint.regex is not None:
            grammar = self.check(LLMatcher.grammar_from_regex(constraint.regex), "regex")
            return self._shape("@shape", shape=json.loads(grammar)["grammars"][0]["lark_grammar"])
        if constraint.grammar is not None:
            return self._shape("@shape", shape=self.check(constraint.grammar, "grammar"))
        return None

    def _shape(self, start: str, **grammars: str) -> Shape:
        """`start` of the named `grammars`. One of the operator's own may not be a part of another."""
        plain = next(iter(grammars.values())) if len(grammars) == 1 and " " not in start else joined(start, **grammars)
        spaced = joined(f"/\\s*/ ({start})", **grammars)
        return Shape(plain, spaced if self.sound(spaced) else plain)

    def _vocabulary(self) -> LLTokenizer:
        with self._lock:
            if self._table is None:
                self._table = LLTokenizer(
                    TokenizerWrapper(_Vocabulary(self.tokenizer, self.eos, self._size)),
                    n_vocab=self._size,
                    eos_token=[int(id) for id in self.eos],
                )
            return self._table


@dataclass(frozen=True)
class Shape:
    """The grammar of a whole answer, and the same after white space, with which an answer follows its reasoning."""

    grammar: str
    spaced: str


class Guide:
    """One answer's. `whole` binds all of it, or (`must`) its first call; `call` what follows the marker of a call, and
    the schemas of `bare` the arguments of calls without any marker."""

    def __init__(
        self,
        grammars: Grammars,
        whole: Shape | None,
        call: str | None,
        bare: Mapping[str, Schema],
        *,
        several: bool,
        must: bool,
        thinking: bool,
    ) -> None:
        self._grammars = grammars
        self._whole = whole
        self._call = call
        self._bare = bare
        self._several = several
        self._must = must
        self._thinking = thinking
        self._fresh = not thinking  # all is remembered that was said since the beginning or the last call
        self._ended = False  # nothing but the end may come
        self._in_call = False
        self._demanded = False  # the grammar in force is that of `whole`
        self.broken = False  # text that was read is not of the form that is demanded
        self._tail = b""
        self._matcher: LLMatcher | None = None
        if whole is not None and not thinking:
            self._bind(whole.grammar, b"", call=must, demanded=True)

    @property
    def binding(self) -> bool:
        """Whether not every token may come next."""
        return self._ended or self._matcher is not None

    def permits(self, token: int) -> bool:
        """Whether `token` may come next, however the grammar's text is usually cut into tokens."""
        if self._ended:
            return token in self._grammars.eos
        return self._matcher is None or self._matcher.validate_tokens([token]) == 1

    def allowed(self, logits: F32) -> F32:
        """`logits` (V,), or a copy in which tokens that must not come next are impossible."""
        if not self.binding:
            return logits
        if self._ended:
            out = np.full_like(logits, -np.inf)
            out[self._grammars.eos] = logits[self._grammars.eos]
            return out
        assert self._matcher is not None
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        mask = np.unpackbits(bits, count=logits.size, bitorder="little").view(np.bool_)
        if self._matcher.is_error() or not mask.any():
            raise InhouseError(f"the answer's grammar came to no end: {self._matcher.get_error()}; simplify it")
        return np.where(mask, logits, np.float32(-np.inf))

    def push(self, token: int) -> None:
        """`token` has been drawn."""
        if self._ended:
            return
        if self._matcher is None:
            self.read(self._grammars.tokenizer.token_bytes(token))
            return
        self._matcher.consume_token(token)
        self._look()

    def read(self, data: bytes) -> None:
        """Free text, in which reasoning may end and a call may begin."""
        if self._matcher is not None:
            self._feed(data)
            return
        self._tail += data
        if self._thinking and (at := self._tail.find(_END_THINK.encode())) >= 0:
            self._thinking, self._fresh = False, True
            self._tail = self._tail[at + len(_END_THINK) :]
            if self._whole is not None:
                self._bind(self._whole.spaced, self._tail, call=self._must, demanded=True)
                return
        if self._call is not None and (at := self._tail.find(BEGIN.encode())) >= 0:
            self._thinking = False
            self._bind(self._call, self._tail[at + len(BEGIN) :], call=True)
            return
        if self._fresh and (head := bare_head(self._tail)) and head.name in self._bare:
            grammar = head.grammar(self._bare, self._grammars.sound, several=self._several)
            self._bind(grammar, self._tail[head.length :], call=False)
            return
        self._fresh = self._fresh and len(self._tail) <= _TAIL
        self._tail = self._tail[-_TAIL:]

    def _bind(self, grammar: str, begun: bytes, *, call: bool, demanded: bool = False) -> None:
        self._matcher, self._in_call, self._tail = self._grammars.matcher(grammar), call, b""
        self._fresh, self._demanded = False, demanded
        if begun:
            self._feed(begun)

    def _feed(self, data: bytes) -> None:
        """Text that is there already, in whatever tokens; one that breaks the grammar was no call after all."""
        assert self._matcher is not None
        tokens = self._grammars.tokenizer.encode(data.decode("utf-8", "replace"))
        if self._matcher.try_consume_tokens(tokens) < len(tokens):
            self.broken = self._demanded
            self._matcher = None
            self._tail = b""
            return
        self._look()

    def _look(self) -> None:
        """Whether the grammar has come to its end."""
        assert self._matcher is not None
        if self._matcher.is_error():
            raise InhouseError(f"the answer's grammar failed: {self._matcher.get_error()}; simplify it")
        if not self._matcher.is_stopped():
            return
        self._matcher = None
        self._ended = not self._in_call or not self._several
        self._fresh = True


class _Vocabulary:
    """What llguidance wants to know of a tokenizer."""

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, eos: npt.NDArray[np.intp], size: int) -> None:
        self._tokenizer = tokenizer
        self.eos_token_id = int(eos[0])
        self.tokens = [tokenizer.token_bytes(id) for id in range(size)]
        ordinary = {id for mark in _MARKS if (id := tokenizer.token_id(mark)) is not None}
        self.special_token_ids = sorted((tokenizer.special_ids | set(eos.tolist())) - ordinary)

    def __call__(self, text: str | bytes) -> list[int]:
        return self._tokenizer.encode(text if isinstance(text, str) else text.decode("utf-8", "replace"))
