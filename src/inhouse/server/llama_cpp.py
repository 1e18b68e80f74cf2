"""llama.cpp's own `/completion` and `/infill`, which editors' plug-ins call. Translates requests, and answers back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from inhouse.client.llama_cpp_types import InfillRequest, NativeFields, NativeRequest
from inhouse.engine import Chunk, Completion, SamplingParams, TokenLogprob, Usage
from inhouse.engine.constraints import Constraint
from inhouse.engine.events import Waiting
from inhouse.engine.gbnf import lark_of_gbnf
from inhouse.server import openai
from inhouse.server.answers import Continuation
from inhouse.server.errors import ApiError, bad_request
from inhouse.server.infill import gap_within
from inhouse.server.sampling import sampling_params
from inhouse.server.service import Service, Services, priority
from inhouse.server.stopwatch import Stopwatch
from inhouse.server.wire import sse
from inhouse.tokenizer import Tokenizer

_STOP_TYPES = {"length": "limit", "repetition": "limit"}
_GAP_TOKENS = 128  # of what is missing, where a client does not say


def routes(services: Services) -> APIRouter:
    router = APIRouter(tags=["llama.cpp"])

    async def respond(
        service: Service, request: Request, body: NativeFields, prompt: str | list[int], params: SamplingParams
    ) -> Response:
        work = Continuation(prompt, params, priority(request), _constraint(body))
        watch = Stopwatch()
        encoder = NativeEncoder(service, body, prompt, watch)
        return await service.respond(request, [work], encoder, stream=bool(body.stream), watch=watch.note)

    @router.post("/completion", response_model=None)
    async def completion(body: NativeRequest, request: Request) -> Response:
        """The continuation of a text."""
        service = services.named(body.model)
        service.warn_unknown(request.url.path, body)
        prompt = _prompt(body, service.model.tokenizer)
        return await respond(service, request, body, prompt, _params(body, body.n_predict))

    @router.post("/infill", response_model=None)
    async def infill(body: InfillRequest, request: Request) -> Response:
        """What is missing between two texts."""
        service = services.named(body.model, lambda model: model.fills_gaps)
        service.warn_unknown(request.url.path, body)
        tokens = _GAP_TOKENS if body.n_predict is None else body.n_predict
        files = [(extra.filename, extra.text) for extra in body.input_extra or ()]
        most = max(1, service.model.context - tokens)
        prompt = gap_within(
            body.input_prefix, body.input_suffix, service.model.tokenizer, most, begun=body.prompt, files=files
        )
        return await respond(service, request, body, prompt, _params(body, tokens))

    return router


def _prompt(body: NativeRequest, tokenizer: Tokenizer) -> str | list[int]:
    """A text, tokens, or pieces of both. Raises ApiError."""
    if isinstance(body.prompt, str):
        return body.prompt
    ids: list[int] = []
    for piece in body.prompt:
        if isinstance(piece, list):
            raise bad_request("prompt: give one prompt to a request, not several", "prompt")
        ids += [piece] if isinstance(piece, int) else tokenizer.encode(piece)
    if not ids:
        raise bad_request("prompt: give at least one token", "prompt")
    return ids


def _params(body: NativeFields, tokens: int | None) -> SamplingParams:
    given = body.model_dump(include=set(openai.SAMPLING)) | {
        "stop": openai.stops(body.stop),
        "max_tokens": tokens or None,
        "repetition_penalty": body.repeat_penalty or body.repetition_penalty,
        "seed": None if body.seed == -1 else body.seed,
        "logprobs": body.n_probs or None,
    }
    return sampling_params(given, {})


def _constraint(body: NativeFields) -> Constraint:
    """Raises ParameterError, also where both are given."""
    return Constraint(json_schema=body.json_schema, grammar=lark_of_gbnf(body.grammar) if body.grammar else None)


class NativeEncoder:
    """An answer in llama.cpp's shape."""

    def __init__(self, service: Service, body: NativeFields, prompt: str | Sequence[int], watch: Stopwatch) -> None:
        self._model = service.model
        self._prompt = prompt
        self._watch = watch
        self._tokens = bool(body.return_tokens)
        self._probabilities = bool(body.n_probs)
        self._predicted = 0
        self._text: list[str] = []

    def whole(self, completions: Sequence[Completion]) -> dict[str, Any]:
        (one,) = completions
        last = self._last(one.text, one.finish_reason, one.usage, one.stop)
        last["tokens"] = list(one.token_ids) if self._tokens else []
        return {**last, **self._scores(one.logprobs)}

    def begin(self) -> Iterator[bytes]:
        return iter(())

    def chunk(self, index: int, chunk: Chunk) -> Iterator[bytes]:
        self._predicted += len(chunk.token_ids)
        self._text.append(chunk.text)
        if chunk.text or chunk.logprobs:
            piece = {"index": 0, "content": chunk.text, "tokens": list(chunk.token_ids), "stop": False, "id_slot": 0,
                     "tokens_predicted": self._predicted}  # fmt: skip
            yield sse({**piece, **self._scores(chunk.logprobs)})
        if chunk.finish_reason is not None:
            yield sse({**self._last("", chunk.finish_reason, chunk.usage or Usage(), chunk.stop), "tokens": []})

    def alive(self, waiting: Waiting | None) -> bytes:
        return openai.alive(waiting)

    def end(self) -> Iterator[bytes]:
        return iter(())

    def failed(self, error: ApiError) -> Iterator[bytes]:
        yield openai.error_event(error)

    def _last(self, text: str, reason: str, usage: Usage, stop: str | None) -> dict[str, Any]:
        written = text or "".join(self._text)
        prompt = self._prompt if isinstance(self._prompt, str) else self._model.tokenizer.decode(self._prompt)
        return {
            "index": 0,
            "content": text,
            "id_slot": 0,
            "stop": True,
            "model": self._model.name,
            "prompt": prompt,
            "tokens_predicted": usage.completion_tokens,
            "tokens_evaluated": usage.prompt_tokens,
            "tokens_cached": usage.cached_tokens,
            "has_new_line": "\n" in written,
            "truncated": False,
            "stop_type": "word" if stop else _STOP_TYPES.get(reason, "eos"),
            "stopping_word": stop or "",
            "timings": self._watch.timings(usage),
        }

    def _scores(self, entries: Sequence[TokenLogprob]) -> dict[str, Any]:
        if not self._probabilities or not entries:
            return {}
        shown = openai.logprobs(entries, self._model.tokenizer)
        ids = zip(shown, entries, strict=True)
        return {"completion_probabilities": [{"id": entry.id, **one} for one, entry in ids]}
