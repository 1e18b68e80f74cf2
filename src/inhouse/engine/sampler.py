"""From logits to the next token, in NumPy. Knows neither models nor text.

The order is that of Hugging Face's `generate`, after OpenAI's bias of single tokens: penalties (repetition, then
frequency, then presence), temperature, top-k, top-p, min-p; each filter sees the distribution that the one before it
left, renormalised. The repetition penalty counts the prompt as well (Keskar et al., "CTRL", 2019); presence and
frequency penalties count the answer only, as OpenAI's API does. min-p: Nguyen et al., "Turning Up the Heat", 2024.

The vocabulary is large (a quarter of a million tokens) and the survivors are few, so nothing here sorts it whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from inhouse.engine.completion import TokenLogprob
from inhouse.engine.params import SamplingParams
from inhouse.errors import InhouseError

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Ids = npt.NDArray[np.intp]

NUCLEUS = 1024  # likeliest tokens first looked at for top-p; nearly always enough
BLOCK = 512  # tokens whose probabilities are added before any is looked at singly


class Mask(Protocol):
    """What an answer must keep to."""

    def permits(self, token: int) -> bool:
        """Whether `token` may come next."""

    def allowed(self, logits: F32) -> F32:
        """`logits` (V,), those of tokens that must not come next being -inf."""


class Sampler:
    """Draws one answer's tokens. The same parameters, prompt, logits and seed give the same tokens."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int], vocab_size: int) -> None:
        self.params = params
        self._random = np.random.default_rng(params.seed)
        self._penalised = (
            params.repetition_penalty != 1.0 or params.presence_penalty != 0.0 or params.frequency_penalty != 0.0
        )
        size = vocab_size if self._penalised else 0
        self._counts = np.zeros(size, np.float32)  # of each token in the answer so far
        self._in_prompt = np.zeros(size, np.bool_)
        self._biased = np.array([token for token, _ in params.logit_bias], np.intp)
        self._bias = np.array([bias for _, bias in params.logit_bias], np.float32)
        if self._penalised:
            self._in_prompt[np.asarray(prompt, np.intp)] = True

    def draw(self, logits: F32, mask: Mask | None = None) -> int:
        """The next token given `logits` (V,), which are left as they are.

        Drawn freely first, and a second time from what `mask` permits only if it does not permit the first: the
        odds are those of drawing from what it permits, and most draws need no mask of the whole vocabulary.
        Raises InhouseError when the logits are not numbers, which is what a damaged model computes.
        """
        token = self._draw(logits)
        if mask is not None and not mask.permits(token):
            token = self._draw(mask.allowed(logits))
        if self._penalised:
            self._counts[token] += 1
        return token

    def _draw(self, logits: F32) -> int:
        if self._biased.size:
            logits = logits.copy()
            np.add.at(logits, self._biased, self._bias)
        top = float(logits.max())
        if not math.isfinite(top):
            raise InhouseError("the model computed no usable probabilities: its file is damaged; pull or copy it again")
        if self._penalised:
            logits = self._penalise(logits)
            top = float(logits.max())
        return int(logits.argmax()) if self.params.temperature == 0 else self._sample(logits, top)

    def _penalise(self, logits: F32) -> F32:
        """A copy of `logits` with all three penalties applied."""
        params = self.params
        out = logits.copy()
        if params.repetition_penalty != 1.0:
            seen = np.flatnonzero(self._in_prompt | (self._counts > 0))
            values = out[seen]
            penalty = np.float32(params.repetition_penalty)
            out[seen] = np.where(values > 0, values / penalty, values * penalty)
        out -= np.float32(params.frequency_penalty) * self._counts
        out -= np.float32(params.presence_penalty) * (self._counts > 0)
        return out

    def _sample(self, logits: F32, top: float) -> int:
        """One draw from softmax(logits / temperature) after the filters; `top` is the largest logit."""
        params = self.params
        # A temperature close to nothing must approach greedy and not overflow into NaN.
        inverse = np.float32(min(1 / params.temperature, 1e30)) if params.temperature > 1e-30 else np.float32(1e30)
        with np.errstate(over="ignore"):
            scaled = (logits - np.float32(top)) * inverse  # the likeliest is 0
        ids = _survivors(scaled, params)
        if ids is None:
            return _pick(np.exp(scaled), self._random.random())
        return int(ids[_pick(np.exp(scaled[ids]), self._random.random())])


def _survivors(scaled: F32, params: SamplingParams) -> Ids | None:
    """Ids that top-k, top-p and min-p leave of `scaled` (V,), whose largest value is 0; None: all of them.

    Every filter keeps some number of the likeliest tokens, so only that number and the last one's value are sought.
    """
    least = math.log(params.min_p) if params.min_p > 0 else -math.inf
    limited = 0 < params.top_k < scaled.size
    if not limited and params.top_p == 1.0:
        return np.flatnonzero(scaled >= least) if params.min_p > 0 else None
    if limited:
        values = _largest(scaled, params.top_k)
        mass = np.cumsum(np.exp(values, dtype=np.float64))
        mass /= mass[-1]
    else:
        values, mass = _nucleus(scaled, params.top_p)
    kept = values.size if params.top_p == 1.0 else min(int(np.searchsorted(mass, params.top_p)) + 1, values.size)
    kept = min(kept, int(np.count_nonzero(values >= least)))
    ids = np.flatnonzero(scaled >= values[kept - 1])
    if ids.size > kept:  # of tokens equal to the last one kept, those of lower id stay
        ids = np.delete(ids, np.flatnonzero(scaled[ids] == values[kept - 1])[kept - ids.size :])
    return ids


def _nucleus(scaled: F32, top_p: float) -> tuple[F32, F64]:
    """The largest values whose probability reaches `top_p` (or all), and their cumulative probability."""
    total = float(np.exp(scaled).sum(dtype=np.float64))
    width = NUCLEUS
    while True:
        values = _largest(scaled, width)
        mass = np.cumsum(np.exp(values, dtype=np.float64)) / total
        if mass[-1] >= top_p or values.size == scaled.size:
            return values, mass
        width *= 8


def _largest(scaled: F32, count: int) -> F32:
    """The `count` largest values, largest first."""
    rest = max(scaled.size - count, 0)
    return np.sort(np.partition(scaled, rest)[rest:] if rest else scaled)[::-1]


def _pick(weights: F32, point: float) -> int:
    """The index at which the cumulated `weights` (n,) pass `point` (0 to 1) of their sum."""
    starts = np.arange(0, weights.size, BLOCK)
    blocks = np.cumsum(np.add.reduceat(weights, starts, dtype=np.float64))
    target = point * blocks[-1]
    block = min(int(np.searchsorted(blocks, target, side="right")), blocks.size - 1)
    inside = weights[block * BLOCK : (block + 1) * BLOCK]
    passed = np.cumsum(inside, dtype=np.float64) + (blocks[block - 1] if block else 0.0)
    index = int(np.searchsorted(passed, target, side="right"))
    # Rounding may leave the target past the block's end: then its last token of any weight.
    return block * BLOCK + (index if index < inside.size else int(np.flatnonzero(inside)[-1]))


def token_logprob(logits: F32, token: int, alternatives: int) -> TokenLogprob:
    """The log-probability of `token` under softmax(logits (V,)), and the `alternatives` likeliest tokens' own."""
    top = float(logits.max())
    log_total = top + math.log(float(np.exp(logits - np.float32(top)).sum(dtype=np.float64)))
    alternatives = min(alternatives, logits.size)
    if alternatives == 0:
        return TokenLogprob(token, float(logits[token]) - log_total)
    rivals = np.argpartition(logits, -alternatives)[-alternatives:]
    rivals = rivals[np.lexsort((rivals, -logits[rivals]))]
    return TokenLogprob(
        token, float(logits[token]) - log_total, tuple((int(i), float(logits[i]) - log_total) for i in rivals)
    )
