"""How likely each token of a given answer is, and what a model would rather have written there (teacher forcing).

One pass over the answer, no drawing. Computes through a runner and remembers what it read in the prefix cache, so that
an answer which goes another way from some token on reads no more than that. Knows neither requests nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Tokens
from dataclasses import dataclass

from inhouse.engine.cache import PrefixCache
from inhouse.engine.completion import TokenLogprob, Usage
from inhouse.engine.runner import ModelRunner, Work
from inhouse.engine.sampler import token_logprob
from inhouse.engine.sequence import Sequence

CHUNK = 128  # tokens at once: the scores of more would take much memory (V floats each), and others wait for so long


@dataclass(frozen=True)
class ScoredToken:
    """A token of a given text: where it begins there (characters), and its natural log-probability.

    `top` are the likeliest tokens' texts and log-probabilities at its place, likeliest first, itself included where it
    belongs. Without any where the token begins inside of a character.
    """

    at: int
    text: str
    logprob: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Scores:
    """The tokens of a whole answer. They may begin a little before it, with `at` below 0, where tokens span both."""

    tokens: tuple[ScoredToken, ...]
    usage: Usage


class Scoring:
    """One answer on its way; each `step` computes a chunk, on the engine's thread."""

    def __init__(self, runner: ModelRunner, cache: PrefixCache, ids: Tokens[int], begin: int, top: int) -> None:
        """`ids` are prompt and answer, which begins at `begin` (1 or more); `top` alternatives are told of each."""
        self._runner, self._cache = runner, cache
        self._ids, self._begin, self._top = list(ids), begin, top
        self._sequence: Sequence | None = None
        self.cached = 0
        self.found: list[TokenLogprob] = []

    def step(self) -> bool:
        """Computes the next chunk; whether all of it is done."""
        sequence = self._sequence
        if sequence is None:
            # The last token of the prompt is computed in any case: what follows it is to be scored.
            sequence = self._sequence = self._cache.acquire(self._ids[: self._begin], len(self._ids) - self._begin)
            self.cached = len(sequence.ids)
        first = len(sequence.ids)
        part = self._ids[first : min(first + CHUNK, len(self._ids) - 1)]
        if part:
            skipped = max(0, self._begin - 1 - first)
            for row, logits in enumerate(self._runner.rows(Work(sequence, part), skipped), first + skipped):
                self.found.append(token_logprob(logits, self._ids[row + 1], self._top))
        return len(sequence.ids) >= len(self._ids) - 1

    def end(self) -> None:
        """What was computed goes to the cache."""
        if self._sequence is not None:
            self._cache.release(self._sequence)
            self._sequence = None

    @property
    def usage(self) -> Usage:
        return Usage(len(self._ids), self.cached, 0)


def scored(
    tokens: Tokens[TokenLogprob], token_bytes: Callable[[int], bytes], answer: str
) -> tuple[ScoredToken, ...]:  # fmt: skip
    """Tokens with their places in `answer`; empty where they do not spell it (of tokenizers that change texts)."""
    wanted, spelled = answer.encode("utf-8"), b"".join(token_bytes(token.id) for token in tokens)
    if not spelled.endswith(wanted):
        return ()
    begins = dict(_characters(answer))
    before = len(spelled) - len(wanted)  # of a token that spans prompt and answer
    found, place = [], -before
    for token in tokens:
        piece = token_bytes(token.id)
        at = place if place < 0 else begins.get(place, -1)
        tops = ((token_bytes(id), logprob) for id, logprob in token.top) if at >= 0 else ()
        texts = tuple((text.decode("utf-8"), logprob) for text, logprob in tops if _is_text(text))
        found.append(ScoredToken(at, piece.decode("utf-8", "replace"), token.logprob, texts))
        place += len(piece)
    return tuple(found)


def _characters(text: str) -> Iterator[tuple[int, int]]:
    """Byte offset (UTF-8) and index of each character."""
    place = 0
    for at, character in enumerate(text):
        yield place, at
        place += len(character.encode("utf-8"))


def _is_text(piece: bytes) -> bool:
    try:
        return bool(piece.decode("utf-8"))
    except UnicodeDecodeError:
        return False
