"""Which model an agent works with: one of this machine, in this process, or any server that speaks OpenAI's API."""

from __future__ import annotations

import argparse
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from inhouse.cli.common import add_engine, add_thinking, api_key, model_path, store, template_flags
from inhouse.client.types import ChatClient, ChatRequest, Delta, Scorer
from inhouse.errors import InhouseError, ModelNotFoundError

_UNKNOWN_CONTEXT = 32_768
_SMALL = 7e9  # parameters below which the agent's loop is more than a model can do


@dataclass(frozen=True)
class Connection:
    """A client, the name of its model, and the tokens that a conversation may have.

    `parameters` is how many the model has, as far as its file or its name tells; None where it is not known.
    """

    client: ChatClient
    model: str
    context: int
    parameters: float | None = None

    @property
    def is_small(self) -> bool:
        """Whether the model is known to be small: what it reads should be short, and the agent's loop is too much."""
        return self.parameters is not None and self.parameters < _SMALL

    @property
    def size_note(self) -> str:
        """What to say to who gives the agent's loop a small model; "" to any other."""
        if self.parameters is None or not self.is_small:
            return ""
        return (
            f"{self.model} ({self.parameters / 1e9:.1f} B parameters) is small for the tool loop: inhouse fix repairs "
            "failing tests with it (`inhouse fix PROBLEM --repo DIR`); the loop wants a model of about 30 B "
            "(`inhouse pull qwen3.6-35b-a3b`)"
        )


def add_connection(parser: argparse.ArgumentParser, *, thinking: bool = True) -> None:
    """`thinking`: whether the user may say that the model does not think."""
    group = parser.add_argument_group("model")
    group.add_argument("--model", metavar="MODEL", help="a name or path (default: the largest here that fits)")
    group.add_argument(
        "--url", metavar="URL", help="ask a server instead, such as http://gpu.local:8000/v1 (key: INHOUSE_API_KEY)"
    )
    if thinking:
        add_thinking(parser)
    add_engine(parser)


def agent_flags(args: argparse.Namespace) -> dict[str, bool]:
    """Switches of the chat template for an agent: its earlier thinking stays in its prompt, since a template that drops
    it would change what was read already."""
    return {**template_flags(args), "preserve_thinking": True}


@contextmanager
def connected(args: argparse.Namespace, flags: Mapping[str, bool]) -> Iterator[Connection]:
    """Raises ModelNotFoundError, PeerError and what opening a model raises."""
    if args.url is not None:
        from inhouse.client.http import HttpClient

        client = HttpClient(args.url, args.model or "default", key=api_key(), template_flags=flags)
        try:
            context = args.context or client.context() or _UNKNOWN_CONTEXT
            yield Connection(client, args.model or args.url, context, _named_size(args.model or ""))
        finally:
            client.close()
        return
    from inhouse.cli.opening import open_llm
    from inhouse.client.inprocess import InProcessClient

    path = model_path(args.model) if args.model is not None else largest_model()
    with open_llm(path, args) as llm:
        yield Connection(InProcessClient(llm, template_flags=flags), args.model or path.stem, llm.context, _size(path))


def _size(path: Path) -> float | None:
    """The parameters of a model's file; None where its header does not tell."""
    from inhouse.weights.checkpoint import open_checkpoint
    from inhouse.weights.kv import kv_format
    from inhouse.weights.summary import summarize

    try:
        with open_checkpoint(path) as checkpoint:
            return summarize(checkpoint, None, kv_format("f16")).parameters
    except InhouseError:
        return None


def _named_size(name: str) -> float | None:
    """The parameters that a model's name tells of, such as qwen2.5-coder-1.5b: the largest, if it has several."""
    sizes = re.findall(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])", name.lower())
    if not sizes:
        return 1.5e9 if name == "starter" else None
    return max(map(float, sizes)) * 1e9


class LaterConnection:
    """A client whose model is loaded when it is first asked, or its context is; `loading` is called just before.

    A server is asked for its context at once: that costs nothing, and one that does not answer is known early.
    """

    def __init__(
        self, args: argparse.Namespace, flags: Mapping[str, bool], loading: Callable[[], None], stack: ExitStack
    ) -> None:
        self._args = args
        self._flags = flags
        self._loading = loading
        self._stack = stack
        self._lock = threading.Lock()
        self._made: Connection | None = None
        if args.url is not None:
            self._connection()

    @property
    def context(self) -> int:
        """Tokens that a conversation may have."""
        return self._connection().context

    @property
    def is_small(self) -> bool:
        """As `Connection.is_small`."""
        return self._connection().is_small

    def stream(self, request: ChatRequest) -> Iterator[Delta]:
        return self._connection().client.stream(request)

    def count_tokens(self, text: str) -> int:
        return self._connection().client.count_tokens(text)

    @property
    def scorer(self) -> Scorer | None:
        """That of the client."""
        return self._connection().client.scorer

    def _connection(self) -> Connection:
        with self._lock:
            if self._made is None:
                self._loading()
                self._made = self._stack.enter_context(connected(self._args, self._flags))
            return self._made


@contextmanager
def connected_later(
    args: argparse.Namespace, flags: Mapping[str, bool], loading: Callable[[], None]
) -> Iterator[LaterConnection]:
    """As `connected`, when it is needed."""
    with ExitStack() as stack:
        yield LaterConnection(args, flags, loading, stack)


def largest_model() -> Path:
    """The most capable model here that this machine can hold, as far as size tells. Raises ModelNotFoundError."""
    memory = psutil.virtual_memory().total
    fitting = [model for model in store().list() if model.size < 0.95 * memory]
    if not fitting:
        raise ModelNotFoundError(
            "no model is on this machine yet: run `inhouse pull`, or name one with --model or --url"
        )
    return max(fitting, key=lambda model: model.size).path
