"""A client of an engine in the same process. Knows the engine only by the protocol below."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Protocol, TypeVar

from inhouse.client.shape import message_json, tool_json
from inhouse.client.types import ChatRequest, Delta, FinishReason, ScoredToken, Scorer, Scores, ToolCall, Usage

Params = TypeVar("Params")


class EngineToolCall(Protocol):
    """One whole call."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> str: ...


class EngineUsage(Protocol):
    """Tokens of one request."""

    @property
    def prompt_tokens(self) -> int: ...
    @property
    def cached_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...


class EngineChunk(Protocol):
    """A piece of an engine's answer; the last one has a finish reason and the usage."""

    @property
    def text(self) -> str: ...
    @property
    def reasoning(self) -> str: ...
    @property
    def tool_calls(self) -> Sequence[EngineToolCall]: ...
    @property
    def finish_reason(self) -> FinishReason | None: ...
    @property
    def usage(self) -> EngineUsage | None: ...


class EngineScoredToken(Protocol):
    """A token of a given answer."""

    @property
    def at(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def logprob(self) -> float: ...
    @property
    def top(self) -> tuple[tuple[str, float], ...]: ...


class EngineScores(Protocol):
    """How likely a given answer is."""

    @property
    def tokens(self) -> Sequence[EngineScoredToken]: ...
    @property
    def usage(self) -> EngineUsage: ...


class Engine(Protocol[Params]):
    """What an engine must offer: OpenAI-shaped messages and tools in, chunks out."""

    @property
    def sampling_params(self) -> Callable[..., Params]:
        """Makes the engine's own sampling parameters from keywords: the fields of `Sampling`, and reasoning_budget."""

    def stream_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: Params,
        tools: Sequence[Mapping[str, Any]] | None = None,
        prefill: str = "",
        *,
        grammar: str | None = None,
        template_flags: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Generator[EngineChunk]:
        """One answer, which with its prefill fits `grammar`; closing the generator ends it."""

    def score_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        answer: str,
        top: int,
        *,
        prefill: str = "",
        template_flags: Mapping[str, Any] | None = None,
        cancelled: Callable[[], bool],
    ) -> EngineScores | None:
        """The tokens of `answer`, which follows `prefill`; None if cancelled."""

    def count_tokens(self, text: str) -> int: ...


class InProcessClient:
    """Answers conversations with an engine of this process (an `inhouse.LLM`).

    `template_flags` are switches of the model's chat template, for all conversations: enable_thinking, or
    preserve_thinking, without which a thinking model reads its earlier turns anew each time.
    """

    def __init__(self, engine: Engine[Any], *, template_flags: Mapping[str, Any] | None = None) -> None:
        self._engine = engine
        self._flags = template_flags

    def stream(self, request: ChatRequest) -> Iterator[Delta]:
        """The engine's answer as it comes; closing the iterator ends it in the engine as well."""
        sampling = request.sampling
        params = self._engine.sampling_params(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            repetition_penalty=sampling.repetition_penalty,
            seed=sampling.seed,
            max_tokens=sampling.max_tokens,
            stop=sampling.stop,
            reasoning_budget=request.thinking_budget,
        )
        messages = [message_json(message) for message in request.messages]
        tools = [tool_json(tool) for tool in request.tools] or None
        answer = self._engine.stream_chat(
            messages,
            params,
            tools,
            request.prefill,
            grammar=request.grammar,
            template_flags=self._flags,
            progress=request.progress,
            cancelled=request.cancelled,
        )
        with closing(answer) as chunks:
            for chunk in chunks:
                if chunk.text or chunk.reasoning or chunk.tool_calls or chunk.finish_reason:
                    yield _delta(chunk)

    @property
    def scorer(self) -> Scorer:
        """Itself."""
        return self

    def score(self, request: ChatRequest, answer: str, top: int) -> Scores | None:
        """How likely `answer` is after the request's prefill; None if cancelled."""
        found = self._engine.score_chat(
            [message_json(message) for message in request.messages],
            answer,
            top,
            prefill=request.prefill,
            template_flags=self._flags,
            cancelled=request.cancelled or (lambda: False),
        )
        if found is None:
            return None
        tokens = tuple(ScoredToken(token.at, token.text, token.logprob, token.top) for token in found.tokens)
        return Scores(tokens, _usage(found.usage))

    def count_tokens(self, text: str) -> int:
        return self._engine.count_tokens(text)


def _delta(chunk: EngineChunk) -> Delta:
    calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in chunk.tool_calls)
    spent = _usage(chunk.usage) if chunk.usage is not None else None
    return Delta(chunk.text, chunk.reasoning, calls, chunk.finish_reason, spent)


def _usage(usage: EngineUsage) -> Usage:
    return Usage(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
