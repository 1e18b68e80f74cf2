"""The goldens as fixtures: every architecture on every backend."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from golden import ARCHITECTURES, BACKENDS, GOLDENS, Golden

from inhouse.kernels.backend import Backend
from inhouse.models import build_model
from inhouse.weights.checkpoint import Checkpoint, open_checkpoint


@pytest.fixture(params=ARCHITECTURES)
def checkpoint(request: pytest.FixtureRequest) -> Iterator[Checkpoint]:
    with open_checkpoint(GOLDENS / request.param) as opened:
        yield opened


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest) -> Backend:
    make, _, _ = BACKENDS[request.param]
    return make()


@pytest.fixture
def golden(checkpoint: Checkpoint, backend: Backend, request: pytest.FixtureRequest) -> Golden:
    _, absolute, relative = BACKENDS[request.node.callspec.params["backend"]]
    with np.load(checkpoint.path / "logits.npz") as file:
        cases = {name: (file[f"{name}_ids"], file[f"{name}_logits"]) for name in ("long", "short")}
    return Golden(build_model(checkpoint.config, checkpoint.tensors, backend), cases, absolute, relative)
