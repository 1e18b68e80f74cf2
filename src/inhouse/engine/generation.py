"""One generation: prefill, then draw, show and step until something ends it. Knows not whose sequence it runs on."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

from inhouse.engine.completion import Chunk, FinishReason, Usage
from inhouse.engine.params import SamplingParams
from inhouse.engine.runner import Cancelled, ModelRunner, Progress
from inhouse.engine.sampler import Sampler, token_logprob
from inhouse.engine.sequence import Sequence
from inhouse.engine.text import ChatText, PlainText


@dataclass(frozen=True)
class Request:
    """What is to be generated from which prompt; `limit` is the most tokens that fit or were asked for."""

    prompt: list[int]
    params: SamplingParams
    text: PlainText | ChatText
    eos: frozenset[int]
    limit: int
    progress: Progress | None = None
    cancelled: Cancelled | None = None


def generate(
    runner: ModelRunner, sequence: Sequence, request: Request, keep: Callable[[Sequence], None]
) -> Generator[Chunk]:
    """A chunk per token, and a last one that says why it ended. `sequence` may have computed a part of the prompt.

    `keep` is called where a later prompt is likely to go on another way.
    """
    params, text, cancelled = request.params, request.text, request.cancelled
    cached, produced, called = len(sequence.ids), 0, False
    logits = runner.prefill(
        sequence,
        request.prompt,
        marks=_marks(request) if sequence.recurrent else (),
        keep=keep,
        progress=request.progress,
        cancelled=cancelled,
    )
    reason: FinishReason = "cancelled"
    if logits is not None:
        sampler = Sampler(params, request.prompt, logits.size)
        while True:
            token = sampler.draw(logits)
            if token in request.eos and not params.ignore_eos:
                reason = "stop"
                break
            scores = () if params.logprobs is None else (token_logprob(logits, token, params.logprobs),)
            piece = text.push(token)
            produced += 1
            called = called or bool(piece.tool_calls)
            yield Chunk(piece.text, piece.reasoning, piece.tool_calls, (token,), scores)
            if text.stopped:
                reason = "stop"
                break
            if produced == request.limit:
                reason = "length"
                break
            if cancelled is not None and cancelled():
                break
            logits = runner.step(sequence, token)
    piece = text.finish()
    if reason == "stop" and (called or piece.tool_calls):
        reason = "tool_calls"
    usage = Usage(len(request.prompt), cached, produced)
    yield Chunk(piece.text, piece.reasoning, piece.tool_calls, finish_reason=reason, usage=usage)


def _marks(request: Request) -> set[int]:
    """Positions in the prompt from which a later one is likely to go on another way.

    The ends of the first message (a system prompt, shared by conversations) and of the last one (the next turn has
    it too, but may render what follows otherwise), and the prompt less one token, for another answer to the same.
    """
    ends = [i + 1 for i, token in enumerate(request.prompt) if token in request.eos]
    return {*ends[:1], *ends[-1:], len(request.prompt) - 1}
