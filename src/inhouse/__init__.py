"""Inhouse: a private software engineer that runs on the machine you already own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inhouse.engine.completion import Chunk, Completion
    from inhouse.engine.llm import LLM
    from inhouse.engine.params import SamplingParams

__all__ = ["LLM", "Chunk", "Completion", "SamplingParams"]


def __getattr__(name: str) -> Any:
    """The public names, loaded when first asked for: `import inhouse.errors` must not load an engine."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from inhouse import engine

    return getattr(engine, name)
