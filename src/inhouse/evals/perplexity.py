"""Perplexity: how surprised a model is by a text, token by token, beside llama.cpp on the same tokens.

The text is cut into windows; each is read from nothing, and every token but its first is predicted. Knows no texts
but what it is given, and no files but Python's own library as a text that is the same on every machine of one version.
"""

from __future__ import annotations

import importlib
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inhouse.errors import ParameterError, PeerError

F32 = npt.NDArray[np.float32]
Scorer = Callable[[Sequence[int]], F32]
"""The logits (T, V) after each of T tokens, read from nothing."""

WINDOW = 512  # tokens
_LIBRARY = ("argparse.py", "ast.py", "dataclasses.py", "difflib.py", "heapq.py", "json/decoder.py", "tarfile.py")

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Perplexity:
    """`nats`: the mean surprise of a token; `tokens`: how many were predicted."""

    tokens: int
    nats: float

    @property
    def value(self) -> float:
        return exp(self.nats)

    def to_json(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "perplexity": round(self.value, 5), "nats_per_token": round(self.nats, 6)}


def library_text() -> str:
    """Source code: some modules of Python's standard library, always the same ones in the same order."""
    folder = Path(sysconfig.get_path("stdlib"))
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in _LIBRARY if (folder / name).is_file())


def perplexity(
    score: Scorer, ids: Sequence[int], window: int = WINDOW, progress: Progress = lambda done, total: None
) -> Perplexity:
    """Of the tokens `ids`, a shorter last window included. Raises ParameterError for fewer than two tokens."""
    if len(ids) < 2 or window < 2:
        raise ParameterError(f"{len(ids)} tokens in windows of {window}: give at least two")
    surprise, predicted = 0.0, 0
    for begin in range(0, len(ids), window):
        part = list(ids[begin : begin + window])
        if len(part) > 1:
            surprise += float(_surprise(score(part)[:-1], part[1:]).sum())
            predicted += len(part) - 1
        progress(min(begin + window, len(ids)), len(ids))
    return Perplexity(predicted, surprise / predicted)


def _surprise(logits: F32, targets: Sequence[int]) -> npt.NDArray[np.float64]:
    """−log p of each target: logits (T, V) to (T,)."""
    highest = logits.max(axis=1, keepdims=True)
    total = np.log(np.exp(logits - highest).sum(axis=1, dtype=np.float64))
    wanted = np.take_along_axis(logits, np.asarray(targets)[:, None], axis=1)
    values: npt.NDArray[np.float64] = total - (wanted - highest)[:, 0]
    return values


def llama_cpp(model: Path, threads: int | None, window: int = WINDOW) -> AbstractContextManager[Scorer]:
    """llama.cpp as a scorer. Raises PeerError when it is not installed or cannot open the file."""
    return _llama_cpp(model, threads, window)


@contextmanager
def _llama_cpp(model: Path, threads: int | None, window: int) -> Iterator[Scorer]:
    try:
        package: Any = importlib.import_module("llama_cpp")
    except ImportError as error:
        raise PeerError(f"llama-cpp-python is not installed ({error}); install inhouse[peer]") from error
    try:
        llama = package.Llama(
            str(model), n_ctx=window, n_batch=window, n_threads=threads, n_threads_batch=threads, logits_all=True,
            verbose=False,
        )  # fmt: skip
    except Exception as error:  # whatever the peer raises, it is the peer's
        raise PeerError(f"llama.cpp cannot open {model}: {error}; check the file") from error

    def score(ids: Sequence[int]) -> F32:
        llama.reset()
        llama.eval(list(ids))
        scores: F32 = llama.scores[: len(ids)]
        return scores

    try:
        yield score
    finally:
        llama.close()
