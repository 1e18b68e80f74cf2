"""Requests of llama.cpp's own endpoints, as its clients send them. Knows no server."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from inhouse.client.openai_types import SamplingFields
from inhouse.client.wire import UNLIMITED, WHOLE, Name, Whole, Wire


class NativeFields(SamplingFields):
    """How to draw an answer, in llama.cpp's names."""

    model: Name = ""
    n_predict: Annotated[Annotated[int, Field(ge=0), WHOLE] | None, UNLIMITED] = None
    repeat_penalty: Annotated[float, Field(gt=0, le=100)] | None = None
    n_probs: Annotated[int, Field(ge=0, le=20), WHOLE] | None = None
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None
    stream: bool | None = None
    return_tokens: bool | None = None
    cache_prompt: bool | None = None  # prompts are always cached


class NativeRequest(NativeFields):
    prompt: str | list[Whole | str | list[Whole]]


class ExtraFile(Wire):
    """Text from elsewhere in a project."""

    filename: str = ""
    text: str = ""


class InfillRequest(NativeFields):
    """`prompt` is what has been typed already of what is missing."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[ExtraFile] | None = None
    prompt: str = ""
