"""One request on its way: what it has computed, what is to be computed next, and what it tells its owner.

Knows neither threads nor other requests: the scheduler decides when it goes on, and runs the model for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from inhouse.engine.cache import PrefixCache, Restore
from inhouse.engine.completion import Chunk, FinishReason, TokenLogprob, Usage
from inhouse.engine.events import Event, Failure, OnEvent, Priority, Progress, Queued
from inhouse.engine.guide import Guide
from inhouse.engine.loops import EVERY, goes_round
from inhouse.engine.params import SamplingParams
from inhouse.engine.runner import F32
from inhouse.engine.sampler import Sampler, token_logprob
from inhouse.engine.sequence import Sequence as TokenSequence
from inhouse.engine.text import ChatText, PlainText

_LOG = logging.getLogger("inhouse.engine")

FEW = 3  # tokens that kernels multiply in registers, each as if it were alone; more go by tiles, and round otherwise
ANSWER_ROOM = 256  # tokens of an answer for which a sequence has room from the start


@dataclass(frozen=True)
class Request:
    """What is to be generated from which prompt; `limit` is the most tokens that fit or were asked for.

    `guide` keeps the answer to its constraint.
    `marks`: where in the prompt a later one is likely to go on another way, and whether that is worth a file.
    """

    prompt: list[int]
    params: SamplingParams
    text: PlainText | ChatText
    eos: frozenset[int]
    limit: int
    on_event: OnEvent
    priority: Priority = "interactive"
    marks: Mapping[int, bool] = field(default_factory=dict)
    guide: Guide | None = None
    bridge: Sequence[int] = ()  # tokens that bring reasoning to an end


class Generation:
    """`credit`: how many chunks may still be drawn for its owner (None: all); without any it rests, also in debt: the
    tokens that end its reasoning come all at once. `ended` is called just before its owner is told the end."""

    def __init__(self, request: Request, credit: int | None = None, ended: Callable[[], None] = lambda: None) -> None:
        self.request = request
        self._ended = ended
        self.credit = credit
        self.ids = list(request.prompt)  # all tokens that are known, computed or not
        self.sequence: TokenSequence | None = None
        self.cached = 0
        self.produced = 0
        self.turn = 0  # when it was last answered
        self.busy = False  # in a pass that has not ended
        self.cancelled = False
        self.finished = False
        self._restore: Restore | None = None
        self._sampler: Sampler | None = None
        self._called = False
        self._thought = 0  # tokens of reasoning
        self._ahead: int | None = None  # others in the queue, when last told

    @property
    def ready(self) -> bool:
        """Whether there is something to compute now."""
        return not (self.busy or self.cancelled or self.finished or self.resting)

    @property
    def resting(self) -> bool:
        """Whether its owner has to ask for more first."""
        return self.credit is not None and self.credit <= 0

    @property
    def computed(self) -> int:
        return 0 if self.sequence is None else len(self.sequence.ids)

    @property
    def decoding(self) -> bool:
        """Whether only what was drawn last is missing."""
        return self.sequence is not None and self.produced > 0 and len(self.ids) - self.computed <= 1

    @property
    def reading(self) -> bool:
        """Whether a part of the prompt is still to be computed."""
        return not self.finished and self.computed < len(self.request.prompt)

    def queued(self, ahead: int) -> None:
        """Tells the owner how many wait before it, where that is news."""
        if ahead != self._ahead:
            self._ahead = ahead
            self.tell(Queued(ahead))

    def restore(self, cache: PrefixCache, seconds: float) -> bool:
        """Takes what the cache knows, for about that long; whether all of it is there."""
        if self.sequence is not None:
            return True
        if self._restore is None:
            room = min(self.request.limit, ANSWER_ROOM)
            self._restore = cache.begin(self.ids, room)
        if not self._restore.step(seconds):
            return False
        self.sequence, self._restore = self._restore.sequence, None
        if self.produced == 0:
            self.cached = self.computed
            self.tell(Progress(self.cached, len(self.request.prompt)))
        return True

    def next_ids(self, most: int) -> list[int]:
        """At most so many tokens to compute next, not beyond a mark."""
        begin = self.computed
        stop = min((mark for mark in self.request.marks if mark > begin), default=len(self.ids))
        end = min(begin + most, stop)
        if most > 2 * FEW and 0 < stop - end <= FEW:
            end -= FEW  # a rest so small would be computed otherwise than as a part of more
        return self.ids[begin:end]

    def advanced(self, logits: F32 | None) -> None:
        """Its pass has ended, with `logits` (V,) if nothing is left to compute. Draws a token if so."""
        prompt = len(self.request.prompt)
        if self.produced == 0:
            self.tell(Progress(min(self.computed, prompt), prompt))
        if logits is None or self.cancelled:
            return
        try:
            self._draw(logits)
        except Exception as error:
            self.fail(error)

    def _draw(self, logits: F32) -> None:
        request = self.request
        params = request.params
        if self._sampler is None:
            self._sampler = Sampler(params, request.prompt, logits.size)
        token = self._sampler.draw(logits, request.guide)
        if token in request.eos and not params.ignore_eos:
            self.finish("stop")
            return
        scores = () if params.logprobs is None else (token_logprob(logits, token, params.logprobs),)
        self._said(token, scores)
        self._thought += request.text.reasoning
        if self._thought == params.reasoning_budget and request.text.reasoning and not self.finished:
            for token in request.bridge:
                self._said(token, ())
        guarded = not params.ignore_eos and self.produced % EVERY == 0
        if guarded and goes_round(self.ids[len(request.prompt) :]):
            self.finish("repetition")

    def _said(self, token: int, scores: tuple[TokenLogprob, ...]) -> None:
        """One more token of the answer."""
        request = self.request
        if self.finished:
            return
        piece = request.text.push(token)
        if request.guide is not None:
            request.guide.push(token)
        self.produced += 1
        self.ids.append(token)
        self._called = self._called or bool(piece.tool_calls)
        if self.credit is not None:
            self.credit -= 1
        self.tell(Chunk(piece.text, piece.reasoning, piece.tool_calls, (token,), scores, call_deltas=piece.call_deltas))
        if request.text.stopped is not None:
            self.finish("stop")
        elif self.produced == request.limit:
            self.finish("length")

    def finish(self, reason: FinishReason) -> None:
        """Tells the owner the end, once."""
        if self.finished:
            return
        self.finished, self._restore = True, None
        self._ended()
        piece = self.request.text.finish(cut=reason == "length")
        if reason == "stop" and (self._called or piece.tool_calls):
            reason = "tool_calls"
        usage = Usage(len(self.request.prompt), self.cached, self.produced)
        self.tell(
            Chunk(
                piece.text,
                piece.reasoning,
                piece.tool_calls,
                finish_reason=reason,
                usage=usage,
                stop=self.request.text.stopped,
                call_deltas=piece.call_deltas,
            )
        )

    def fail(self, error: Exception) -> None:
        """Tells the owner that nothing comes any more, once."""
        if not self.finished:
            self.finished, self._restore = True, None
            self._ended()
            self.tell(Failure(error))

    def tell(self, event: Event) -> None:
        """An owner that cannot listen is an owner that has gone."""
        try:
            self.request.on_event(event)
        except Exception:
            _LOG.exception("an event could not be delivered")
            self.cancelled = True
