"""How to draw tokens where a client does not say: what the makers of the models recommend. Knows no API."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from inhouse.engine import SamplingParams
from inhouse.errors import ParameterError
from inhouse.server.engine import Model
from inhouse.server.settings import Mode

Card = Mapping[str, float]

# The publisher's model cards and generation_config.json files, by architecture and mode.
_QWEN2: Mapping[str, Card] = {
    "instruct": {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.1},
    # Edits repeat code word for word, which a penalty on repetition forbids.
    "coding": {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
}
_QWEN3: Mapping[str, Card] = {
    "thinking": {"temperature": 0.6, "top_p": 0.95, "top_k": 20},
    "coding": {"temperature": 0.6, "top_p": 0.95, "top_k": 20},
    "instruct": {"temperature": 0.7, "top_p": 0.8, "top_k": 20},
}
_QWEN3_5: Mapping[str, Card] = {
    "thinking": {"temperature": 1.0, "top_p": 0.95, "top_k": 20},
    "coding": {"temperature": 0.6, "top_p": 0.95, "top_k": 20},
    "instruct": {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "presence_penalty": 1.5},
}
CARDS: Mapping[str, Mapping[str, Card]] = MappingProxyType(
    {"qwen2": _QWEN2, "qwen3": _QWEN3, "qwen3_moe": _QWEN3, "qwen3_5": _QWEN3_5, "qwen3_5_moe": _QWEN3_5}
)


def defaults(model: Model, mode: Mode, *, thinking: bool, tools: bool) -> Card:
    """The card's values for a request.

    "auto" is thinking where the model thinks, coding where a model that does not is given tools, else instruct.
    """
    card = CARDS.get(model.architecture, {})
    if mode == "auto":
        mode = "thinking" if thinking else "coding" if tools else "instruct"
    return card.get(mode) or card.get("instruct") or {}


def sampling_params(given: Mapping[str, Any], card: Card) -> SamplingParams:
    """`given` (None: not given) over the card's values. Raises ParameterError."""
    chosen: dict[str, Any] = {**card, **{name: value for name, value in given.items() if value is not None}}
    if chosen.get("top_k") == -1:  # some clients' way to say: all
        chosen["top_k"] = 0
    if chosen.get("top_p") == 0:  # the nucleus of no probability is the likeliest token
        chosen.update(top_p=1.0, top_k=1)
    if "logit_bias" in chosen:
        chosen["logit_bias"] = _biases(chosen["logit_bias"])
    if "seed" in chosen:
        chosen["seed"] %= 1 << 64
    return SamplingParams(**chosen)


def _biases(given: Mapping[str, Any] | Sequence[Sequence[Any]]) -> tuple[tuple[int, float], ...]:
    """OpenAI's object of token ids, or llama.cpp's list of pairs, in which false forbids. Raises ParameterError."""
    pairs = [*given.items()] if isinstance(given, Mapping) else [tuple(pair) for pair in given]
    found = []
    for pair in pairs:
        if len(pair) != 2 or not str(pair[0]).isdecimal() or pair[1] is True:
            raise ParameterError(f"logit_bias: {pair!r}: give a token's id and a number, or false to forbid it")
        found.append((int(pair[0]), -math.inf if pair[1] is False else float(pair[1])))
    return tuple(found)
