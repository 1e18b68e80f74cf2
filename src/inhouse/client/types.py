"""The conversation, as every client carries it. Knows neither transports nor models.

The shapes follow OpenAI's chat completions; `reasoning` is what a thinking model says before its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant", "tool"]
FinishReason = Literal["stop", "length", "tool_calls", "cancelled", "repetition"]


@dataclass(frozen=True)
class ToolCall:
    """A model's wish to call `name`; `arguments` is a JSON object as text, as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    role: Role
    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None  # of a tool message: which call it answers
    name: str | None = None


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; `parameters` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Sampling:
    """How to draw tokens. temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int = 0
    cached_tokens: int = 0  # of the prompt, not computed again
    completion_tokens: int = 0


@dataclass(frozen=True)
class ChatRequest:
    messages: Sequence[Message]
    tools: Sequence[Tool] = ()
    sampling: Sampling = field(default_factory=Sampling)
    prefill: str = ""  # the beginning of the assistant's answer, given; the answer continues it
    thinking_budget: int | None = None  # tokens of reasoning at most, for models and servers that can keep to it
    grammar: str | None = None  # what the answer, prefill included, must be (Lark), where that can be enforced
    cancelled: Callable[[], bool] | None = field(default=None, compare=False)  # true: end the answer as "cancelled"
    progress: Callable[[int, int], None] | None = field(default=None, compare=False)  # (done, total) of the prompt


@dataclass(frozen=True)
class Delta:
    """A piece of an answer as it streams. The last one has a `finish` reason and the usage."""

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()  # whole calls, each sent once
    finish: FinishReason | None = None
    usage: Usage | None = None


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    message: Message
    finish: FinishReason
    usage: Usage


@dataclass(frozen=True)
class ScoredToken:
    """A token of a given answer: where it begins there (characters; below 0: before it), and its log-probability.

    `top` are what could stand in its place, the likeliest first, with their log-probabilities (natural).
    """

    at: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Scores:
    """The tokens of a given answer; none where they cannot be told."""

    tokens: tuple[ScoredToken, ...]
    usage: Usage


class Scorer(Protocol):
    """What tells how likely a model finds a given answer."""

    def score(self, request: ChatRequest, answer: str, top: int) -> Scores | None:
        """The tokens of `answer`, which follows the prefill, with `top` alternatives to each; None if cancelled."""


class ChatClient(Protocol):
    """Anything that answers a conversation. Closing the iterator cancels the answer."""

    def stream(self, request: ChatRequest) -> Iterator[Delta]: ...

    def count_tokens(self, text: str) -> int:
        """How many tokens `text` is, or a close estimate."""

    @property
    def scorer(self) -> Scorer | None:
        """What scores given answers; None where that cannot be asked for."""


def complete(client: ChatClient, request: ChatRequest) -> Answer:
    """The whole answer to a request (which includes `request.prefill` in its content)."""
    content, reasoning = [request.prefill], []
    calls: list[ToolCall] = []
    finish: FinishReason = "stop"
    usage = Usage()
    for delta in client.stream(request):
        content.append(delta.content)
        reasoning.append(delta.reasoning)
        calls.extend(delta.tool_calls)
        finish = delta.finish or finish
        usage = delta.usage or usage
    message = Message("assistant", "".join(content), "".join(reasoning), tuple(calls))
    return Answer(message, finish, usage)
