"""Hands a checkpoint's tensors to a backend, by name. Knows neither architectures nor shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from inhouse.kernels.backend import MLP, Array, Backend, Linear, Norm, Weight
from inhouse.weights.tensor import Tensor


@dataclass(frozen=True)
class Parameters:
    """The tensors below `prefix`; `taken` collects the names asked for, so that none is ignored unnoticed."""

    backend: Backend
    tensors: Mapping[str, Tensor]
    prefix: str = ""
    taken: set[str] = field(default_factory=set)

    def under(self, prefix: str) -> Parameters:
        """The same parameters seen from `prefix` on."""
        return replace(self, prefix=f"{self.prefix}{prefix}.")

    def tensor(self, name: str) -> Tensor:
        """The tensor as it lies in the file."""
        self.taken.add(self.prefix + name)
        return self.tensors[self.prefix + name]

    def matrix(self, name: str) -> Weight:
        """A matrix (rows, columns) or a stack of them, as the backend wants it."""
        return self.backend.load(self.tensor(name))

    def vector(self, name: str) -> Array:
        """A small parameter in float32."""
        return self.backend.vector(self.tensor(name))

    def linear(self, name: str, *, bias: bool = False) -> Linear:
        """`name`.weight with, if wanted, `name`.bias."""
        return Linear(self.matrix(f"{name}.weight"), self.vector(f"{name}.bias") if bias else None)

    def norm(self, name: str, eps: float) -> Norm:
        """`name`.weight as an RMS norm."""
        return Norm(self.vector(f"{name}.weight"), eps)

    def swiglu(self) -> MLP:
        """gate_proj, up_proj and down_proj of one feed-forward network."""
        return MLP(*(self.matrix(f"{name}_proj.weight") for name in ("gate", "up", "down")))
