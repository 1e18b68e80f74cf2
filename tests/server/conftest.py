"""Servers with models that say a given thing, or random things."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from live import Claude, Client, Serve, serving
from parrot import parrot

from inhouse import LLM
from inhouse.weights.synthetic import synthesize


@pytest.fixture(scope="module")
def says() -> Iterator[Serve]:
    """Starts a server, once for each script, whose model answers everything with that script."""
    with ExitStack() as stack:
        running: dict[tuple[str | bytes, ...], str] = {}

        def start(*steps: str | bytes, **settings: Any) -> str:
            key = (*steps, repr(settings))
            if key not in running:
                running[key] = stack.enter_context(serving(stack.enter_context(parrot(*steps)), **settings))
            return running[key]

        yield start


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """Makes OpenAI's client of a server."""
    with ExitStack() as stack:
        yield lambda url, **options: stack.enter_context(
            openai.OpenAI(**{"base_url": f"{url}/v1", "api_key": "none", "max_retries": 0, **options})
        )


@pytest.fixture(scope="module")
def claude() -> Iterator[Claude]:
    """Makes Anthropic's client of a server."""
    with ExitStack() as stack:
        yield lambda url, **options: stack.enter_context(
            anthropic.Anthropic(**{"base_url": url, "api_key": "none", "max_retries": 0, **options})
        )


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with a chat template."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    synthesize("tiny-qwen35", path)
    return path


@pytest.fixture(scope="session")
def tiny(tiny_file: Path) -> Iterator[str]:
    """A server with that model."""
    with LLM(tiny_file, threads=1) as llm, serving(llm) as url:
        yield url
