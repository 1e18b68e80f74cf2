"""The public Python API: a model from a file, text from a model. Knows neither HTTP nor agents.

    from inhouse import LLM, SamplingParams

    with LLM("starter") as llm:
        print(llm.generate("def fibonacci(n):", SamplingParams(max_tokens=64)).text)

Used from any thread; the model computes on one of its own.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Generator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from inhouse.engine.completion import Chunk, Completion, collect
from inhouse.engine.constraints import Constraint
from inhouse.engine.events import Event, Failure, OnEvent, Queued
from inhouse.engine.events import Progress as EngineProgress
from inhouse.engine.generation import Request
from inhouse.engine.open import open_engine
from inhouse.engine.packing import Progress as Packing
from inhouse.engine.params import SamplingParams
from inhouse.engine.scoring import Scores
from inhouse.engine.serving import DISK_BYTES, Engine, Messages, Options, Ticket, Tools
from inhouse.kernels.backend import Backend
from inhouse.models import CausalLM
from inhouse.tokenizer import Tokenizer
from inhouse.weights.config import ModelConfig

Progress: TypeAlias = Callable[[int, int], None]  # (tokens of the prompt done so far, all of them)
Cancelled: TypeAlias = Callable[[], bool]

_LOOK = 0.1  # seconds between two looks whether a long computation is still wanted


class LLM:
    """A model, its tokenizer, and the memory of its last conversations.

    `threads`: of the CPU backend, default all processors. `kv`: how it keeps keys and values, "f16" or "int8", which
    takes about half the memory and is less exact. `context`: the most tokens of prompt and answer together, default
    32,768 or what the model and the memory allow. `cache_bytes`: of memory for past conversations, `cache_dir` a
    directory for those to outlive the process, `cache_disk` its bytes. Messages and tools are dicts in OpenAI's shape;
    `template_flags` are switches of the model's chat template, such as enable_thinking.

    A GGUF file is packed for the CPU's kernels on first use (`pack`): the copy is kept in `packed_root` and found from
    then on; `packing(done, total)` is called as it is written. Where there is no room, the file is used as it is.
    `chat_template`, Jinja's source, takes the place of the model's own.

    Raises ModelNotFoundError, ModelFileError, UnsupportedModelError, ParameterError.
    """

    sampling_params = SamplingParams  # for those who are handed an LLM and do not import the engine

    def __init__(
        self,
        model: str | PathLike[str],
        *,
        threads: int | None = None,
        kv: str = "f16",
        context: int | None = None,
        backend: Backend | None = None,
        cache_bytes: int | None = None,
        cache_dir: str | PathLike[str] | None = None,
        cache_disk: int = DISK_BYTES,
        pack: bool = True,
        packed_root: Path | None = None,
        packing: Packing | None = None,
        chat_template: str | None = None,
    ) -> None:
        folder = None if cache_dir is None else Path(cache_dir)
        options = Options(context, cache_bytes, cache_dir=folder, cache_disk=cache_disk)
        self._engine = open_engine(
            model, options, threads=threads, kv=kv, backend=backend, pack=pack, packed_root=packed_root,
            packing=packing, chat_template=chat_template,
        )  # fmt: skip

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
        llm._engine = Engine(model, tokenizer, Options(context, cache_bytes))
        return llm

    @property
    def engine(self) -> Engine:
        """What takes the requests of many at once."""
        return self._engine

    @property
    def config(self) -> ModelConfig:
        return self._engine.config

    @property
    def context(self) -> int:
        """Tokens of prompt and answer together."""
        return self._engine.context

    @property
    def tokenizer(self) -> Tokenizer:
        """Raises InhouseError for a model that came without one."""
        return self._engine.tokenizer

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
        request = self._engine.text_request(prompt, params or SamplingParams(), "interactive", None)
        return self._run(request, progress, cancelled)

    def stream_chat(
        self,
        messages: Messages,
        params: SamplingParams | None = None,
        tools: Tools = None,
        prefill: str = "",
        *,
        grammar: str | None = None,
        template_flags: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Generator[Chunk]:
        """`chat`, token by token; see `stream`. What comes, with `prefill` before it, fits `grammar` (Lark's notation).

        Raises ParameterError for a grammar that cannot be enforced or that `prefill` breaks.
        """
        constraint = Constraint(grammar=grammar) if grammar else None
        request = self._engine.chat_request(
            messages, params or SamplingParams(), tools, prefill, template_flags or {}, "interactive", constraint
        )
        return self._run(request, progress, cancelled)

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Next-token logits (T, V), float32, after each of `ids` (T,). Raises ContextLengthError, ParameterError."""
        return self._engine.logits(ids)

    def score_chat(
        self,
        messages: Messages,
        answer: str,
        top: int = 10,
        *,
        prefill: str = "",
        template_flags: Mapping[str, Any] | None = None,
        cancelled: Cancelled = lambda: False,
    ) -> Scores | None:
        """How likely a given answer is, token by token, and what the model would rather have written at each.

        `answer` follows `prefill`; `top` alternatives are told of each token. None if `cancelled()` was true before it
        was done. Raises ContextLengthError, ParameterError, TemplateError.
        """
        return self._engine.score_chat(
            messages, answer, top, prefill=prefill, template_flags=template_flags, cancelled=cancelled
        )

    def close(self) -> None:
        """Frees model and memory, as soon as streams that have begun are done. May be called twice.

        Any other use raises InhouseError from then on.
        """
        self._engine.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(
        self, request: Callable[[OnEvent], Request], progress: Progress | None, cancelled: Cancelled | None
    ) -> Generator[Chunk]:
        """One generation. The engine draws a token when the caller asks for it, and not before."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        ticket = self._engine.submit(request, events.put, credit=0)
        try:
            while True:
                ticket.more()
                chunk = _next_chunk(events, ticket, progress, cancelled)
                yield chunk
                if chunk.finish_reason is not None:
                    return
        finally:
            ticket.cancel()


def _next_chunk(
    events: queue.SimpleQueue[Event], ticket: Ticket, progress: Progress | None, cancelled: Cancelled | None
) -> Chunk:
    """The next chunk to come; looks now and then whether it is still wanted."""
    while True:
        if cancelled is not None and cancelled():
            ticket.cancel()
            cancelled = None
        try:
            event = events.get(timeout=_LOOK)
        except queue.Empty:
            continue
        match event:
            case EngineProgress():
                if progress is not None:
                    progress(event.done, event.total)
            case Queued():
                continue
            case Failure():
                raise event.error
            case Chunk():
                return event
