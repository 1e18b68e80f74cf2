"""Answers as OpenAI's responses API shows them: a list of items, whole or as it grows."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from inhouse.client.responses_types import ResponsesRequest
from inhouse.engine import CallDelta, Chunk, Completion, ToolCall, Usage
from inhouse.engine.events import Waiting
from inhouse.server import openai, response_tools
from inhouse.server.conversation import Message
from inhouse.server.errors import ApiError
from inhouse.server.service import Service
from inhouse.server.wire import sse

Keep = Callable[[dict[str, Any], Message], None]

# Kinds of items that grow: the type of an item, of its one part, and of the events about it.
_GROWING = {
    "reasoning": ("reasoning_text", "response.reasoning_text"),
    "message": ("output_text", "response.output_text"),
}
# Kinds of calls whose input grows: the field that holds it, and the events about it.
_CALLS = {
    "function_call": ("arguments", "response.function_call_arguments"),
    "custom_tool_call": ("input", "response.custom_tool_call_input"),
}


class ResponseEncoder:
    """One answer as a response. `keep` gets it, and what the model said, when it is whole."""

    def __init__(self, service: Service, body: ResponsesRequest, keep: Keep) -> None:
        self._keep = keep
        self._kinds = response_tools.kinds(body.tools or ())
        self._tokenizer = service.model.tokenizer
        self._number = 0
        self._text = ""  # of the item that is open
        self._open = ""  # its type
        self._written: str | None = None  # arguments of the call that is being written
        self._reasoning = openai.ReasoningCount()
        self._said: Message = {"role": "assistant", "content": ""}
        self._items: list[dict[str, Any]] = []
        self._response: dict[str, Any] = {
            "id": openai.new_id("resp_"),
            "object": "response",
            "created_at": int(time.time()),
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": service.model.name,
            "output": self._items,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
            "store": body.store is not False,
            "temperature": body.temperature,
            "text": _format(body),
            "tool_choice": body.wire().get("tool_choice", "auto"),
            "tools": body.wire().get("tools") or [],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None,
            "metadata": body.metadata or {},
        }

    def whole(self, completions: Sequence[Completion]) -> dict[str, Any]:
        (answer,) = completions
        self._reasoning.tokens = openai.reasoning_tokens(completions, self._tokenizer)
        chunk = Chunk(answer.text, answer.reasoning, answer.tool_calls, (), (), answer.finish_reason, answer.usage)
        for _ in self.chunk(0, chunk):  # an answer in one piece
            pass
        return self._response

    def begin(self) -> Iterator[bytes]:
        yield self._event("response.created", response=self._response)
        yield self._event("response.in_progress", response=self._response)

    def chunk(self, index: int, chunk: Chunk) -> Iterator[bytes]:
        self._reasoning.note(chunk)
        if chunk.reasoning:
            yield from self._grow("reasoning", chunk.reasoning)
        if chunk.text:
            yield from self._grow("message", chunk.text)
        whole = {call.id: call for call in chunk.tool_calls}
        for piece in chunk.deltas:
            yield from self._call(piece, whole.get(piece.id))
        if chunk.finish_reason is not None:
            yield from self._close()
            yield self._finish(chunk.finish_reason, chunk.usage or Usage())

    def alive(self, waiting: Waiting | None) -> bytes:
        return openai.alive(waiting)

    def end(self) -> Iterator[bytes]:
        return iter(())

    def failed(self, error: ApiError) -> Iterator[bytes]:
        told = {"code": error.code or "server_error", "message": error.message}
        yield self._event("response.failed", response={**self._response, "status": "failed", "error": told})

    def _finish(self, reason: str, spent: Usage) -> bytes:
        """The last event. The response is complete, or not if it ran out of tokens or went round in circles."""
        used = openai.usage([spent], self._reasoning.tokens)
        complete = reason not in ("length", "repetition")
        self._response["status"] = "completed" if complete else "incomplete"
        if not complete:
            self._response["incomplete_details"] = {"reason": "max_output_tokens"}
        if reason == "repetition":
            self._response["inhouse"] = {"finish_reason": reason}
        self._response["usage"] = {
            "input_tokens": used["prompt_tokens"],
            "input_tokens_details": {**used["prompt_tokens_details"], "cache_write_tokens": 0},
            "output_tokens": used["completion_tokens"],
            "output_tokens_details": used["completion_tokens_details"],
            "total_tokens": used["total_tokens"],
        }
        self._keep(self._response, self._said)
        return self._event("response.completed" if complete else "response.incomplete", response=self._response)

    def _grow(self, kind: str, text: str) -> Iterator[bytes]:
        """`text` more of an item of this kind, which is begun if need be."""
        part, event = _GROWING[kind]
        if self._open != kind:
            yield from self._close()
            self._open, self._text = kind, ""
            yield self._added(self._item(kind, "in_progress"))
            yield self._event("response.content_part.added", **self._place(), part=_part(part, ""))
        self._text += text
        yield self._event(f"{event}.delta", **self._place(), delta=text)

    def _item(self, kind: str, status: str) -> dict[str, Any]:
        if kind == "reasoning":
            return {"id": openai.new_id("rs_"), "type": kind, "status": status, "summary": [], "content": []}
        return {"id": openai.new_id("msg_"), "type": kind, "status": status, "role": "assistant", "content": []}

    def _close(self) -> Iterator[bytes]:
        """The events that end the open item."""
        if not self._open:
            return
        part, event = _GROWING[self._open]
        done = _part(part, self._text)
        yield self._event(f"{event}.done", **self._place(), text=self._text)
        yield self._event("response.content_part.done", **self._place(), part=done)
        self._items[-1] |= {"status": "completed", "content": [done]}
        name = "content" if self._open == "message" else "reasoning_content"
        self._said[name] = self._said.get(name, "") + self._text
        self._open = ""
        yield self._done()

    def _call(self, piece: CallDelta, call: ToolCall | None) -> Iterator[bytes]:
        """A piece of a call, and the call once it is whole. Other calls than a function's are shown only then."""
        if self._written is None:
            yield from self._close()
            self._written = ""
            if self._is_function(piece):
                item = response_tools.item_of(_call_of(piece, ""), *self._kind(piece))
                yield self._added({**item, "status": "in_progress"})
        self._written += piece.arguments
        if self._is_function(piece):
            if piece.arguments:
                yield self._event(f"{_CALLS['function_call'][1]}.delta", **self._spot(), delta=piece.arguments)
            if piece.done:
                yield from self._called(piece, call, self._items[-1]["id"])
        elif piece.done:
            item = response_tools.item_of(call or _call_of(piece, self._written), *self._kind(piece))
            grows = _CALLS.get(item["type"])
            yield self._added({**item, "status": "in_progress", **({grows[0]: ""} if grows else {})})
            if grows:
                yield self._event(f"{grows[1]}.delta", **self._spot(), delta=item[grows[0]])
            yield from self._called(piece, call, item["id"])

    def _called(self, piece: CallDelta, call: ToolCall | None, id: str) -> Iterator[bytes]:
        """The events that end a call, whose item is the last; one that is cut off has the arguments that are whole."""
        call = call or _call_of(piece, self._written or "")
        self._written = None
        item = {**response_tools.item_of(call, *self._kind(piece)), "id": id, "status": "completed"}
        if grows := _CALLS.get(item["type"]):
            field, event = grows
            told = {"name": call.name} if field == "arguments" else {}
            yield self._event(f"{event}.done", **self._spot(), **told, **{field: item[field]})
        self._items[-1] |= item
        self._said["tool_calls"] = [*self._said.get("tool_calls", ()), openai.call_entry(call)]
        yield self._done()

    def _kind(self, piece: CallDelta) -> tuple[str, str]:
        return self._kinds.get(piece.name, ("function", ""))

    def _is_function(self, piece: CallDelta) -> bool:
        return self._kind(piece)[0] == "function"

    def _spot(self) -> dict[str, Any]:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1}

    def _added(self, item: dict[str, Any]) -> bytes:
        self._items.append(item)
        return self._event("response.output_item.added", output_index=len(self._items) - 1, item=item)

    def _done(self) -> bytes:
        return self._event("response.output_item.done", output_index=len(self._items) - 1, item=self._items[-1])

    def _place(self) -> dict[str, Any]:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1, "content_index": 0}

    def _event(self, kind: str, **fields: Any) -> bytes:
        number = self._number
        self._number += 1
        return sse({"type": kind, "sequence_number": number, **fields}, kind)


def _call_of(piece: CallDelta, arguments: str) -> ToolCall:
    return ToolCall(piece.id, piece.name, arguments)


def _format(body: ResponsesRequest) -> dict[str, Any]:
    """The shape that was asked for, as the API's clients know it: our own kinds are texts to them."""
    if body.text is None or (body.text.format is not None and body.text.format.type in ("regex", "grammar")):
        return {"format": {"type": "text"}}
    return body.text.wire()


def _part(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": text, **({"annotations": [], "logprobs": []} if kind == "output_text" else {})}
