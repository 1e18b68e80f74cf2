"""Answers as Anthropic's API shows them: blocks of thinking, text and tool use, whole or as events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from inhouse.engine import CallDelta, Chunk, Completion, ToolCall, Usage
from inhouse.engine.events import Progress, Waiting
from inhouse.server.errors import ApiError
from inhouse.server.openai import new_id, told
from inhouse.server.service import Service
from inhouse.server.wire import sse, sse_comment

_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "repetition": "max_tokens"}
_SIGNATURE = "inhouse"  # clients send thinking back with it; nothing here needs to be proved


class BlockEncoder:
    """One answer as a message of blocks."""

    def __init__(self, service: Service, model: str) -> None:
        self._id = new_id("msg_")
        self._model = model or service.model.name
        self._prompt = Usage()
        self._begun = False
        self._index = -1  # of the block that is open, or was last
        self._open = ""  # its type
        self._call_id = ""  # of the call in it

    def whole(self, completions: Sequence[Completion]) -> dict[str, Any]:
        (answer,) = completions
        content: list[dict[str, Any]] = []
        if answer.reasoning:
            content.append({"type": "thinking", "thinking": answer.reasoning, "signature": _SIGNATURE})
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        content += [{**_tool_use(call), "input": json.loads(call.arguments)} for call in answer.tool_calls]
        message = self._message(content, _usage(answer.usage))
        return {**message, **_ending(answer.finish_reason, answer.stop), **_truth(answer.finish_reason)}

    def _message(self, content: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage,
        }

    def begin(self) -> Iterator[bytes]:
        return iter(())  # the first event tells the length of the prompt, which is not yet known

    def chunk(self, index: int, chunk: Chunk) -> Iterator[bytes]:
        yield from self._start()
        if chunk.reasoning:
            yield from self._delta("thinking", {"thinking": ""}, "thinking_delta", chunk.reasoning)
        if chunk.text:
            yield from self._delta("text", {"text": ""}, "text_delta", chunk.text)
        for piece in chunk.deltas:
            yield from self._call(piece)
        if chunk.finish_reason is not None:
            yield from self._close()
            told = {"delta": _ending(chunk.finish_reason, chunk.stop), "usage": _usage(chunk.usage or Usage())}
            yield sse({"type": "message_delta", **told, **_truth(chunk.finish_reason)}, "message_delta")

    def alive(self, waiting: Waiting | None) -> bytes:
        if self._begun:
            return sse({"type": "ping"}, "ping")
        if not isinstance(waiting, Progress):
            return sse_comment(told(waiting))
        self._prompt = Usage(waiting.total, waiting.done)  # what is done at first was in the cache
        return b"".join(self._start()) + sse({"type": "ping", "inhouse": told(waiting)}, "ping")

    def end(self) -> Iterator[bytes]:
        yield sse({"type": "message_stop"}, "message_stop")

    def failed(self, error: ApiError) -> Iterator[bytes]:
        yield sse(error.body("anthropic"), "error")

    def _start(self) -> Iterator[bytes]:
        if not self._begun:
            self._begun = True
            message = self._message([], _usage(self._prompt))
            yield sse({"type": "message_start", "message": message}, "message_start")

    def _delta(self, kind: str, empty: dict[str, Any], delta: str, text: str) -> Iterator[bytes]:
        """`text` in a block of this kind, which is opened if need be."""
        if self._open != kind:
            yield from self._close()
            yield self._open_block({"type": kind, **empty, **({"signature": ""} if kind == "thinking" else {})})
        yield self._event("content_block_delta", delta={"type": delta, kind: text})

    def _call(self, piece: CallDelta) -> Iterator[bytes]:
        """A piece of a call, in a block of its own."""
        if self._call_id != piece.id:
            self._call_id = piece.id
            yield from self._close()
            yield self._open_block({"type": "tool_use", "id": piece.id, "name": piece.name, "input": {}})
        if piece.arguments:
            delta = {"type": "input_json_delta", "partial_json": piece.arguments}
            yield self._event("content_block_delta", delta=delta)

    def _open_block(self, block: dict[str, Any]) -> bytes:
        self._index += 1
        self._open = block["type"]
        return self._event("content_block_start", content_block=block)

    def _close(self) -> Iterator[bytes]:
        if self._open == "thinking":
            yield self._event("content_block_delta", delta={"type": "signature_delta", "signature": _SIGNATURE})
        if self._open:
            self._open = ""
            yield self._event("content_block_stop")

    def _event(self, name: str, **fields: Any) -> bytes:
        return sse({"type": name, "index": self._index, **fields}, name)


def _ending(reason: str, stop: str | None) -> dict[str, Any]:
    """Why a message ended."""
    stopped = stop is not None and reason == "stop"
    return {"stop_reason": "stop_sequence" if stopped else _REASONS[reason], "stop_sequence": stop if stopped else None}


def _truth(reason: str) -> dict[str, Any]:
    """Our own field, where the API has no word for the true reason: the answer is not whole."""
    return {"inhouse": {"finish_reason": reason}} if reason == "repetition" else {}


def _tool_use(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name}


def _usage(spent: Usage) -> dict[str, Any]:
    """What was read from the cache does not count as input a second time."""
    return {
        "input_tokens": spent.prompt_tokens - spent.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": spent.cached_tokens,
        "output_tokens": spent.completion_tokens,
    }
