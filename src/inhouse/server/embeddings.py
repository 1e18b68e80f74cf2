"""`/v1/embeddings`, `/v1/rerank` and Ollama's `/api/embed`: texts as vectors, and how well documents answer a query."""

from __future__ import annotations

import asyncio
import base64
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Request
from starlette.responses import Response

from inhouse.client.embedding_types import (
    EmbeddingsRequest,
    OllamaEmbeddingRequest,
    OllamaEmbedRequest,
    RerankRequest,
    Texts,
)
from inhouse.server import openai
from inhouse.server.answers import CLIENT_GONE, disconnected
from inhouse.server.engine import Model
from inhouse.server.errors import ApiError, bad_request
from inhouse.server.service import Service, Services
from inhouse.server.wire import JsonResponse
from inhouse.tokenizer import Tokenizer

F32 = npt.NDArray[np.float32]

T = TypeVar("T")

_MOST_TEXTS = 2048  # as OpenAI's API has it
# The form that Qwen3-Reranker's authors give (model card of Qwen/Qwen3-Reranker-0.6B).
_JUDGE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_ANSWER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


def routes(services: Services) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/embeddings", response_model=None, tags=["OpenAI"])
    async def embeddings(body: EmbeddingsRequest, request: Request) -> Response:
        """Texts as vectors."""
        service = services.named(body.model, _embeds)
        service.warn_unknown(request.url.path, body)
        texts = _texts(body.input, service.model.tokenizer)
        vectors = _cut(await _embedded(service, texts, request), body.dimensions)
        packed = body.encoding_format == "base64"
        data = [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if packed else vector.tolist()}
            for index, vector in enumerate(vectors)
        ]
        tokens = sum(map(len, texts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return JsonResponse({"object": "list", "model": service.model.name, "data": data, "usage": usage})

    @router.post("/v1/rerank", response_model=None, tags=["Server"])
    async def rerank(body: RerankRequest, request: Request) -> Response:
        """How well documents answer a query, the best first."""
        service = services.named(body.model, _ranks)
        service.warn_unknown(request.url.path, body)
        documents = [each if isinstance(each, str) else each.text for each in body.documents]
        prompts = [_judging(service.model.tokenizer, body, text) for text in documents]
        scores = await _ranked(service, prompts, request)
        order = sorted(range(len(documents)), key=lambda index: -scores[index])[: body.top_n]
        results = [
            {
                "index": index,
                "relevance_score": scores[index],
                **({"document": {"text": documents[index]}} if body.return_documents else {}),
            }
            for index in order
        ]
        tokens = sum(map(len, prompts))
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        id = openai.new_id("rerank-")
        return JsonResponse({"id": id, "model": service.model.name, "results": results, "usage": usage})

    @router.post("/api/embed", response_model=None, tags=["Ollama"])
    async def embed(body: OllamaEmbedRequest, request: Request) -> Response:
        """Texts as vectors."""
        service = services.named(body.model, _embeds)
        begun = time.monotonic()
        texts = _texts(body.input, service.model.tokenizer)
        if body.truncate is not False:
            texts = [text[: service.model.context] for text in texts]
        vectors = _cut(await _embedded(service, texts, request), body.dimensions)
        return JsonResponse(
            {
                "model": service.model.name,
                "embeddings": [vector.tolist() for vector in vectors],
                "total_duration": int(1e9 * (time.monotonic() - begun)),
                "load_duration": 0,
                "prompt_eval_count": sum(map(len, texts)),
            }
        )

    @router.post("/api/embeddings", response_model=None, tags=["Ollama"])
    async def embedding(body: OllamaEmbeddingRequest, request: Request) -> Response:
        """One text as a vector."""
        service = services.named(body.model, _embeds)
        (vector,) = await _embedded(service, _texts(body.prompt, service.model.tokenizer), request)
        return JsonResponse({"embedding": vector.tolist()})

    return router


def _embeds(model: Model) -> bool:
    return model.embeds


def _ranks(model: Model) -> bool:
    return model.ranks


def _texts(given: Texts, tokenizer: Tokenizer) -> list[list[int]]:
    """The tokens of every text. Raises ApiError."""
    if isinstance(given, str):
        texts: list[Any] = [given]
    elif given and isinstance(given[0], int):
        texts = [given]
    else:
        texts = list(given)
    if not texts or len(texts) > _MOST_TEXTS:
        raise bad_request(f"input: give from 1 to {_MOST_TEXTS} texts", "input")
    ids = [tokenizer.encode_whole(text) if isinstance(text, str) else list(text) for text in texts]
    if (empty := next((index for index, each in enumerate(ids) if not each), None)) is not None:
        raise bad_request(f"input[{empty}]: an empty text has no embedding", "input")
    return ids


async def _embedded(service: Service, texts: Sequence[Sequence[int]], request: Request) -> list[F32]:
    def work(gone: threading.Event) -> list[F32]:
        vectors = (service.engine.embed(text, gone.is_set) for text in texts)
        return [vector for vector in vectors if vector is not None]

    return await _while_connected(work, request)


async def _ranked(service: Service, prompts: Sequence[Sequence[int]], request: Request) -> list[float]:
    """Between 0 and 1: the share of "yes" in what the model says of yes and no. Raises ApiError."""
    model = service.model
    if not model.ranks:
        raise bad_request(
            "this model is not made to rank documents: serve one that is, such as Qwen3-Reranker", "model"
        )
    choices = [model.tokenizer.encode(word, special=False)[0] for word in ("yes", "no")]

    def work(gone: threading.Event) -> list[float]:
        found = []
        for prompt in prompts:
            if pair := service.engine.choice_logprobs(prompt, choices, gone.is_set):
                yes, no = np.exp(np.asarray(pair, np.float64) - max(pair))
                found.append(float(yes / (yes + no)))
        return found

    return await _while_connected(work, request)


async def _while_connected(work: Callable[[threading.Event], T], request: Request) -> T:
    """What `work` comes to on a thread; it is told when the client has gone. Raises ApiError then."""
    gone = threading.Event()
    watching = asyncio.create_task(disconnected(request.receive))
    working = asyncio.create_task(asyncio.to_thread(work, gone))
    try:
        await asyncio.wait((watching, working), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ApiError(CLIENT_GONE, "the client went away")
        return await working
    finally:
        gone.set()
        watching.cancel()
        await asyncio.gather(watching, working, return_exceptions=True)


def _judging(tokenizer: Tokenizer, body: RerankRequest, document: str) -> list[int]:
    asked = f"<Instruct>: {body.instruction or _INSTRUCTION}\n<Query>: {body.query}\n<Document>: {document}"
    return [*tokenizer.encode(_JUDGE), *tokenizer.encode(asked, special=False), *tokenizer.encode(_ANSWER)]


def _cut(vectors: list[F32], dimensions: int | None) -> list[F32]:
    """The first numbers of each, scaled to length 1 again: models trained so (Matryoshka) allow it. Raises ApiError."""
    if dimensions is None:
        return vectors
    if dimensions > len(vectors[0]):
        raise bad_request(f"dimensions: this model has {len(vectors[0])}", "dimensions")
    shorter = [vector[:dimensions] for vector in vectors]
    return [np.asarray(vector / (np.linalg.norm(vector) or 1.0), np.float32) for vector in shorter]


def _base64(vector: F32) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
