"""One answer of the model, streamed: passed on as it comes, cut where it thinks too long or repeats itself.

Knows the chat client, no tools and no sessions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from inhouse.agent.steps import Answered, OnStep, Reading, Said, Thought
from inhouse.client.types import ChatClient, ChatRequest, FinishReason, Message, Sampling, Tool, ToolCall, Usage

Cut = Literal["thinking", "repetition"]

_CHECK_EVERY = 2_000  # characters between two looks at what was said
_SLACK = 1.2  # over the thinking budget, for servers that keep to it by themselves
_UNIT, _REPEATS, _WINDOW = 60, 12, 6_000


@dataclass(frozen=True)
class Reply:
    """An answer as far as it came; `cut`: why we ended it."""

    message: Message
    finish: FinishReason
    usage: Usage
    cut: Cut | None = None


@dataclass(frozen=True)
class Asking:
    """How to ask, the same for all answers of a turn."""

    client: ChatClient
    tools: Sequence[Tool]
    sampling: Sampling
    thinking_budget: int | None
    on_step: OnStep
    cancelled: Callable[[], bool]

    def ask(self, messages: Sequence[Message]) -> Reply:
        """Raises what the client raises."""
        started = time.monotonic()
        request = ChatRequest(
            messages,
            self.tools,
            self.sampling,
            thinking_budget=self.thinking_budget,
            cancelled=self.cancelled,
            progress=lambda done, total: self.on_step(Reading(done, total)),
        )
        stream = self.client.stream(request)
        try:
            reply = self._collect(stream)
        finally:
            if close := getattr(stream, "close", None):
                close()
        usage = reply.usage
        self.on_step(
            Answered(
                usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, round(time.monotonic() - started, 3)
            )
        )
        return reply

    def _collect(self, stream: object) -> Reply:
        content, reasoning = "", ""
        calls: list[ToolCall] = []
        finish: FinishReason = "stop"
        usage = Usage()
        cut: Cut | None = None
        next_check = _CHECK_EVERY
        for delta in stream:  # type: ignore[attr-defined]
            if delta.reasoning:
                reasoning += delta.reasoning
                self.on_step(Thought(delta.reasoning))
            if delta.content:
                content += delta.content
                self.on_step(Said(delta.content))
            calls.extend(delta.tool_calls)
            finish, usage = delta.finish or finish, delta.usage or usage
            if self.cancelled():
                finish = "cancelled"
                break
            if not calls and len(content) + len(reasoning) >= next_check:
                next_check += _CHECK_EVERY
                cut = self._cut(content, reasoning)
                if cut is not None:
                    break
        if not usage.completion_tokens:
            usage = Usage(usage.prompt_tokens, usage.cached_tokens, self.client.count_tokens(reasoning + content))
        if cut is not None:
            reasoning, content = (
                (reasoning[:_WINDOW], content[:_WINDOW]) if cut == "repetition" else (reasoning, content)
            )
        return Reply(Message("assistant", content, reasoning, tuple(calls)), finish, usage, cut)

    def _cut(self, content: str, reasoning: str) -> Cut | None:
        budget = self.thinking_budget
        if budget is not None and not content and self.client.count_tokens(reasoning) > _SLACK * budget:
            return "thinking"
        return "repetition" if repeats_itself(content or reasoning) else None


def repeats_itself(text: str) -> bool:
    """Whether the end of a text is the same piece over and over."""
    unit = text[-_UNIT:]
    return len(text) >= _UNIT * _REPEATS and len(set(unit)) > 3 and text[-_WINDOW:].count(unit) >= _REPEATS
