"""What the server asks of an engine, and of the model behind it. Knows no HTTP.

An engine takes whole requests and reports on its own thread, through `on_event`, what becomes of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from inhouse.engine import SamplingParams, TokenLogprob
from inhouse.engine.constraints import Constraint
from inhouse.engine.events import OnEvent, Priority
from inhouse.engine.prompt import ChatPrompts
from inhouse.server.infill import fills_gaps
from inhouse.tokenizer import Tokenizer, detect_dialect
from inhouse.weights.config import Pooling

Messages: TypeAlias = Sequence[Mapping[str, Any]]
Tools: TypeAlias = Sequence[Mapping[str, Any]] | None


class Ticket(Protocol):
    """A request that an engine has taken."""

    def cancel(self) -> None:
        """Ends it; a last chunk with finish reason "cancelled" may still come."""


class ServingEngine(Protocol):
    """Takes requests from any thread. `on_event` gets chunks and progress, and last a finished chunk or a failure.

    Both submit methods raise ContextLengthError, ParameterError, TemplateError, or QueueFullError (with retry_after).
    `constraint` says what the answer must look like.
    """

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
    ) -> Ticket: ...

    def submit_text(
        self,
        prompt: str | Sequence[int],
        params: SamplingParams,
        *,
        priority: Priority = "interactive",
        constraint: Constraint | None = None,
        on_event: OnEvent,
    ) -> Ticket: ...

    def prompt_logprobs(
        self, ids: Sequence[int], top: int, cancelled: Callable[[], bool] = ...
    ) -> Sequence[TokenLogprob]:
        """How likely each of `ids` but the first is; blocks. Empty when cancelled."""

    def embed(self, ids: Sequence[int], cancelled: Callable[[], bool] = ...) -> npt.NDArray[np.float32] | None:
        """A text as a vector (H,) of length 1; blocks. None when cancelled.

        Raises ContextLengthError, ParameterError.
        """

    def choice_logprobs(
        self, ids: Sequence[int], choices: Sequence[int], cancelled: Callable[[], bool] = ...
    ) -> list[float]:
        """How likely each of the tokens `choices` is after `ids`; blocks. Empty when cancelled."""

    def stats(self) -> Any: ...

    @property
    def slots(self) -> int:
        """How many requests are answered at a time."""


class Model:
    """The facts about the served model that an API needs."""

    def __init__(
        self, name: str, architecture: str, context: int, tokenizer: Tokenizer, pooling: Pooling = "none"
    ) -> None:
        self.name = name
        self.writes = pooling == "none"
        self.embeds = pooling in ("last", "mean")
        self.ranks = pooling == "rank"
        self.architecture = architecture
        self.context = context  # tokens of prompt and answer together
        self.tokenizer = tokenizer
        template = tokenizer.chat_template or ""
        self.thinks = "enable_thinking" in template or "<think>" in template
        self.calls_tools = detect_dialect(template) != "plain"
        self.fills_gaps = fills_gaps(tokenizer)
        self._prompts: ChatPrompts | None = None

    def count(self, messages: Messages, tools: Tools, prefill: str, flags: Mapping[str, Any]) -> int:
        """Tokens of a conversation's prompt. Raises TemplateError, InhouseError without a template."""
        return len(self._rendered(messages, tools, prefill, flags))

    def prompt(self, messages: Messages, tools: Tools, flags: Mapping[str, Any]) -> str:
        """A conversation's prompt as text, control tokens by their names. Raises as `count`."""
        return self.tokenizer.decode(self._rendered(messages, tools, "", flags))

    def _rendered(self, messages: Messages, tools: Tools, prefill: str, flags: Mapping[str, Any]) -> list[int]:
        if self._prompts is None:
            self._prompts = ChatPrompts(self.tokenizer)
        return self._prompts.render(messages, tools, prefill, flags).ids
