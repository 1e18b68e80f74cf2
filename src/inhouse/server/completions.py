"""`/v1/completions`: OpenAI's continuation of a text, and of a gap between two (`suffix`)."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inhouse.client.openai_types import CompletionRequest
from inhouse.engine import Chunk, Completion, SamplingParams, TokenLogprob, Usage
from inhouse.engine.events import Waiting
from inhouse.errors import ParameterError
from inhouse.server import openai
from inhouse.server.answers import Continuation
from inhouse.server.errors import ApiError, bad_request
from inhouse.server.infill import gap
from inhouse.server.sampling import sampling_params
from inhouse.server.service import Service, Services, priority
from inhouse.server.stopwatch import Stopwatch
from inhouse.server.structured_outputs import constraint_of
from inhouse.server.wire import JsonResponse, sse
from inhouse.tokenizer import Tokenizer

_DEFAULT_TOKENS = 16  # of an answer, as OpenAI's API has it
_MOST_PROMPTS = 64

Prompt = str | list[int]


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["OpenAI"])

    @router.post("/v1/completions", response_model=None)
    async def completions(body: CompletionRequest, request: Request) -> Response:
        """The continuation of a text."""
        service = services.named(body.model)
        service.warn_unknown(request.url.path, body)
        prompts = _prompts(body, service.model.tokenizer)
        work = _work(service, body, prompts, request)
        watch = Stopwatch()
        encoder = TextEncoder(service, body, prompts, await _echoed(service, body, prompts), watch)
        if body.max_tokens == 0:
            return JsonResponse(encoder.nothing())
        return await service.respond(request, work, encoder, stream=bool(body.stream), watch=watch.note)

    return router


def _prompts(body: CompletionRequest, tokenizer: Tokenizer) -> list[Prompt]:
    """What is to be continued. Raises ApiError."""
    given: list[Prompt] = [body.prompt] if isinstance(body.prompt, str) else []
    if isinstance(body.prompt, list):
        ids = [item for item in body.prompt if isinstance(item, int)]
        given = [ids] if ids else [item for item in body.prompt if not isinstance(item, int)]
    if not given or len(given) > _MOST_PROMPTS:
        raise bad_request(f"prompt: give from 1 to {_MOST_PROMPTS} texts", "prompt")
    if body.suffix is None:
        return given
    texts = [prompt if isinstance(prompt, str) else tokenizer.decode(prompt) for prompt in given]
    try:
        return [gap(text, body.suffix, tokenizer) for text in texts]
    except ParameterError as error:
        raise bad_request(f"suffix: {error}", "suffix") from error


def _work(service: Service, body: CompletionRequest, prompts: list[Prompt], request: Request) -> list[Continuation]:
    """`n` answers to each prompt. Raises ApiError, ParameterError."""
    answers = body.n or 1
    if body.best_of not in (None, answers):
        raise bad_request("best_of: give the same number as n; all answers are returned", "best_of")
    given = body.model_dump(include=set(openai.SAMPLING)) | {
        "stop": openai.stops(body.stop),
        "max_tokens": _DEFAULT_TOKENS if body.max_tokens is None else body.max_tokens or None,
        "logprobs": body.logprobs,
    }
    params = sampling_params(given, {})
    urgency, shape = priority(request), constraint_of(body)
    return [
        Continuation(prompt, _seeded(params, index), urgency, shape) for prompt in prompts for index in range(answers)
    ]


async def _echoed(service: Service, body: CompletionRequest, prompts: list[Prompt]) -> list[list[TokenLogprob]]:
    """How likely each token of the prompts is, where that is asked for; of the first token nothing can be said."""
    if not body.echo or body.logprobs is None or body.suffix is not None:
        return [[] for _ in prompts]
    gone = threading.Event()
    try:
        found = []
        for prompt in prompts:
            ids = service.model.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
            rest = await asyncio.to_thread(service.engine.prompt_logprobs, ids, body.logprobs, gone.is_set)
            found.append([TokenLogprob(ids[0], math.nan), *rest])
        return found
    finally:
        gone.set()  # of a client that has gone, nobody needs the rest


def _seeded(params: SamplingParams, index: int) -> SamplingParams:
    return params if params.seed is None else replace(params, seed=(params.seed + index) % (1 << 64))


class TextEncoder:
    """Answers as text completions."""

    def __init__(
        self,
        service: Service,
        body: CompletionRequest,
        prompts: Sequence[Prompt],
        echoed: Sequence[Sequence[TokenLogprob]],
        watch: Stopwatch,
    ) -> None:
        self._watch = watch
        self._tokenizer = service.model.tokenizer
        self._head = {
            "id": openai.new_id("cmpl-"),
            "object": "text_completion",
            "created": int(time.time()),
            "model": service.model.name,
            "system_fingerprint": openai.FINGERPRINT,
        }
        self._answers = body.n or 1
        self._echo = [self._text(prompt) if body.echo and body.suffix is None else "" for prompt in prompts]
        self._usage = bool(body.stream_options and body.stream_options.include_usage)
        self._spent: dict[int, Usage] = {}
        self._echoed = echoed
        self._offsets = [0] * (len(prompts) * self._answers)

    def _text(self, prompt: Prompt) -> str:
        return prompt if isinstance(prompt, str) else self._tokenizer.decode(prompt)

    def nothing(self) -> dict[str, Any]:
        """The answer to who asks for no tokens."""
        texts = [text for text in self._echo for _ in range(self._answers)]
        choices = [
            self._choice(index, text, "length", self._logprobs(index, self._prompt(index)))
            for index, text in enumerate(texts)
        ]
        return {**self._head, "choices": choices, "usage": openai.usage([], 0)}

    def whole(self, completions: Sequence[Completion]) -> dict[str, Any]:
        choices = [
            self._choice(
                index,
                self._prefix(index) + one.text,
                one.finish_reason,
                self._logprobs(index, [*self._prompt(index), *one.logprobs]),
            )
            for index, one in enumerate(completions)
        ]
        return {**self._head, "choices": choices, **self._told([one.usage for one in completions])}

    def begin(self) -> Iterator[bytes]:
        for index in range(len(self._offsets)):
            if text := self._prefix(index):
                yield self._event(index, text, None, self._logprobs(index, self._prompt(index)))

    def chunk(self, index: int, chunk: Chunk) -> Iterator[bytes]:
        logprobs = self._logprobs(index, chunk.logprobs)
        if chunk.text or logprobs:
            yield self._event(index, chunk.text, None, logprobs)
        if chunk.finish_reason is not None:
            self._spent[index] = spent = chunk.usage or Usage()
            yield self._event(index, "", chunk.finish_reason, inhouse=openai.inhouse(spent))

    def alive(self, waiting: Waiting | None) -> bytes:
        return openai.alive(waiting)

    def end(self) -> Iterator[bytes]:
        if self._usage:
            spent = [self._spent[index] for index in sorted(self._spent)]
            yield sse({**self._head, "choices": [], **self._told(spent)})
        yield openai.DONE

    def failed(self, error: ApiError) -> Iterator[bytes]:
        yield openai.error_event(error)

    def _prefix(self, index: int) -> str:
        return self._echo[index // self._answers]

    def _prompt(self, index: int) -> Sequence[TokenLogprob]:
        return self._echoed[index // self._answers]

    def _told(self, spent: Sequence[Usage]) -> dict[str, Any]:
        return {"usage": self._total(spent), "timings": self._watch.timings(openai.total(spent))}

    def _total(self, spent: Sequence[Usage]) -> dict[str, Any]:
        """Every prompt counts once, however many answers it has."""
        each = [openai.usage(spent[at : at + self._answers], 0) for at in range(0, len(spent), self._answers)]
        out = openai.usage([], 0)
        for one in each:
            for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
                out[name] += one[name]
            out["prompt_tokens_details"]["cached_tokens"] += one["prompt_tokens_details"]["cached_tokens"]
        return out

    def _logprobs(self, index: int, entries: Sequence[TokenLogprob]) -> dict[str, Any] | None:
        if not entries:
            return None
        shown = openai.logprobs(entries, self._tokenizer)
        offsets = []
        for entry in shown:
            offsets.append(self._offsets[index])
            self._offsets[index] += len(entry["token"])
        return {
            "tokens": [entry["token"] for entry in shown],
            "token_logprobs": [None if math.isnan(entry.logprob) else entry.logprob for entry in entries],
            "top_logprobs": [
                None
                if math.isnan(entry.logprob)
                else {rival["token"]: rival["logprob"] for rival in one["top_logprobs"]}
                for entry, one in zip(entries, shown, strict=True)
            ],
            "text_offset": offsets,
        }

    def _choice(self, index: int, text: str, finish: str | None, logprobs: Any) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": logprobs, **openai.ending(finish)}

    def _event(self, index: int, text: str, finish: str | None = None, logprobs: Any = None, **more: Any) -> bytes:
        usage = {"usage": None} if self._usage else {}
        return sse({**self._head, "choices": [self._choice(index, text, finish, logprobs)], **usage, **more})
