"""Requests for embeddings and rankings: OpenAI's, Jina's and Cohere's, Ollama's. Knows no server."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from inhouse.client.wire import WHOLE, Name, Whole, Wire

Texts = str | list[str] | list[Whole] | list[list[Whole]]
Dimensions = Annotated[int, Field(ge=1), WHOLE] | None


class EmbeddingsRequest(Wire):
    model: Name = ""
    input: Texts
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Dimensions = None
    user: str | None = None


class RankedDocument(Wire):
    text: str


class RerankRequest(Wire):
    """`instruction`: what a match is, for models that read that."""

    model: Name = ""
    query: str
    documents: Annotated[list[str | RankedDocument], Field(min_length=1, max_length=1000)]
    top_n: Annotated[int, Field(ge=1), WHOLE] | None = None
    return_documents: bool | None = None
    instruction: str | None = None


class OllamaEmbedRequest(Wire):
    model: Name = ""
    input: str | list[str]
    truncate: bool | None = None
    dimensions: Dimensions = None
    options: dict[str, Any] | None = None
    keep_alive: str | float | None = None


class OllamaEmbeddingRequest(Wire):
    """The older form, of one text."""

    model: Name = ""
    prompt: str
    options: dict[str, Any] | None = None
    keep_alive: str | float | None = None
