"""From a conversation to a prompt's tokens. Knows neither models nor answers.

A template writes control tokens (`<|im_end|>`) as text among the conversation's own text. A file that an agent reads
may contain the same text, and must not thereby end a message: such text is marked before rendering and becomes
ordinary tokens.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inhouse.engine.recent import Recent
from inhouse.errors import InhouseError, TemplateError
from inhouse.tokenizer import ChatTemplate, Tokenizer, opens_thinking

_TAILS = 64  # sets of switches, which clients choose, whose effect is remembered
_MARK = "\ufdd0"  # a code point that Unicode reserves for a program's inner use: no text contains it


@dataclass(frozen=True)
class Prompt:
    """Tokens of a conversation and of the answer's given beginning; `thinking`: the answer begins as reasoning.

    `tail`: so many tokens at the end may be written otherwise once the answer is a message of the conversation.
    """

    ids: list[int]
    thinking: bool
    tail: int = 0


class ChatPrompts:
    """Makes prompts with one model's template."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Raises InhouseError for a model without a chat template, TemplateError for one with a broken template."""
        if tokenizer.chat_template is None:
            raise InhouseError(
                "this model has no chat template: give one with --chat-template FILE, or use generate with a prompt"
            )
        self.source = tokenizer.chat_template
        self._tokenizer = tokenizer
        self._template = ChatTemplate(self.source, bos=tokenizer.bos_token, eos=tokenizer.eos_token)
        names = sorted((tokenizer.decode([id]) for id in tokenizer.special_ids), key=len, reverse=True)
        self._tails = Recent[int](_TAILS)
        self._control = re.compile("|".join(re.escape(name) for name in names if len(name) > 1) or r"(?!)")

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None,
        prefill: str,
        flags: Mapping[str, Any],
    ) -> Prompt:
        """The prompt of a conversation in OpenAI's shape; `flags` are the template's switches.

        Raises TemplateError when the template refuses the conversation.
        """
        text = self._template.render(self._marked(messages), self._marked(tools), **flags)
        return Prompt(self._ids(text + prefill), opens_thinking(text), self._tail(flags) + len(self._ids(prefill)))

    def _ids(self, text: str) -> list[int]:
        return [id for part in text.split(_MARK) for id in self._tokenizer.encode(part)]

    def _tail(self, flags: Mapping[str, Any]) -> int:
        """How many tokens, of those that ask for an answer, are not there where the answer is followed by more."""
        return self._tails.get(repr(sorted(flags.items())), lambda: self._measured_tail(flags))

    def _measured_tail(self, flags: Mapping[str, Any]) -> int:
        begin = [{"role": "user", "content": "a"}]
        later = [*begin, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
        try:
            asked, told = (self._ids(self._template.render(messages, None, **flags)) for messages in (begin, later))
        except TemplateError:
            return 0  # it wants more than this; nothing is lost but a little speed
        common = next((i for i, (a, b) in enumerate(zip(asked, told, strict=False)) if a != b), len(asked))
        return len(asked) - common

    def _marked(self, value: Any) -> Any:
        """`value` with a mark inside every text that would become a control token."""
        if isinstance(value, str):
            return self._control.sub(lambda found: found[0][0] + _MARK + found[0][1:], value.replace(_MARK, ""))
        if isinstance(value, Mapping):
            return {key: self._marked(item) for key, item in value.items()}
        if isinstance(value, Sequence):
            return [self._marked(item) for item in value]
        return value
