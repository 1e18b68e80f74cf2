"""The decoder that all architectures share: embedding, layers of a token mixer and a feed-forward, norm, head.

    x = x + mixer(norm(x))            SelfAttention or GatedDeltaNet (mixers.py)
    x = x + feed_forward(norm(x))     DenseMLP or SparseMoE (feed_forward.py)

Several sequences go through at once: whatever treats tokens one by one sees all their rows together, and only the
mixers' cores see one sequence at a time. Knows neither requests nor text, and not which layer has which mixer.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from inhouse.errors import ParameterError
from inhouse.kernels.backend import Array, Backend, Linear, Norm, Weight
from inhouse.kernels.state import DeltaState, KVCache
from inhouse.weights.config import ModelConfig

LayerState: TypeAlias = KVCache | DeltaState


class TokenMixer(Protocol):
    """Moves information between the tokens of a sequence; adds its result to the residual stream."""

    def new_state(self, backend: Backend, capacity: int) -> LayerState:
        """An empty state for a sequence of at most `capacity` tokens."""

    def forward(self, backend: Backend, x: Array, rows: Sequence[slice], states: Sequence[Any]) -> Array:
        """x (T, H) plus the mixer's result; rows[i] of x belong to the sequence that owns states[i]."""


class FeedForward(Protocol):
    """Treats each token alone; adds its result to the residual stream."""

    def forward(self, backend: Backend, x: Array) -> Array:
        """x (T, H) plus the network's result."""


@dataclass(frozen=True)
class DecoderLayer:
    mixer: TokenMixer
    feed_forward: FeedForward


@dataclass(frozen=True)
class Segment:
    """The new tokens of one sequence and what each layer remembers of its earlier ones (which the forward advances)."""

    ids: npt.NDArray[np.int32]  # (T,), T ≥ 1
    layers: Sequence[LayerState]


@dataclass(frozen=True, eq=False)
class CausalLM:
    """A language model on one backend."""

    config: ModelConfig
    backend: Backend
    embedding: Weight  # (V, H)
    layers: tuple[DecoderLayer, ...]
    norm: Norm
    head: Linear  # (V, H)

    def new_layers(self, capacity: int) -> list[LayerState]:
        """The state of an empty sequence of at most `capacity` tokens, one entry per layer."""
        return [layer.mixer.new_state(self.backend, capacity) for layer in self.layers]

    def hidden(self, segments: Sequence[Segment]) -> Array:
        """All segments' tokens through all layers: (ΣT, H), segment after segment, before the final norm.

        Every segment's states advance by its tokens, for which their capacity must have room. Raises ParameterError
        for an id outside the vocabulary, before any state has changed.
        """
        work = self.by_layer(segments)
        while True:
            try:
                next(work)
            except StopIteration as done:
                hidden: Array = done.value
                return hidden

    def by_layer(self, segments: Sequence[Segment]) -> Generator[None, None, Array]:
        """`hidden`, with a pause after every half of a layer: other sequences may be computed before this goes on.

        Until it has ended, some layers' states have advanced and others not.
        """
        ids = np.concatenate([segment.ids for segment in segments]).astype(np.int32, copy=False)
        if ids.min() < 0 or ids.max() >= self.config.vocab_size:
            wrong = ids[(ids < 0) | (ids >= self.config.vocab_size)][0]
            raise ParameterError(f"token id {wrong} is not below the vocabulary's size, {self.config.vocab_size}")
        ends = np.cumsum([len(segment.ids) for segment in segments]).tolist()
        rows = [slice(end - len(segment.ids), end) for segment, end in zip(segments, ends, strict=True)]
        x = self.backend.embed(self.embedding, ids)
        for i, layer in enumerate(self.layers):
            x = layer.mixer.forward(self.backend, x, rows, [segment.layers[i] for segment in segments])
            yield
            x = layer.feed_forward.forward(self.backend, x)
            yield
        return x

    def normed(self, hidden: Array) -> npt.NDArray[np.float32]:
        """The given rows of `hidden` (n, H) after the final norm: what the head sees, and what stands for a text."""
        rows = np.asarray(hidden, np.float32)
        scale = np.sqrt(np.mean(np.square(rows), axis=-1, keepdims=True) + np.float32(self.norm.eps))
        return np.asarray(rows / scale * np.asarray(self.norm.weight, np.float32), np.float32)

    def logits(self, hidden: Array) -> Array:
        """Scores of the next token after each of the given rows of `hidden`: (n, H) to (n, V)."""
        return self.backend.project(hidden, self.norm, [self.head])[0]
