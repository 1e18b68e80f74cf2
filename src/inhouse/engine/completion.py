"""What a generation yields: chunks as it runs, a completion when it is done. Knows neither models nor clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "tool_calls", "cancelled", "repetition"]


@dataclass(frozen=True)
class ToolCall:
    """A function that the model wants called; `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class CallDelta:
    """A piece of a call that is being written; the first of an `id` begins it, the last has `done`."""

    id: str
    name: str
    arguments: str
    done: bool = False


@dataclass(frozen=True)
class Usage:
    """Tokens of one request; `cached_tokens` of the prompt were not computed again."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True)
class TokenLogprob:
    """A token's natural log-probability under the model (before penalties and temperature), and its rivals'."""

    id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()  # likeliest first, the token itself included where it belongs


@dataclass(frozen=True)
class Chunk:
    """A piece of an answer: usually one token, whose text may be empty while it could still be part of something.

    A call is in `tool_calls` once it is whole. The last chunk has a `finish_reason`, the `usage`, and the stop string
    that ended it if one did.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob, ...] = ()
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    stop: str | None = None
    call_deltas: tuple[CallDelta, ...] = ()  # the same calls as they are written, where that is known

    @property
    def deltas(self) -> tuple[CallDelta, ...]:
        """What is new of calls, in order; of calls that came whole all at once."""
        return self.call_deltas or tuple(
            CallDelta(each.id, each.name, each.arguments, True) for each in self.tool_calls
        )


@dataclass(frozen=True)
class Completion:
    """A whole answer. `token_ids` are all tokens drawn but the one that ended the text."""

    text: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    usage: Usage
    logprobs: tuple[TokenLogprob, ...] = ()
    stop: str | None = None  # the stop string that ended it


def collect(chunks: Iterable[Chunk]) -> Completion:
    """All chunks of one generation as one completion."""
    pieces = list(chunks)
    last = pieces[-1]
    assert last.finish_reason is not None
    assert last.usage is not None
    return Completion(
        text="".join(chunk.text for chunk in pieces),
        reasoning="".join(chunk.reasoning for chunk in pieces),
        tool_calls=tuple(call for chunk in pieces for call in chunk.tool_calls),
        token_ids=tuple(id for chunk in pieces for id in chunk.token_ids),
        finish_reason=last.finish_reason,
        usage=last.usage,
        logprobs=tuple(entry for chunk in pieces for entry in chunk.logprobs),
        stop=last.stop,
    )
