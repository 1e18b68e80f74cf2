"""The public Python API: a model from a file, text from a model. Knows neither HTTP nor agents.

    from inhouse import LLM, SamplingParams

    with LLM("starter") as llm:
        print(llm.generate("def fibonacci(n):", SamplingParams(max_tokens=64)).text)

One engine, used from any thread: the model computes one chunk or one token at a time, for whoever asks next.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from threading import Lock
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import psutil

from inhouse.engine.cache import PrefixCache
from inhouse.engine.completion import Chunk, Completion, collect
from inhouse.engine.generation import Request, generate
from inhouse.engine.params import SamplingParams
from inhouse.engine.prompt import ChatPrompts
from inhouse.engine.runner import Cancelled, ModelRunner, Progress
from inhouse.engine.sequence import Sequence as TokenSequence
from inhouse.engine.text import ChatText, PlainText
from inhouse.errors import ContextLengthError, InhouseError, ParameterError
from inhouse.kernels.backend import Backend
from inhouse.kernels.cpu import CpuBackend
from inhouse.models import CausalLM, build_model
from inhouse.store.store import resolve
from inhouse.tokenizer import OutputParser, Tokenizer, detect_dialect
from inhouse.weights.checkpoint import Checkpoint, open_checkpoint

Messages: TypeAlias = Sequence[Mapping[str, Any]]
Tools: TypeAlias = Sequence[Mapping[str, Any]] | None

DEFAULT_CONTEXT = 32_768  # tokens: long enough for work on a repository, short enough for a laptop
SMALLEST_CONTEXT = 2048  # tokens: the default is never less, however little memory is free
CACHE_BYTES = 4 << 30  # at most; a quarter of the free memory where that is less


@dataclass(frozen=True)
class _Parts:
    """All that holds on to the model; `cache` is used under the lock that the runner takes for each computation."""

    runner: ModelRunner
    cache: PrefixCache


class LLM:
    """A model, its tokenizer, and the memory of its last conversations.

    `threads`: of the CPU backend, default all processors. `context`: the most tokens of prompt and answer together,
    default 32,768 or what the model and the memory allow. `cache_bytes`: for past conversations. Messages and tools
    are dicts in OpenAI's shape; `template_flags` are switches of the model's chat template, such as enable_thinking.

    Raises ModelNotFoundError, ModelFileError, UnsupportedModelError, ParameterError.
    """

    sampling_params = SamplingParams  # for those who are handed an LLM and do not import the engine

    def __init__(
        self,
        model: str | PathLike[str],
        *,
        threads: int | None = None,
        context: int | None = None,
        backend: Backend | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        checkpoint = open_checkpoint(resolve(model))
        built = build_model(checkpoint.config, checkpoint.tensors, backend or CpuBackend(threads=threads))
        self._set_up(built, _tokenizer(checkpoint), context, cache_bytes)
        checkpoint.close()

    @classmethod
    def of(
        cls,
        model: CausalLM,
        tokenizer: Tokenizer | None = None,
        *,
        context: int | None = None,
        cache_bytes: int | None = None,
    ) -> LLM:
        """An engine around a model that is already built; without a tokenizer it takes and gives token ids only."""
        llm = cls.__new__(cls)
        llm._set_up(model, tokenizer, context, cache_bytes)
        return llm

    def _set_up(
        self, model: CausalLM, tokenizer: Tokenizer | None, context: int | None, cache_bytes: int | None
    ) -> None:
        free = psutil.virtual_memory().available
        self.config = model.config
        self.context = _context(model, context, free)
        self._tokenizer = tokenizer
        self._chat: ChatPrompts | None = None
        own = tokenizer.eos_ids if tokenizer is not None else ()
        self._eos = frozenset((*own, *model.config.eos_token_ids))
        self._lock = Lock()
        budget = min(CACHE_BYTES, free // 4) if cache_bytes is None else cache_bytes
        self._parts: _Parts | None = _Parts(ModelRunner(model, self._lock), PrefixCache(model.new_layers, budget))

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises InhouseError for a model that came without one."""
        if self._tokenizer is None:
            raise InhouseError("this model has no tokenizer: put its tokenizer.json beside it, or give token ids")
        return self._tokenizer

    def count_tokens(self, text: str) -> int:
        """How many tokens `text` is."""
        return len(self.tokenizer.encode(text))

    def generate(self, prompt: str | Sequence[int], params: SamplingParams | None = None) -> Completion:
        """The continuation of a prompt; in text, control tokens such as <|fim_prefix|> count as such.

        Raises ContextLengthError, ParameterError.
        """
        return collect(self.stream(prompt, params))

    def chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        tools: Tools = None,
        prefill: str = "",
        *,
        template_flags: Mapping[str, Any] | None = None,
    ) -> Completion:
        """The answer to a conversation, which goes on from `prefill` (not repeated in the completion).

        Raises ContextLengthError, ParameterError, TemplateError.
        """
        return collect(self.stream_chat(messages, params, tools, prefill, template_flags=template_flags))

    def stream(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams | None = None,
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Generator[Chunk]:
        """`generate`, token by token. What is wrong with the arguments is raised here, not at the first chunk.

        Closing the generator ends the generation. `progress(done, total)` is called as the prompt is read; when
        `cancelled()` is true between two chunks or tokens, the answer finishes as "cancelled".
        """
        params = params or SamplingParams()
        stops = params.stop_strings
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else [int(id) for id in prompt]
        text = PlainText(self.tokenizer if stops else self._tokenizer, stops)
        return self._start(ids, params, text, progress, cancelled)

    def stream_chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        tools: Tools = None,
        prefill: str = "",
        *,
        template_flags: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Generator[Chunk]:
        """`chat`, token by token; see `stream`."""
        params = params or SamplingParams()
        if self._chat is None:
            self._chat = ChatPrompts(self.tokenizer)
        prompt = self._chat.render(messages, tools, prefill, template_flags or {})
        parser = partial(OutputParser, detect_dialect(self._chat.source), tools=tools, thinking=prompt.thinking)
        earlier = sum(len(message.get("tool_calls") or ()) for message in messages)
        text = ChatText(PlainText(self.tokenizer, params.stop_strings), parser, prefill, earlier)
        return self._start(prompt.ids, params, text, progress, cancelled)

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Next-token logits (T, V), float32, after each of `ids` (T,). Raises ContextLengthError, ParameterError."""
        ids = self._checked([int(id) for id in ids], answer=0)
        return self._open().runner.logits(ids)

    def close(self) -> None:
        """Frees model and memory, as soon as streams that have begun are done. May be called twice.

        Any other use raises InhouseError from then on.
        """
        self._parts = None

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _open(self) -> _Parts:
        if self._parts is None:
            raise InhouseError("this LLM is closed: open the model again")
        return self._parts

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
                f"{self.config.max_position_embeddings})"
            )
        return ids

    def _start(
        self,
        prompt: list[int],
        params: SamplingParams,
        text: PlainText | ChatText,
        progress: Progress | None,
        cancelled: Cancelled | None,
    ) -> Generator[Chunk]:
        """Checks what can be checked and returns the generation, not yet begun."""
        self._open()
        self._checked(prompt, params.max_tokens or 1)
        limit = params.max_tokens or self.context - len(prompt)
        return self._run(Request(prompt, params, text, self._eos, limit, progress, cancelled))

    def _run(self, request: Request) -> Generator[Chunk]:
        """One generation, on a sequence that comes from the cache and goes back to it however this ends."""
        parts = self._open()
        with self._lock:
            sequence = parts.cache.acquire(request.prompt)
        try:
            yield from generate(parts.runner, sequence, request, partial(parts.cache.keep, states=True, durable=True))
        finally:
            with self._lock:
                parts.cache.release(sequence)


def _tokenizer(checkpoint: Checkpoint) -> Tokenizer | None:
    """The tokenizer that came with the weights, if one did."""
    if checkpoint.format == "gguf":
        known = "tokenizer.ggml.tokens" in checkpoint.metadata
        return Tokenizer.from_gguf(checkpoint.metadata) if known else None
    folder = checkpoint.path if checkpoint.path.is_dir() else checkpoint.path.parent
    return Tokenizer.from_directory(folder) if (folder / "tokenizer.json").is_file() else None


def _context(model: CausalLM, asked: int | None, free: int) -> int:
    """How many tokens a sequence may have: as asked, or the default where model and `free` bytes of memory allow it."""
    most = model.config.max_position_embeddings
    if asked is not None:
        if not 1 <= asked <= most:
            raise ParameterError(f"context = {asked}: this model allows 1 to {most} tokens")
        return asked
    empty, small = TokenSequence(model.new_layers, 0), TokenSequence(model.new_layers, 4096)
    per_token = (small.nbytes - empty.nbytes) / (small.capacity - empty.capacity)
    fitting = int(free / 2 / per_token) if per_token else most  # a model without attention needs none
    return min(most, DEFAULT_CONTEXT, max(SMALLEST_CONTEXT, fitting))
