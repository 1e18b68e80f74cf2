"""Takes requests from any thread and answers them all with one model. Knows neither HTTP nor agents.

Checks and renders on the caller's thread; computes, and reports through `on_event`, on the engine's own.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import psutil

from inhouse.engine.cache import CacheStats, PrefixCache
from inhouse.engine.completion import TokenLogprob
from inhouse.engine.constraints import Constraint
from inhouse.engine.disk import DiskTier
from inhouse.engine.embedding import Embedding
from inhouse.engine.events import OnEvent, Priority
from inhouse.engine.generation import Generation, Request
from inhouse.engine.guide import Grammars, Guide
from inhouse.engine.loop import Loop
from inhouse.engine.marks import places
from inhouse.engine.params import SamplingParams
from inhouse.engine.prompt import ChatPrompts
from inhouse.engine.runner import ModelRunner
from inhouse.engine.scheduler import Limits
from inhouse.engine.scoring import Scores, Scoring, scored
from inhouse.engine.sequence import Sequence as TokenSequence
from inhouse.engine.text import ChatText, PlainText
from inhouse.errors import ContextLengthError, InhouseError, ParameterError, QueueFullError
from inhouse.models import CausalLM
from inhouse.tokenizer import OutputParser, Tokenizer, detect_dialect

Messages: TypeAlias = Sequence[Mapping[str, Any]]
Tools: TypeAlias = Sequence[Mapping[str, Any]] | None

DEFAULT_CONTEXT = 32_768  # tokens: long enough for work on a repository, short enough for a laptop
SMALLEST_CONTEXT = 2048  # tokens: the default is never less, however little memory is free
CACHE_BYTES = 4 << 30  # at most; a quarter of the free memory where that is less
DISK_BYTES = 20 << 30  # of the cache's second tier
_BRIDGE = "\n\nI have thought long enough and answer now.\n</think>\n\n"
QUEUE = 256  # requests that may be unfinished at once


@dataclass(frozen=True)
class Options:
    """How an engine is run. None: a default that suits the machine.

    `cache_bytes`: of memory for past conversations. `cache_dir`: a directory for those that outlive the process, of at
    most `cache_disk` bytes; None: none. `queue`: requests taken at once, active and waiting.
    """

    context: int | None = None
    cache_bytes: int | None = None
    cache_dir: Path | None = None
    cache_disk: int = DISK_BYTES
    active: int = Limits.active
    background_share: float = Limits.background_share
    queue: int = QUEUE
    chunk: int | None = None

    def __post_init__(self) -> None:
        if self.active < 1 or self.queue < 1:
            raise ParameterError(f"active = {self.active}, queue = {self.queue}: give at least 1")
        if not 0 <= self.background_share < 1:
            raise ParameterError(f"background_share = {self.background_share}: give a number from 0 to below 1")


@dataclass(frozen=True)
class Stats:
    """An engine's figures: now (requests), lately (tokens per second) and since its start (tokens)."""

    active_interactive: int = 0
    waiting_interactive: int = 0
    active_background: int = 0
    waiting_background: int = 0
    prefill_tokens: int = 0
    decode_tokens: int = 0
    prefill_rate: float = 0.0
    decode_rate: float = 0.0
    cache: CacheStats = field(default_factory=CacheStats)


class Ticket:
    """A request that the engine has taken."""

    def __init__(self, loop: Loop, generation: Generation) -> None:
        self._loop = loop
        self._generation = generation

    def cancel(self) -> None:
        """Ends it, if it has not ended; the last chunk then has the finish reason "cancelled"."""
        self._loop.order(partial(self._loop.scheduler.cancel, self._generation))

    def more(self) -> None:
        """Lets a request that was submitted with a credit draw one more chunk."""
        self._loop.order(self._credit)

    def _credit(self) -> None:
        assert self._generation.credit is not None
        self._generation.credit += 1


class Engine:
    """One model behind a thread of its own. Without a tokenizer it takes and gives token ids only.

    `identity` names the model's weights on disk: a cache there is used by the same model only.
    """

    def __init__(
        self,
        model: CausalLM,
        tokenizer: Tokenizer | None = None,
        options: Options | None = None,
        identity: str | None = None,
    ) -> None:
        """Raises ParameterError."""
        options = options or Options()
        free = psutil.virtual_memory().available
        self.config = model.config
        self.context = _context(model, options.context, free)
        self.options = options
        self._tokenizer = tokenizer
        self._chat: ChatPrompts | None = None
        self._grammars: Grammars | None = None
        own = tokenizer.eos_ids if tokenizer is not None else ()
        self._eos = frozenset((*own, *model.config.eos_token_ids))
        self._unfinished = 0
        self._typical = 1.0  # seconds from submission to end, lately
        self._lock = threading.Lock()
        budget = min(CACHE_BYTES, free // 4) if options.cache_bytes is None else options.cache_bytes
        cache = PrefixCache(model.new_layers, budget)
        self._recurrent = cache.recurrent
        if options.cache_dir is not None and identity is not None:
            cache.attach(DiskTier(options.cache_dir, identity, options.cache_disk))
        tokens = max(self.context, int(free / 2 / max(_token_bytes(model), 1)))
        limits = Limits(options.active, tokens, options.background_share, options.chunk)
        self._loop: Loop | None = Loop(ModelRunner(model), cache, limits)
        self._end = weakref.finalize(self, Loop.abandon, self._loop)

    @property
    def slots(self) -> int:
        """How many requests are answered at a time."""
        return self.options.active

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises InhouseError for a model that came without one."""
        if self._tokenizer is None:
            raise InhouseError("this model has no tokenizer: put its tokenizer.json beside it, or give token ids")
        return self._tokenizer

    def submit_text(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        priority: Priority = "interactive",
        constraint: Constraint | None = None,
        on_event: OnEvent,
        credit: int | None = None,
    ) -> Ticket:
        """Has a text continued; in it, control tokens such as <|fim_prefix|> count as such.

        Events come on the engine's thread; the last is a chunk with a finish reason, or a failure. With `credit`, only
        so many chunks are drawn until `Ticket.more` asks for them.
        Raises ContextLengthError, ParameterError, QueueFullError.
        """
        return self.submit(self.text_request(prompt, params, priority, constraint), on_event, credit)

    def submit_chat(
        self,
        messages: Messages,
        params: SamplingParams,
        tools: Tools = None,
        *,
        prefill: str = "",
        template_flags: Mapping[str, Any] | None = None,
        priority: Priority = "interactive",
        constraint: Constraint | None = None,
        on_event: OnEvent,
        credit: int | None = None,
    ) -> Ticket:
        """Has a conversation answered; see `submit_text`. Raises TemplateError as well."""
        request = self.chat_request(messages, params, tools, prefill, template_flags or {}, priority, constraint)
        return self.submit(request, on_event, credit)

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Next-token logits (T, V), float32, after each of `ids` (T,). Raises ContextLengthError, ParameterError."""
        ids = self._checked([int(id) for id in ids], answer=0)
        loop = self._open()
        return loop.call(lambda: loop.runner.logits(ids))

    def score_chat(
        self,
        messages: Messages,
        answer: str,
        top: int,
        *,
        prefill: str = "",
        template_flags: Mapping[str, Any] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Scores | None:
        """How likely the model finds `answer`, after `prefill`, token by token, and `top` alternatives to each.

        None when `cancelled()` was true before it was done; others are served meanwhile.
        Raises ContextLengthError, ParameterError, TemplateError.
        """
        prompts, flags = self._prompts(), template_flags or {}
        prompt = prompts.render(messages, None, prefill, flags).ids
        ids = prompts.render(messages, None, prefill + answer, flags).ids
        begin = next((at for at, pair in enumerate(zip(prompt, ids, strict=False)) if pair[0] != pair[1]), len(prompt))
        scoring = self._scored(ids, begin, top, cancelled)
        if scoring is None:
            return None
        return Scores(scored(scoring.found, self.tokenizer.token_bytes, answer), scoring.usage)

    def prompt_logprobs(
        self, ids: Sequence[int], top: int, cancelled: Callable[[], bool] = lambda: False
    ) -> list[TokenLogprob]:
        """How likely each of `ids` but the first is after those before it; empty when `cancelled()` was true.

        Raises ContextLengthError, ParameterError.
        """
        scoring = self._scored([int(id) for id in ids], 1, top, cancelled)
        return scoring.found if scoring is not None else []

    def embed(
        self, ids: Sequence[int], cancelled: Callable[[], bool] = lambda: False
    ) -> npt.NDArray[np.float32] | None:
        """A text as a vector (H,) of length 1; None when `cancelled()` was true before it was done.

        Raises ContextLengthError, and ParameterError for a model that is not made for that.
        """
        if self.config.pooling not in ("last", "mean"):
            raise ParameterError("this model is not made to embed texts: serve one that is, such as Qwen3-Embedding")
        loop = self._open()
        embedding = Embedding(loop.runner, self._checked([int(id) for id in ids], answer=0), self.config.pooling)
        while not loop.call(embedding.step):
            if cancelled():
                return None
        return embedding.vector

    def choice_logprobs(
        self, ids: Sequence[int], choices: Sequence[int], cancelled: Callable[[], bool] = lambda: False
    ) -> list[float]:
        """How likely each of the tokens `choices` is after `ids`; empty when `cancelled()` was true.

        Raises ContextLengthError, ParameterError.
        """
        found = []
        for choice in choices:  # from the second on only a token is computed
            scoring = self._scored([*(int(id) for id in ids), choice], len(ids), 0, cancelled)
            if scoring is None:
                return []
            found.append(scoring.found[-1].logprob)
        return found

    def _scored(self, ids: list[int], begin: int, top: int, cancelled: Callable[[], bool]) -> Scoring | None:
        loop = self._open()
        scoring = Scoring(loop.runner, loop.scheduler.cache, self._checked(ids, answer=0), begin, top)
        try:
            while not loop.call(scoring.step):
                if cancelled():
                    return None
        finally:
            loop.call(scoring.end)
        return scoring

    def stats(self) -> Stats:
        """The figures as they are between two quanta."""
        loop = self._open()
        return loop.call(lambda: _stats(loop))

    def drain(self, seconds: float) -> bool:
        """Takes no more requests and waits for those there are; what is unfinished after that time is cancelled.

        True if all were finished. The cache is on disk when this returns.
        """
        loop, self._loop = self._loop, None
        if loop is None:
            return True
        self._end.detach()
        loop.stop()
        done = loop.wait(seconds)
        if not done:
            loop.abandon()
        return done

    def close(self) -> None:
        """Frees model and memory, as soon as requests that have begun are done. May be called twice.

        Any other use raises InhouseError from then on.
        """
        loop, self._loop = self._loop, None
        if loop is not None:
            self._end.detach()
            idle = loop.call(loop.idle)
            loop.stop()
            if idle:
                loop.wait()

    def text_request(
        self, prompt: str | Sequence[int], params: SamplingParams, priority: Priority, constraint: Constraint | None
    ) -> Callable[[OnEvent], Request]:
        """A checked request that lacks only its owner."""
        stops = params.stop_strings
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else [int(id) for id in prompt]
        text = PlainText(self.tokenizer if stops else self._tokenizer, stops)
        return self._request(ids, params, text, priority, 0, self._guide(constraint))

    def chat_request(
        self,
        messages: Messages,
        params: SamplingParams,
        tools: Tools,
        prefill: str,
        flags: Mapping[str, Any],
        priority: Priority,
        constraint: Constraint | None,
    ) -> Callable[[OnEvent], Request]:
        """A checked request that lacks only its owner."""
        prompts = self._prompts()
        if constraint is not None and constraint.tool_choice == "none":
            tools = None  # what must not be called is not shown
        prompt = prompts.render(messages, tools, prefill, flags)
        dialect = detect_dialect(prompts.source)
        guide = self._guide(constraint, dialect=dialect, tools=tools, thinking=prompt.thinking, prefill=prefill)
        parser = partial(OutputParser, dialect, tools=tools, thinking=prompt.thinking, streams=guide is not None)
        text = ChatText(PlainText(self.tokenizer, params.stop_strings), parser, prefill)
        bridge = self.tokenizer.encode(_BRIDGE) if params.reasoning_budget is not None else ()
        return self._request(prompt.ids, params, text, priority, prompt.tail, guide, bridge)

    def _prompts(self) -> ChatPrompts:
        if self._chat is None:
            self._chat = ChatPrompts(self.tokenizer)
        return self._chat

    def _guide(self, constraint: Constraint | None, **more: Any) -> Guide | None:
        """What keeps an answer to `constraint` and to the tools. Raises ParameterError."""
        if not (more.get("tools") or (constraint or Constraint()) != Constraint()):
            return None
        with self._lock:
            if self._grammars is None:
                self._grammars = Grammars(self.tokenizer, self._eos, self.config.vocab_size)
        return self._grammars.guide(constraint, **more)

    def submit(self, request: Callable[[OnEvent], Request], on_event: OnEvent, credit: int | None = None) -> Ticket:
        """Hands over a request made by the methods above. Raises QueueFullError."""
        loop = self._open()
        with self._lock:
            if self._unfinished >= self.options.queue:
                wait = self._typical * self._unfinished / self.options.active
                message = f"{self._unfinished} requests are waiting or being answered already: try again later"
                raise QueueFullError(message, min(max(wait, 1.0), 120.0))
            self._unfinished += 1
        generation = Generation(request(on_event), credit, partial(self._ended, time.monotonic()))
        loop.order(partial(loop.scheduler.add, generation))
        return Ticket(loop, generation)

    def _ended(self, submitted: float) -> None:
        with self._lock:
            self._unfinished -= 1
            self._typical += 0.2 * (time.monotonic() - submitted - self._typical)

    def _request(
        self,
        prompt: list[int],
        params: SamplingParams,
        text: PlainText | ChatText,
        priority: Priority,
        tail: int,
        guide: Guide | None,
        bridge: Sequence[int] = (),
    ) -> Callable[[OnEvent], Request]:
        self._open()
        self._checked(prompt, params.max_tokens or 1)
        if wrong := [token for token, _ in params.logit_bias if token >= self.config.vocab_size]:
            raise ParameterError(f"logit_bias: token {wrong[0]}: give ids from 0 to {self.config.vocab_size - 1}")
        limit = params.max_tokens or self.context - len(prompt)
        marks = places(prompt, self._eos, tail) if self._recurrent else {}
        return partial(
            Request, prompt, params, text, self._eos, limit, priority=priority, marks=marks, guide=guide, bridge=bridge
        )

    def _open(self) -> Loop:
        if self._loop is None:
            raise InhouseError("this engine is closed: open the model again")
        return self._loop

    def _checked(self, ids: list[int], answer: int) -> list[int]:
        """`ids` if they are tokens of the model and leave room for `answer` more."""
        if not ids:
            raise ParameterError("the prompt is empty: give at least one token")
        wrong = next((id for id in ids if not 0 <= id < self.config.vocab_size), None)
        if wrong is not None:
            raise ParameterError(f"token id {wrong}: give ids from 0 to {self.config.vocab_size - 1}")
        if len(ids) + answer > self.context:
            raise ContextLengthError(
                f"a prompt of {len(ids)} tokens and an answer of {answer} do not fit the context of {self.context}: "
                f"shorten the prompt, lower max_tokens, or open the model with a larger context (it allows "
                f"{self.config.max_position_embeddings})",
                prompt=len(ids),
                context=self.context,
            )
        return ids


def _stats(loop: Loop) -> Stats:
    scheduler = loop.scheduler
    interactive, background = scheduler.counts("interactive"), scheduler.counts("background")
    return Stats(
        *(*interactive, *background),
        prefill_tokens=scheduler.prefilled,
        decode_tokens=scheduler.decoded,
        prefill_rate=scheduler.prefill_rate,
        decode_rate=scheduler.decode_rate,
        cache=scheduler.cache.stats,
    )


def _token_bytes(model: CausalLM) -> float:
    """Bytes that one token of a sequence takes; 0 for a model without attention."""
    empty, small = TokenSequence(model.new_layers, 0), TokenSequence(model.new_layers, 4096)
    return (small.nbytes - empty.nbytes) / (small.capacity - empty.capacity)


def _context(model: CausalLM, asked: int | None, free: int) -> int:
    """How many tokens a sequence may have: as asked, or the default where model and `free` bytes of memory allow it."""
    most = model.config.max_position_embeddings
    if asked is not None:
        if not 1 <= asked <= most:
            raise ParameterError(f"context = {asked}: this model allows 1 to {most} tokens")
        return asked
    per_token = _token_bytes(model)
    fitting = int(free / 2 / per_token) if per_token else most
    return min(most, DEFAULT_CONTEXT, max(SMALLEST_CONTEXT, fitting))
