"""How one request draws its tokens. Knows neither models nor text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from inhouse.errors import ParameterError


@dataclass(frozen=True)
class SamplingParams:
    """What a request asks of the sampler; the defaults are greedy decoding up to the end of the context.

    Penalties come first, then temperature, then top-k, top-p and min-p, each over what the one before it left
    (the order of Hugging Face's `generate`; see engine/sampler.py).

    Raises ParameterError, naming the field, its value and the allowed range.
    """

    temperature: float = 0.0  # 0: greedy
    top_k: int = 0  # keep the k likeliest tokens; 0: all
    top_p: float = 1.0  # keep the smallest set of likeliest tokens whose probability reaches this; 1: all
    min_p: float = 0.0  # keep tokens at least this fraction as likely as the likeliest; 0: all
    presence_penalty: float = 0.0  # subtracted once from the logit of every token of the answer so far
    frequency_penalty: float = 0.0  # subtracted once per occurrence in the answer so far
    repetition_penalty: float = 1.0  # divides (or, below zero, multiplies) logits of tokens of prompt and answer
    seed: int | None = None  # None: a fresh one each time
    stop: str | Sequence[str] = ()  # the answer ends before the first of these texts
    max_tokens: int | None = None  # None: as many as the context holds
    ignore_eos: bool = False  # an end-of-text token is then an ordinary token
    reasoning_budget: int | None = None  # tokens of thinking, after which it is brought to an end; None: no limit
    logprobs: int | None = None  # report each token's log-probability, and that many alternatives
    logit_bias: tuple[tuple[int, float], ...] = ()  # (token, added to its logit before all else); -inf: never drawn

    def __post_init__(self) -> None:
        _number("temperature", self.temperature, 0.0, math.inf)
        _integer("top_k", self.top_k, 0)
        _number("top_p", self.top_p, 0.0, 1.0, above=True)
        _number("min_p", self.min_p, 0.0, 1.0)
        _number("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _number("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        _number("repetition_penalty", self.repetition_penalty, 0.0, math.inf, above=True)
        for token, bias in self.logit_bias:
            _integer("logit_bias's token", token, 0)
            if math.isnan(bias) or bias == math.inf:
                raise ParameterError(f"logit_bias of token {token} = {bias!r}: give a finite number, or -inf")
        if self.seed is not None:
            _integer("seed", self.seed, 0)
        if not all(self.stop_strings):
            raise ParameterError(f"stop = {self.stop!r}: every stop string must be a non-empty text")
        if self.max_tokens is not None:
            _integer("max_tokens", self.max_tokens, 1)
        if self.reasoning_budget is not None:
            _integer("reasoning_budget", self.reasoning_budget, 1)
        if self.logprobs is not None:
            _integer("logprobs", self.logprobs, 0, 20)

    @property
    def stop_strings(self) -> tuple[str, ...]:
        """`stop` as a tuple, also where it is one string."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)


def _number(name: str, value: object, low: float, high: float, *, above: bool = False) -> None:
    """Checks that `value` is a finite number from `low` (exclusive if `above`) to `high`."""
    if (
        isinstance(value, int | float)
        and math.isfinite(value)
        and low <= value <= high
        and not (above and value == low)
    ):
        return
    least = f"above {low:g}" if above else f"at least {low:g}"
    raise ParameterError(f"{name} = {value!r}: give a finite number {least}{_most(high)}")


def _integer(name: str, value: object, low: int, high: float = math.inf) -> None:
    """Checks that `value` is a whole number from `low` to `high`."""
    if not isinstance(value, int) or not low <= value <= high:
        raise ParameterError(f"{name} = {value!r}: give a whole number of at least {low}{_most(high)}")


def _most(high: float) -> str:
    return "" if math.isinf(high) else f" and at most {high:g}"
