"""Questions to a model within one budget of time, answers and tokens. Knows neither suspects nor tests."""

from __future__ import annotations

import time
from dataclasses import dataclass

from inhouse.client.types import ChatClient, ChatRequest, FinishReason, Sampling, Usage
from inhouse.repair.prompts import Prompt


@dataclass(frozen=True)
class Budget:
    """When to stop, and what varies the answers.

    `deadline` is of time.monotonic; `tokens` are those computed, of prompts and answers (None: any number).
    """

    deadline: float
    attempts: int
    seed: int
    tokens: int | None = None


@dataclass(frozen=True)
class Reply:
    """A whole answer, prefill included; `cut` when time or the limit of tokens ended it."""

    text: str
    cut: bool
    usage: Usage


class Interview:
    """Asks, and counts what that takes."""

    def __init__(self, client: ChatClient, budget: Budget) -> None:
        self.budget = budget
        self.attempts = 0
        self._client = client
        self._tokens = 0  # computed: answers, and what of the prompts was not in the cache

    def spent(self) -> str:
        """What has run out, in words; empty while there is enough of everything."""
        budget = self.budget
        if time.monotonic() >= budget.deadline:
            return "time is up"
        if budget.tokens is not None and self._tokens >= budget.tokens:
            return "every token is used up"
        return "every attempt is used up" if self.attempts >= budget.attempts else ""

    def begin(self) -> int:
        """Another question is about to be asked: its number, from 1."""
        self.attempts += 1
        return self.attempts

    def seed(self) -> int:
        """What the answer to the question of now is drawn with."""
        return self.budget.seed * 1009 + self.attempts

    def count_tokens(self, text: str) -> int:
        return self._client.count_tokens(text)

    def ask(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """The answer to a prompt; it ends early when time is up or its code block is closed."""
        pieces = [prompt.prefill]
        usage: Usage | None = None
        finish: FinishReason | None = None
        request = ChatRequest(prompt.messages, sampling=sampling, prefill=prompt.prefill, grammar=prompt.grammar)
        stream = self._client.stream(request)
        try:
            for delta in stream:
                pieces.append(delta.content)
                usage, finish = delta.usage or usage, delta.finish or finish
                if time.monotonic() >= self.budget.deadline:
                    break
                if prompt.prefill and "```" in delta.content and "".join(pieces).count("```") >= 2:
                    finish = "stop"
                    break
        finally:
            if close := getattr(stream, "close", None):
                close()
        text = "".join(pieces)
        if usage is None:  # ended by us, so that the engine did not say; what it had cached is unknown
            read = sum(self._client.count_tokens(message.content) for message in prompt.messages)
            usage = Usage(read, 0, self._client.count_tokens(text.removeprefix(prompt.prefill)))
        self._tokens += usage.prompt_tokens - usage.cached_tokens + usage.completion_tokens
        return Reply(text, finish not in ("stop", "tool_calls"), usage)
