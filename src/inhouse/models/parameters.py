"""Takes a model's parameters out of a checkpoint by name, checked and loaded. Knows no architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from inhouse.errors import TensorError, UnsupportedModelError
from inhouse.kernels.backend import MLP, Array, Backend, Linear, Norm, Weight
from inhouse.weights.tensor import Tensor


@dataclass(frozen=True)
class Parameters:
    """The tensors below `prefix`; `taken` remembers what was asked for, so that nothing is silently left over."""

    backend: Backend
    tensors: Mapping[str, Tensor]
    model: str  # how errors call the model
    prefix: str = ""
    taken: set[str] = field(default_factory=set)

    def under(self, prefix: str) -> Parameters:
        """The same parameters seen from `prefix` on."""
        return replace(self, prefix=f"{self.prefix}{prefix}.")

    def tensor(self, name: str, *shape: int) -> Tensor:
        """The tensor of this name; TensorError if it is missing or not of `shape`."""
        full = self.prefix + name
        self.taken.add(full)
        if full not in self.tensors:
            raise TensorError(self.model, full, "is missing", "get a complete file of the model")
        tensor = self.tensors[full]
        if tensor.shape != shape:
            problem = f"has shape {tensor.shape} where the configuration says {shape}"
            raise TensorError(self.model, full, problem, "get weights and configuration of the same model")
        return tensor

    def matrix(self, name: str, *shape: int) -> Weight:
        """A matrix (rows, columns) or a stack of them, as the backend wants it."""
        return self.backend.load(self.tensor(name, *shape))

    def vector(self, name: str, *shape: int) -> Array:
        """A small parameter in float32."""
        return self.backend.vector(self.tensor(name, *shape))

    def linear(self, name: str, rows: int, columns: int, *, bias: bool = False) -> Linear:
        """`name`.weight and, if there is one, `name`.bias."""
        weight = self.matrix(f"{name}.weight", rows, columns)
        return Linear(weight, self.vector(f"{name}.bias", rows) if bias else None)

    def norm(self, name: str, size: int, eps: float) -> Norm:
        """`name`.weight as an RMS norm over `size` values."""
        return Norm(self.vector(f"{name}.weight", size), eps)

    def swiglu(self, hidden_size: int, intermediate_size: int) -> MLP:
        """gate_proj, up_proj and down_proj of one feed-forward network."""
        return MLP(
            gate=self.matrix("gate_proj.weight", intermediate_size, hidden_size),
            up=self.matrix("up_proj.weight", intermediate_size, hidden_size),
            down=self.matrix("down_proj.weight", hidden_size, intermediate_size),
        )

    def expect_all_taken(self) -> None:
        """UnsupportedModelError if the model made no use of some tensor: its results would be wrong."""
        left = sorted(self.tensors.keys() - self.taken)
        if left:
            raise UnsupportedModelError(
                f"{self.model}: {len(left)} tensors have no place in this architecture, the first being {left[0]!r}; "
                "use a checkpoint of a supported model"
            )
