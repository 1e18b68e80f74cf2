"""The tiny models on both backends."""

from __future__ import annotations

import pytest
from tiny import attention_model, recurrent_model

from inhouse.kernels.cpu import CpuBackend
from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import CausalLM

MODELS = {
    "attention": lambda: attention_model(ReferenceBackend()),
    "recurrent": lambda: recurrent_model(ReferenceBackend()),
    "attention-cpu": lambda: attention_model(CpuBackend(threads=1)),
    "recurrent-cpu": lambda: recurrent_model(CpuBackend(threads=1)),
}


@pytest.fixture(scope="session", params=MODELS)
def model(request: pytest.FixtureRequest) -> CausalLM:
    """Each of the two models on each backend. How a prompt is cut moves its logits by rounding only."""
    return MODELS[request.param]()


@pytest.fixture(scope="session")
def recurrent() -> CausalLM:
    return MODELS["recurrent"]()


@pytest.fixture(scope="session")
def attention() -> CausalLM:
    return MODELS["attention"]()
