"""How much of the context is in use, and the summary that takes a conversation's place when it is nearly full.

What must not be lost is kept by us, word for word: the task, the plan, the files touched, the failing tests. The model
adds what it has found out. Knows no tools and no sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inhouse.agent.tools.plan import Item, worded
from inhouse.client.types import ChatClient, Message, Usage

ASK = """\
[The context is nearly full and will be replaced by a summary. Write that summary now, as text, without calling a tool:
what you found out (with file names and lines), what you changed and why, what you tried that failed, and what is to be
done next. Be exact and brief.]"""

_RESERVE = 0.25  # of the context that is kept free
_TAIL = 0.15  # of the context that the last exchange may take and still be kept as it is
_TASK = 6_000  # characters kept of each of the user's messages
_NOTES = 12_000


class Meter:
    """The size of the prompt: what the last answer's usage said, and an estimate of what came since."""

    def __init__(self, client: ChatClient, context: int) -> None:
        self.context = context
        self._client = client
        self._measured = 0
        self._counted = 0  # messages that are in `_measured`

    def measured(self, usage: Usage, messages: int) -> None:
        """An answer was given whose prompt and own text make up the first `messages` of the conversation."""
        if usage.prompt_tokens:
            self._measured, self._counted = usage.prompt_tokens + usage.completion_tokens, messages

    def reset(self) -> None:
        """The conversation was replaced."""
        self._measured = self._counted = 0

    def size(self, messages: Sequence[Message]) -> int:
        """Tokens of a prompt of these messages."""
        return self._measured + sum(self.of(message) for message in messages[self._counted :])

    def of(self, message: Message) -> int:
        text = "\n".join([message.content, message.reasoning, *(call.arguments for call in message.tool_calls)])
        return self._client.count_tokens(text) + 8

    @property
    def limit(self) -> int:
        """The size above which there is too little room for the next answers."""
        return int(self.context * (1 - _RESERVE))


@dataclass(frozen=True)
class Kept:
    """What a summary keeps besides the model's notes."""

    facts: str
    prompts: Sequence[str]
    plan: Sequence[Item]
    changed: Sequence[str]
    failing: Sequence[str]
    tests_passed: bool | None


def summary(kept: Kept, notes: str) -> str:
    """The message that takes the conversation's place."""
    tests = "not run yet"
    if kept.tests_passed is not None:
        tests = (
            "passed" if kept.tests_passed else "failing: " + (", ".join(kept.failing[:30]) or "see the test command")
        )
    prompts = [prompt if len(prompt) <= _TASK else prompt[:_TASK] + " ..." for prompt in kept.prompts]
    task = prompts[:1] + prompts[1:][-4:]
    parts = [
        kept.facts,
        "[The conversation up to here was replaced by this summary.]",
        "# Task (the user's words)\n" + "\n---\n".join(task),
        "# Plan\n" + (worded(kept.plan) or "none"),
        "# Files changed so far\n" + ("\n".join(kept.changed) or "none"),
        f"# Last test run\n{tests}",
        "# Notes\n" + (notes.strip()[:_NOTES] or "none"),
        "Go on from here.",
    ]
    return "\n\n".join(part for part in parts if part)


def last_exchange(messages: Sequence[Message], meter: Meter) -> list[Message]:
    """The last answer that called tools, with their results, if they take little room."""
    start = max((i for i, message in enumerate(messages) if message.role == "assistant"), default=len(messages))
    tail = list(messages[start:])
    complete = {call.id for message in tail for call in message.tool_calls} == {
        message.tool_call_id for message in tail if message.role == "tool"
    }
    if len(tail) < 2 or not complete or not tail[0].tool_calls:
        return []
    return tail if sum(meter.of(message) for message in tail) <= _TAIL * meter.context else []
