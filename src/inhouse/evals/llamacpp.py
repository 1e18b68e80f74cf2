"""llama.cpp as a peer: the same conversations, through llama-cpp-python. Loaded by name, only when asked for.

The prompt is rendered here, with the model file's own template, so that both engines read the same tokens and an answer
can be begun for the model (`prefill`), which the peer's chat interface cannot do.
"""

from __future__ import annotations

import codecs
import importlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from inhouse.client.types import ChatRequest, Delta, FinishReason, Message, Sampling, Tool, ToolCall, Usage
from inhouse.errors import PeerError
from inhouse.tokenizer import Call, ChatTemplate, Event, OutputParser, Reasoning, Text, detect_dialect, opens_thinking


@dataclass
class _Run:
    """What is known of an answer only once it has ended."""

    tokens: int = 0
    finish: FinishReason = "length"


class LlamaCppClient:
    """Answers conversations with llama.cpp on this machine's processors. Not for several threads at once."""

    def __init__(self, model: Path, *, context: int = 4096, threads: int | None = None, batch: int = 512) -> None:
        """Open a GGUF file. Raises PeerError when llama-cpp-python is not installed or cannot open it."""
        try:
            package: Any = importlib.import_module("llama_cpp")
        except ImportError as error:
            raise PeerError(f"llama-cpp-python is not installed ({error}); install inhouse[peer]") from error
        try:
            self._llama = package.Llama(
                str(model), n_ctx=context, n_threads=threads, n_threads_batch=threads, n_batch=batch, verbose=False
            )
        except Exception as error:  # whatever the peer raises, it is the peer's
            raise PeerError(f"llama.cpp cannot open {model}: {error}; check the file") from error
        source = self._llama.metadata.get("tokenizer.chat_template")
        if source is None:
            self.close()
            raise PeerError(f"{model} has no chat template; use an instruct model")
        vocabulary = package.llama_model_get_vocab(self._llama.model)
        self._ends: Callable[[int], bool] = lambda token: bool(package.llama_vocab_is_eog(vocabulary, token))
        self._template = ChatTemplate(source)
        self._dialect = detect_dialect(source)

    def close(self) -> None:
        """Free the model."""
        self._llama.close()

    def count_tokens(self, text: str) -> int:
        return len(self._tokens(text))

    @property
    def scorer(self) -> None:
        """Given answers are not scored."""

    def stream(self, request: ChatRequest) -> Iterator[Delta]:
        """The answer as it comes; raises PeerError when llama.cpp fails, e.g. on a prompt longer than its context."""
        tools = [_tool(tool) for tool in request.tools]
        prompt = self._template.render([_message(message) for message in request.messages], tools)
        thinking = opens_thinking(prompt)
        parser = OutputParser(self._dialect, tools=tools, thinking=thinking, prefill=request.prefill)
        tokens = self._tokens(prompt + request.prefill)
        run = _Run()
        called = False
        for text in self._texts(tokens, request.sampling, run):
            delta = _delta(parser.push(text))
            called = called or bool(delta.tool_calls)
            if delta != Delta():
                yield delta
        last = _delta(parser.finish())
        finish = "tool_calls" if run.finish == "stop" and (called or last.tool_calls) else run.finish
        yield replace(last, finish=finish, usage=Usage(len(tokens), 0, run.tokens))

    def complete_text(self, prompt: str, sampling: Sampling) -> tuple[str, FinishReason, int]:
        """(text, finish reason, tokens) with which the model goes on after `prompt`, without a template."""
        run = _Run()
        text = "".join(self._texts(self._tokens(prompt), sampling, run))
        return text, run.finish, run.tokens

    def _tokens(self, text: str) -> list[int]:
        tokens: list[int] = self._llama.tokenize(text.encode("utf-8", "replace"), add_bos=False, special=True)
        return tokens

    def _texts(self, prompt: list[int], sampling: Sampling, run: _Run) -> Iterator[str]:
        """Pieces of the answer, up to its end, a stop text or the limit of tokens, which `run` then tells."""
        room = self._llama.n_ctx() - len(prompt)
        if room <= 0:
            raise PeerError(
                f"a prompt of {len(prompt)} tokens does not fit llama.cpp's context of {self._llama.n_ctx()}; "
                "open the peer with a larger context"
            )
        limit = room if sampling.max_tokens is None else min(room, sampling.max_tokens)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        held = ""
        for token in islice(self._generated(prompt, sampling), limit):
            run.tokens += 1
            if self._ends(token):
                run.finish = "stop"
                break
            held += decoder.decode(self._llama.detokenize([token]))
            ends = [at for stop in sampling.stop if (at := held.find(stop)) >= 0]
            if ends:
                run.finish = "stop"
                yield held[: min(ends)]
                return
            certain = next((at for at in range(len(held)) if _begins(held[at:], sampling.stop)), len(held))
            yield held[:certain]
            held = held[certain:]
        yield held + decoder.decode(b"", final=True)

    def _generated(self, prompt: list[int], sampling: Sampling) -> Iterator[int]:
        """Tokens without end."""
        try:
            if sampling.seed is not None:
                self._llama.set_seed(sampling.seed)
            yield from self._llama.generate(
                prompt,
                temp=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                min_p=sampling.min_p,
                presence_penalty=sampling.presence_penalty,
                frequency_penalty=sampling.frequency_penalty,
                repeat_penalty=sampling.repetition_penalty,
            )
        except (ValueError, RuntimeError) as error:
            raise PeerError(f"llama.cpp failed: {error}; check the context size and the settings") from error


def _begins(text: str, stops: tuple[str, ...]) -> bool:
    return any(stop.startswith(text) for stop in stops)


def _message(message: Message) -> Mapping[str, Any]:
    out: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        out["reasoning_content"] = message.reasoning
    if message.tool_calls:
        out["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        out["tool_call_id"] = message.tool_call_id
    return out


def _tool(tool: Tool) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": json.loads(json.dumps(tool.parameters)),
    }
    return {"type": "function", "function": function}


def _delta(events: list[Event]) -> Delta:
    """One piece of the answer from what the parser made of a piece of text."""
    content, reasoning = [], []
    calls: list[ToolCall] = []
    for event in events:
        if isinstance(event, Call):
            calls.append(ToolCall(f"call_{uuid.uuid4().hex[:12]}", event.name, event.arguments_json))
        elif isinstance(event, Reasoning):
            reasoning.append(event.text)
        elif isinstance(event, Text):
            content.append(event.text)
    return Delta("".join(content), "".join(reasoning), tuple(calls))
