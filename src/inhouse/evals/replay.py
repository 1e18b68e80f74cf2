"""A recorded session, turn by turn: how much of each prompt an engine reads again, and how long that takes.

A turn's new tokens are those after the longest beginning that its prompt shares with an earlier one of its session.
Every prompt is answered with a few tokens, as a server would; the session goes on with what was recorded, so that an
engine has to take back what it answered. Knows the engine's public side only; the peer is llama.cpp with its own memory
of the last prompt.
"""

from __future__ import annotations

import importlib
import itertools
import json
import queue
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from inhouse.engine import Chunk, SamplingParams
from inhouse.engine.events import Event, Failure
from inhouse.engine.open import open_engine
from inhouse.engine.packing import packed_or_not
from inhouse.engine.serving import Engine, Options
from inhouse.errors import ParameterError, PeerError
from inhouse.store import PackedCopies

_ANSWER = 16  # tokens

Messages = Sequence[Mapping[str, Any]]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Turn:
    """One request of a session."""

    session: int
    prompt: int  # tokens
    new: int
    prefilled: int
    first_token: float  # seconds
    peer_first_token: float | None = None


@dataclass(frozen=True)
class Replay:
    """All of them, in order."""

    turns: tuple[Turn, ...]

    @property
    def ratio(self) -> float:
        """Tokens prefilled over tokens new; 1 is perfect."""
        return sum(turn.prefilled for turn in self.turns) / sum(turn.new for turn in self.turns)

    @property
    def seconds(self) -> float:
        """To the first tokens, in all."""
        return sum(turn.first_token for turn in self.turns)

    @property
    def peer_seconds(self) -> float | None:
        """The peer's, if it was asked."""
        times = [turn.peer_first_token for turn in self.turns if turn.peer_first_token is not None]
        return sum(times) if times else None

    def to_json(self) -> dict[str, Any]:
        return {
            "ratio": round(self.ratio, 4),
            "first_token_seconds": round(self.seconds, 3),
            "peer_first_token_seconds": None if self.peer_seconds is None else round(self.peer_seconds, 3),
            "turns": [vars(turn) for turn in self.turns],
        }


def read_trace(path: Path) -> list[Mapping[str, Any]]:
    """Messages in OpenAI's shape from a JSON file: a list, or an object with "messages". Raises ParameterError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        messages = data["messages"] if isinstance(data, dict) else data
        if any(message["role"] == "assistant" for message in messages):
            return list(messages)
    except (ValueError, KeyError, TypeError) as error:
        raise ParameterError(f"{path}: no recorded session ({error}); give a JSON file with messages") from error
    raise ParameterError(f"{path}: nobody answers in this session; give one with assistant messages")


def replay(
    model: Path,
    messages: Messages,
    *,
    threads: int | None = None,
    kv: str = "f16",
    context: int | None = None,
    restart: bool = False,
    sessions: int = 1,
    turns: int | None = None,
    peer: bool = False,
    copies: PackedCopies | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Replay:
    """Asks for the answer to every beginning of the session that was answered, `sessions` of them in turn.

    `restart`: the engine ends in the middle and another goes on with its disk. With `copies`, ours runs from the
    packed copy. Raises what opening a model raises.
    """
    ours = model if copies is None else packed_or_not(model, copies, partial(progress, "packing"))
    beginnings = [messages[:at] for at, message in enumerate(messages) if message["role"] == "assistant"][:turns]
    known: list[list[list[int]]] = [[] for _ in range(sessions)]
    done: list[Turn] = []
    prompts: list[list[int]] = []
    with tempfile.TemporaryDirectory(prefix="inhouse-replay-") as folder:
        options = Options(context=context, cache_dir=Path(folder))
        engine = open_engine(ours, options, threads=threads, kv=kv, pack=False)
        try:
            for index, beginning in enumerate(beginnings):
                if restart and index == len(beginnings) // 2:
                    engine.drain(60.0)
                    engine = open_engine(ours, options, threads=threads, kv=kv, pack=False)
                for session in range(sessions):
                    progress("replaying", len(done), len(beginnings) * sessions)
                    turn, prompt = _turn(engine, session, _of_session(beginning, session), known[session])
                    done.append(turn)
                    prompts.append(prompt)
        finally:
            engine.drain(60.0)
    if peer:
        times = _peer_times(model, prompts, threads, progress)
        done = [Turn(**{**vars(turn), "peer_first_token": spent}) for turn, spent in zip(done, times, strict=True)]
    return Replay(tuple(done))


def _turn(engine: Engine, session: int, messages: Messages, known: list[list[int]]) -> tuple[Turn, list[int]]:
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    params = SamplingParams(temperature=0.0, max_tokens=_ANSWER)
    request = engine.chat_request(messages, params, None, "", {"preserve_thinking": True}, "interactive", None)
    prompt = request(events.put).prompt
    begun = time.perf_counter()
    engine.submit(request, events.put)
    first = 0.0
    while True:
        event = events.get()
        if isinstance(event, Failure):
            raise event.error
        if isinstance(event, Chunk):
            first = first or time.perf_counter() - begun
            if event.usage is not None:
                break
    new = len(prompt) - max((_common(prompt, earlier) for earlier in known), default=0)
    known.append(prompt)
    return Turn(session, len(prompt), new, len(prompt) - event.usage.cached_tokens, first), prompt


def _of_session(messages: Messages, session: int) -> Messages:
    """The same conversation, told apart from its twins by its first words."""
    if session == 0:
        return messages
    first = messages[0]
    return [{**first, "content": f"Session {session}. {first['content']}"}, *messages[1:]]


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _peer_times(model: Path, prompts: list[list[int]], threads: int | None, progress: Progress) -> list[float]:
    """Seconds to llama.cpp's first token after each prompt, in order, on what it remembers of the one before."""
    try:
        package: Any = importlib.import_module("llama_cpp")
    except ImportError as error:
        raise PeerError(f"llama-cpp-python is not installed ({error}): install inhouse[peer]") from error
    longest = max(map(len, prompts)) + 8
    llama = package.Llama(
        str(model), n_ctx=longest, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    times = []
    for index, prompt in enumerate(prompts):
        progress("llama.cpp", index, len(prompts))
        begun = time.perf_counter()
        answer = llama.generate(prompt, temp=0.0)
        next(answer)
        times.append(time.perf_counter() - begun)
        for _ in itertools.islice(answer, _ANSWER - 1):
            pass
    llama.close()
    return times
