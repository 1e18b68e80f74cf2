"""The engine: sequences, their cache, the model runner, the sampler, and the public Python API."""

from inhouse.engine.completion import CallDelta, Chunk, Completion, TokenLogprob, ToolCall, Usage
from inhouse.engine.llm import LLM
from inhouse.engine.params import SamplingParams

__all__ = ["LLM", "CallDelta", "Chunk", "Completion", "SamplingParams", "TokenLogprob", "ToolCall", "Usage"]
