"""Questions to a model within one budget of time, answers and tokens. Knows neither suspects nor tests."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from inhouse.client.types import ChatClient, ChatRequest, FinishReason, Sampling, Scores, Usage
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


@dataclass
class _Speed:
    """Tokens a second, as measured so far; 0 where nothing was."""

    tokens: int = 0
    seconds: float = 0.0

    def add(self, tokens: int, seconds: float) -> None:
        if tokens > 0 and seconds > 0:
            self.tokens, self.seconds = self.tokens + tokens, self.seconds + seconds

    def takes(self, tokens: int) -> float:
        """Seconds for so many tokens."""
        return tokens * self.seconds / self.tokens if self.tokens else 0.0


@dataclass
class _Pace:
    """How fast a model reads and writes, and the prompts that it has read, which it may remember."""

    reading: _Speed = field(default_factory=_Speed)
    writing: _Speed = field(default_factory=_Speed)
    read: deque[str] = field(default_factory=lambda: deque(maxlen=32))

    def unread(self, text: str) -> str:
        """What of a prompt follows the longest beginning that it shares with one before."""
        shared = max((_shared(text, other) for other in self.read), default=0)
        return text[shared:]


class Interview:
    """Asks, and counts what that takes."""

    def __init__(self, client: ChatClient, budget: Budget, parallel: int = 1) -> None:
        """`parallel`: answers that are asked for at a time, where several are wanted of one prompt."""
        self.budget = budget
        self.attempts = 0
        self._client, self._parallel, self._pace = client, parallel, _Pace()
        self._lock = threading.Lock()
        self._stopped = False
        self.hurried = False  # something was not asked for want of time
        self._had: dict[tuple[Prompt, float], Reply] = {}  # greedy answers
        self._tokens = 0  # computed: answers, and what of the prompts was not in the cache

    def spent(self) -> str:
        """What has run out, in words; empty while there is enough of everything."""
        budget = self.budget
        if time.monotonic() >= budget.deadline:
            return "time is up"
        if budget.tokens is not None and self._tokens >= budget.tokens:
            return "every token is used up"
        return "every attempt is used up" if self.attempts >= budget.attempts else ""

    def over(self) -> bool:
        """Whether time is up, or we are: a prompt that is still being read is given up then."""
        return self._stopped or time.monotonic() >= self.budget.deadline

    def begin(self) -> int:
        """Another question is about to be asked: its number, from 1."""
        self.attempts += 1
        return self.attempts

    def seed(self, number: int = 0) -> int:
        """What the `number`-th answer to the question of now is sampled with."""
        return self.budget.seed * 1009 + self.attempts + 7919 * number

    def affords(self, prompt: Prompt, tokens: int) -> bool:
        """Whether a prompt can be read, and an answer of so many tokens written, in the time that is left."""
        unread = self.count_tokens(self._pace.unread(_text(prompt)))
        seconds = self._pace.reading.takes(unread) + self._pace.writing.takes(tokens)
        enough = time.monotonic() + seconds < self.budget.deadline
        self.hurried = self.hurried or not enough
        return enough

    def count_tokens(self, text: str) -> int:
        return self._client.count_tokens(text)

    @property
    def scores(self) -> bool:
        """Whether the model can tell how likely it finds a given answer."""
        return self._client.scorer is not None

    def score(self, prompt: Prompt, answer: str, top: int) -> Scores | None:
        """How likely the model finds an answer, with `top` alternatives to each token; None when time is up."""
        if (scorer := self._client.scorer) is None:
            return None
        started = time.monotonic()
        request = ChatRequest(prompt.messages, prefill=prompt.prefill, cancelled=self.over)
        scores = scorer.score(request, answer, top)
        if scores is not None:
            self._note(prompt, scores.usage, started, time.monotonic())
        return scores

    def ask_all(self, questions: Iterable[tuple[Prompt, Sampling]]) -> Iterator[Reply]:
        """The answers in order. The first is had alone: what the prompts share is read once."""
        asked = list(questions)
        if asked:
            yield self.ask(*asked[0])
        others = asked[1:]
        if self._parallel == 1:
            yield from (self.ask(*one) for one in others if not self.over())
            return
        with ThreadPoolExecutor(self._parallel) as pool:
            try:
                yield from list(pool.map(lambda one: self.ask(*one), others))
            except (KeyboardInterrupt, SystemExit):
                self._stopped = True  # nobody waits for the others any more
                raise

    def ask(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """The answer to a prompt; it ends early when time is up or its code block is closed."""
        known = (prompt, sampling.temperature)
        if sampling.temperature == 0 and known in self._had:
            return self._had[known]
        pieces = [prompt.prefill]
        usage: Usage | None = None
        finish: FinishReason | None = None
        request = ChatRequest(
            prompt.messages, sampling=sampling, prefill=prompt.prefill, grammar=prompt.grammar, cancelled=self.over
        )
        stream = self._client.stream(request)
        started = time.monotonic()
        begun: float | None = None
        try:
            for delta in stream:
                begun = begun or time.monotonic()
                pieces.append(delta.content)
                usage, finish = delta.usage or usage, delta.finish or finish
                if self.over():
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
        self._note(prompt, usage, started, begun or time.monotonic())
        reply = Reply(text, finish not in ("stop", "tool_calls"), usage)
        if sampling.temperature == 0 and not reply.cut:
            self._had[known] = Reply(text, False, Usage(usage.prompt_tokens, usage.prompt_tokens, 0))
        return reply

    def _note(self, prompt: Prompt, usage: Usage, started: float, begun: float) -> None:
        read = usage.prompt_tokens - usage.cached_tokens
        with self._lock:
            self._tokens += read + usage.completion_tokens
            self._pace.read.append(_text(prompt))
            self._pace.reading.add(read, begun - started)
            self._pace.writing.add(usage.completion_tokens, time.monotonic() - begun)


def _shared(text: str, other: str) -> int:
    """How many characters two texts begin with in common."""
    shorter = min(len(text), len(other))
    return next((at for at in range(shorter) if text[at] != other[at]), shorter)


def _text(prompt: Prompt) -> str:
    return "\n".join(message.content for message in prompt.messages)
