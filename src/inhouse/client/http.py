"""A client of any server that speaks OpenAI's chat completions over HTTP. Knows no particular server.

Answers stream. What fails before the first piece of an answer is tried again, with growing pauses; what fails later is
an error, since half an answer is no answer. A cancelled answer ends at once, also while the server still reads the
prompt: lines come through a queue, and the socket is shut down.
"""

from __future__ import annotations

import contextlib
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2

from inhouse.client.shape import message_json, tool_json
from inhouse.client.types import ChatRequest, Delta, FinishReason, Sampling, ToolCall, Usage
from inhouse.errors import ContextLengthError, InhouseError, ParameterError, PeerError

_TRIES = 5
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REFUSED = frozenset({400, 422})
_LONGEST_PAUSE = 60.0
_SILENCE = 900.0  # seconds without a byte: a long prompt on a small machine
_LOOK = 0.05
_END = object()
_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls",
    "repetition": "repetition",
}  # fmt: skip


class HttpClient:
    """Answers conversations with `model` at `url` (which ends in /v1, usually).

    `template_flags` are switches of the model's chat template, for servers that pass them on. `pause` waits (tests).
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str = "",
        template_flags: Mapping[str, Any] | None = None,
        transport: httpx2.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = httpx2.Timeout(10.0, read=_SILENCE)
        limits = httpx2.Limits(max_keepalive_connections=0)  # each answer its own connection, which it alone may end
        self._url = _checked(url)
        self._http = httpx2.Client(
            headers=headers, timeout=timeout, limits=limits, transport=transport, trust_env=False
        )
        self._model = model
        self._flags = dict(template_flags or {})
        self._pause = pause
        self._grammars = True  # whether the server takes them, as far as is known

    def stream(self, request: ChatRequest) -> Iterator[Delta]:
        """The answer as it comes; servers that know no grammars are asked without.

        Raises PeerError, and ContextLengthError where the server says that it is that.
        """
        try:
            yield from self._tries(request)
        except _NoGrammarsError:
            self._grammars = False
            yield from self._tries(request)

    def _tries(self, request: ChatRequest) -> Iterator[Delta]:
        for attempt in range(_TRIES):
            begun = False
            try:
                for delta in self._answer(request):
                    begun = True
                    yield delta
                return
            except _TryAgainError as error:
                if begun or attempt == _TRIES - 1:
                    raise PeerError(f"{self._url}: {error}; see that the server runs, then go on") from None
                self._pause(min(_LONGEST_PAUSE, error.after if error.after is not None else 0.5 * 2**attempt))
            if request.cancelled is not None and request.cancelled():
                yield Delta(finish="cancelled", usage=Usage())
                return

    def count_tokens(self, text: str) -> int:
        """An estimate, on the safe side: the server alone knows its tokenizer."""
        return (len(text.encode("utf-8", errors="replace")) * 2 + 6) // 7

    @property
    def scorer(self) -> None:
        """Given answers are not scored."""

    def context(self) -> int | None:
        """The model's context in tokens, where the server tells. Raises PeerError when it cannot be reached."""
        try:
            reply = self._http.get(f"{self._url}/models")
            models = reply.json()["data"] if reply.is_success else []
        except httpx2.HTTPError as error:
            raise PeerError(
                f"{self._url}: {str(error) or type(error).__name__}; see that the server runs there"
            ) from None
        except (ValueError, KeyError, TypeError):
            return None
        models = [model for model in models if isinstance(model, dict)] if isinstance(models, list) else []
        named = [model for model in models if model.get("id") == self._model] or models[:1]
        for model in named:
            for name in ("max_model_len", "context_length", "context_window", "n_ctx"):
                if isinstance(model.get(name), int):
                    return int(model[name])
        return None

    def close(self) -> None:
        self._http.close()

    def _answer(self, request: ChatRequest) -> Iterator[Delta]:
        partial = _Partial(earlier=sum(len(message.tool_calls) for message in request.messages))
        with self._lines(self._body(request), request.cancelled or (lambda: False)) as lines:
            for line in lines:
                if line is None:
                    yield Delta(finish="cancelled", usage=partial.usage)
                    return
                if not line.startswith("data:"):
                    continue
                data = line[5:].strip()
                if data == "[DONE]":
                    break
                try:
                    delta = partial.take(self._event(data))
                except (AttributeError, IndexError, KeyError, TypeError):
                    raise self._strange(data) from None
                if delta is not None:
                    yield delta
        if not partial.complete:
            raise _TryAgainError("the answer broke off")
        yield partial.last()

    def _strange(self, data: str) -> PeerError:
        return PeerError(f"{self._url}: not a server of this kind: it sent {_cut(data)}; check the URL")

    def _event(self, data: str) -> Mapping[str, Any]:
        try:
            event = json.loads(data)
        except ValueError:
            raise self._strange(data) from None
        if isinstance(event, dict) and event.get("error"):
            raise self._error(0, json.dumps(event["error"]))
        return event if isinstance(event, dict) else {}

    @contextlib.contextmanager
    def _lines(self, body: Mapping[str, Any], cancelled: Callable[[], bool]) -> Iterator[Iterator[str | None]]:
        """The lines of the response as they come; None when it was cancelled."""
        arrived: queue.Queue[Any] = queue.Queue()
        connection = _Connection()

        def pump() -> None:
            try:
                with self._http.stream(
                    "POST", f"{self._url}/chat/completions", json=body, extensions={"trace": connection.watch}
                ) as response:
                    if not response.is_success:
                        arrived.put(self._failure(response))
                        return
                    if response.headers.get("content-type", "").startswith("text/html"):
                        said = "it answers with a web page, not as an API; check the URL, which usually ends in /v1"
                        arrived.put(PeerError(f"{self._url}: {said}"))
                        return
                    for line in response.iter_lines():
                        arrived.put(line)
                        if connection.ended:
                            return
                arrived.put(_END)
            except httpx2.HTTPError as error:
                arrived.put(_TryAgainError(str(error) or type(error).__name__))
            except Exception as error:  # whatever it is, the reader must hear of it
                arrived.put(PeerError(f"{self._url}: {error!r}; check the URL"))

        thread = threading.Thread(target=pump, name="answer", daemon=True)
        thread.start()
        try:
            yield _take(arrived, cancelled)
        finally:
            connection.end()

    def _failure(self, response: httpx2.Response) -> Exception:
        text = response.read().decode("utf-8", errors="replace")
        if response.status_code in _AGAIN:
            after = response.headers.get("retry-after", "")
            seconds = float(after) if after.replace(".", "", 1).isdigit() else None
            return _TryAgainError(f"HTTP {response.status_code}: {_short(text)}", seconds)
        if response.status_code in _REFUSED and "response_format" in text and self._grammars:
            return _NoGrammarsError()
        return self._error(response.status_code, text)

    def _error(self, status: int, text: str) -> InhouseError:
        said = _short(text)
        words = said.lower()
        too_long = "prompt is too long" in words or ("context" in words and ("length" in words or "exceed" in words))
        if status in (0, 400, 413, 422) and too_long:
            return ContextLengthError(f"{self._url}: {said}")
        remedy = {
            401: "give a key in INHOUSE_API_KEY",
            403: "give a key that may do this",
            404: "check the URL and the model's name",
        }.get(status, "check the request's options" if status else "try again")
        return PeerError(f"{self._url}: {f'HTTP {status}: ' if status else ''}{said}; {remedy}")

    def _body(self, request: ChatRequest) -> dict[str, Any]:
        messages = [message_json(message) for message in request.messages]
        body: dict[str, Any] = {
            "model": self._model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **_sampling(request.sampling),
        }
        if request.tools:
            body["tools"] = [tool_json(tool) for tool in request.tools]
        if request.prefill:
            messages.append({"role": "assistant", "content": request.prefill})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if request.grammar is not None and self._grammars:
            body["response_format"] = {"type": "grammar", "grammar": request.grammar}
        if request.thinking_budget is not None:
            body["reasoning_budget"] = request.thinking_budget
        if self._flags:
            body["chat_template_kwargs"] = self._flags
        return body


class _Connection:
    """What one request goes over, known as soon as it is made: to be ended long before anything has come back."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self.ended = False

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by the HTTP library with all that it does."""
        if event not in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            return
        if (own := info["return_value"].get_extra_info("socket")) is not None:
            with self._lock:
                self._sockets.append(own)
                if self.ended:
                    _shut(own)

    def end(self) -> None:
        """Shuts it down, or as soon as it is there. May be called from another thread than the one that waits."""
        with self._lock:
            self.ended = True
            for own in self._sockets:
                _shut(own)


def _shut(own: socket.socket) -> None:
    with contextlib.suppress(OSError):
        own.shutdown(socket.SHUT_RDWR)


class _TryAgainError(Exception):
    """Something that may go better the next time; `after` so many seconds, where the server says."""

    def __init__(self, said: str, after: float | None = None) -> None:
        super().__init__(said)
        self.after = after


class _NoGrammarsError(Exception):
    """The server knows no such `response_format`."""


@dataclass
class _Partial:
    """An answer's calls and end as they come together from its pieces."""

    earlier: int
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    finish: FinishReason | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def complete(self) -> bool:
        return self.finish is not None

    def take(self, event: Mapping[str, Any]) -> Delta | None:
        """What of an event can be passed on at once."""
        if usage := event.get("usage"):
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            self.usage = Usage(usage.get("prompt_tokens") or 0, cached, usage.get("completion_tokens") or 0)
        choices = event.get("choices") or [{}]
        delta = choices[0].get("delta") or {}
        true = choices[0].get("inhouse") or {}  # our own server's
        if reason := true.get("finish_reason") or choices[0].get("finish_reason"):
            self.finish = _FINISH.get(reason, "stop")
        for call in delta.get("tool_calls") or ():
            known = self.calls.setdefault(call.get("index", len(self.calls)), {"id": "", "name": "", "arguments": ""})
            function = call.get("function") or {}
            known["id"] = call.get("id") or known["id"]
            known["name"] += function.get("name") or ""
            known["arguments"] += function.get("arguments") or ""
        content, reasoning = delta.get("content") or "", delta.get("reasoning_content") or delta.get("reasoning") or ""
        return Delta(content, reasoning if isinstance(reasoning, str) else "") if content or reasoning else None

    def last(self) -> Delta:
        """The end, with all calls; of an answer that was cut off, those that are whole."""
        calls = [
            ToolCall(call["id"] or f"call_{self.earlier + number}", call["name"], call["arguments"])
            for number, (_, call) in enumerate(sorted(self.calls.items()))
        ]
        cut = self.finish in ("length", "repetition")
        if cut and calls and not _is_json(calls[-1].arguments):
            calls.pop()
        finish: FinishReason | None = "tool_calls" if calls and not cut else self.finish
        return Delta(tool_calls=tuple(calls), finish=finish, usage=self.usage)


def _take(arrived: queue.Queue[Any], cancelled: Callable[[], bool]) -> Iterator[str | None]:
    while True:
        if cancelled():
            yield None
            return
        try:
            item = arrived.get(timeout=_LOOK)
        except queue.Empty:
            continue
        if item is _END:
            return
        if isinstance(item, Exception):
            raise item
        yield item


def _sampling(sampling: Sampling) -> dict[str, Any]:
    """The fields of the request; what only some servers know is sent only where it says something."""
    default = Sampling()
    body: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    for name in ("top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty", "seed", "max_tokens"):
        if getattr(sampling, name) != getattr(default, name):
            body[name] = getattr(sampling, name)
    return {**body, "stop": list(sampling.stop)} if sampling.stop else body


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _short(text: str) -> str:
    """What an error says: {"error": {"message": …}}, {"error": …}, {"message": …}, {"detail": [{"msg": …}]} or text.

    What has none of these shapes is not repeated: it may hold the request.
    """
    try:
        said = json.loads(text)
    except ValueError:
        page = text.lstrip()[:1] == "<"
        return "it answers with a web page, not as an API" if page else _cut(text) if text.strip() else "no explanation"
    for name in ("error", "message", "detail"):
        said = (said.get(name) or said) if isinstance(said, dict) else said
    if isinstance(said, list):
        said = "; ".join(words for one in said if (words := _complaint(one)))
    return " ".join(said.split())[:300] if isinstance(said, str) and said.strip() else "no explanation"


def _complaint(one: Any) -> str:
    """One of several things that are wrong with a request, without the value that it quotes."""
    if isinstance(one, dict) and isinstance(one.get("msg"), str):
        return f"{'.'.join(map(str, one.get('loc') or ()))}: {one['msg']}"
    return one if isinstance(one, str) else ""


def _cut(text: str) -> str:
    """The beginning of what a server sent."""
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:200]}..."


def _checked(url: str) -> str:
    """A server's address without the last slash. Raises ParameterError where it is none."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        why = "" if right else "it needs http:// or https://, a host, and a port from 1 to 65535 if any"
    except ValueError as error:  # of the port, or of brackets
        why = str(error)
    if why:
        raise ParameterError(f"URL {url!r}: {why}; give one such as http://127.0.0.1:8000/v1")
    return url.rstrip("/")
