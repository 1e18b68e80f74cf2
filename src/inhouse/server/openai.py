"""What OpenAI's APIs have in common: messages, tools, constraints, usage and log-probabilities. Knows no endpoint."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from inhouse.client.openai_types import ChatMessage
from inhouse.engine import Chunk, Completion, TokenLogprob, ToolCall, Usage
from inhouse.engine.constraints import Constraint
from inhouse.engine.events import Progress, Queued, Waiting
from inhouse.server.choices import Choice
from inhouse.server.contents import text_of
from inhouse.server.conversation import Message
from inhouse.server.errors import ApiError, bad_request
from inhouse.server.wire import sse, sse_comment
from inhouse.tokenizer import Tokenizer

FINGERPRINT = f"inhouse-{version('inhouse')}"  # of what answers: seeds give the same answers as long as it is the same
DONE = b"data: [DONE]\n\n"
SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "presence_penalty",
    "frequency_penalty",
    "repetition_penalty",
    "logit_bias",
    "seed",
    "ignore_eos",
    "reasoning_budget",
)
_FINISH = {"repetition": "length"}  # reasons that OpenAI's API does not know: the answer is not whole
_ROLES = {"developer": "system", "function": "tool"}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


def messages(given: Sequence[ChatMessage]) -> list[Message]:
    """The messages of the wire as the engine takes them. Raises ApiError for what a user asks now that is not text."""
    answered = max((index for index, one in enumerate(given) if one.role == "assistant"), default=-1)
    return [_message(one, f"messages[{index}]", asked=index > answered) for index, one in enumerate(given)]


def _message(given: ChatMessage, where: str, *, asked: bool) -> Message:
    content = given.wire().get("content")
    text = text_of(content, where, asked=asked and given.role in ("user", "system", "developer"))
    out: Message = {"role": _ROLES.get(given.role, given.role), "content": text}
    reasoning = given.reasoning_content or (given.reasoning if isinstance(given.reasoning, str) else None)
    if reasoning:
        out["reasoning_content"] = reasoning
    if given.tool_calls:
        calls = [(call.id, call.function.name, call.function.arguments) for call in given.tool_calls]
        out["tool_calls"] = [tool_call(*call) for call in calls]
    if given.tool_call_id is not None:
        out["tool_call_id"] = given.tool_call_id
    if given.name is not None:
        out["name"] = given.name
    return out


def tool_call(id: str, name: str, arguments: str | Mapping[str, Any] | None) -> dict[str, Any]:
    """A call of an earlier turn. What is no JSON object is wrapped into one: a broken call must not end the talk."""
    arguments = "" if arguments is None else arguments
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments) if arguments.strip() else {}
        except (ValueError, RecursionError):
            parsed = None
        text = arguments if isinstance(parsed, dict) else json.dumps({"arguments": arguments}, ensure_ascii=False)
    else:
        text = json.dumps(arguments, ensure_ascii=False)
    return {"id": id, "type": "function", "function": {"name": name, "arguments": text or "{}"}}


def function_tool(name: str, description: str | None, parameters: Mapping[str, Any] | None) -> dict[str, Any]:
    schema = dict(parameters) if parameters else {"type": "object", "properties": {}}
    return {"type": "function", "function": {"name": name, "description": description or "", "parameters": schema}}


def constraint(
    offered: Sequence[Mapping[str, Any]] | None,
    choice: Choice,
    parallel: bool | None,
    shape: Constraint,
    strict: Iterable[str] = (),
) -> Constraint | None:
    """`shape` with what a request says of tools, of which some are `strict`. Raises ApiError, ParameterError."""
    tool, must = choice.tool, choice.tool is not None or choice.demand == "required"
    if offered is None:
        if must:
            raise bad_request("tool_choice asks for a tool and there are no tools", "tool_choice")
        return None if shape == Constraint() else shape
    if tool is not None and all(entry["function"]["name"] != tool for entry in offered):
        raise bad_request(f"tool_choice: there is no tool {tool!r}", "tool_choice")
    if must:
        shape = Constraint()  # the answer is a call: what its text should look like does not matter
    return Constraint(
        shape.json_schema,
        shape.regex,
        shape.grammar,
        tool_choice="required" if must else choice.demand,
        tool=tool,
        parallel_tool_calls=parallel is not False,
        strict_tools=frozenset(strict),
    )


def thinks(effort: str | None) -> bool | None:
    """Whether a model should think, for OpenAI's names of reasoning effort; None: as it likes. Raises ApiError."""
    if effort is None:
        return None
    if effort not in _EFFORTS:
        raise bad_request(f"reasoning effort {effort!r}: give one of {', '.join(_EFFORTS)}", "reasoning_effort")
    return effort not in ("none", "minimal")


def usage(spent: Sequence[Usage], reasoning_tokens: int) -> dict[str, Any]:
    """Tokens of all answers to one prompt, as the API tells them."""
    one = total(spent)
    return {
        "prompt_tokens": one.prompt_tokens,
        "completion_tokens": one.completion_tokens,
        "total_tokens": one.prompt_tokens + one.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": one.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
    }


def total(spent: Sequence[Usage]) -> Usage:
    """Tokens of all answers to one prompt, which counts once."""
    first = spent[0] if spent else Usage()
    return Usage(first.prompt_tokens, first.cached_tokens, sum(one.completion_tokens for one in spent))


def call_entry(call: ToolCall) -> dict[str, Any]:
    """A call as an answer shows it."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def object_call(call: ToolCall) -> dict[str, Any]:
    """A call whose arguments are an object, as Ollama's API shows it."""
    return {"id": call.id, "function": {"name": call.name, "arguments": json.loads(call.arguments)}}


def logprobs(entries: Sequence[TokenLogprob], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Log-probabilities in the shape of chat completions."""

    def one(id: int, value: float) -> dict[str, Any]:
        data = tokenizer.token_bytes(id)
        return {"token": data.decode("utf-8", "replace"), "logprob": max(value, -9999.0), "bytes": list(data)}

    return [
        {**one(entry.id, entry.logprob), "top_logprobs": [one(id, value) for id, value in entry.top]}
        for entry in entries
    ]


def stops(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Stop strings; empty ones stop nothing."""
    return tuple(text for text in ((given,) if isinstance(given, str) else given or ()) if text)


def alive(waiting: Waiting | None) -> bytes:
    """A comment in a stream: readers of events skip it, those who look see how far the prompt is read."""
    return sse_comment(told(waiting))


def told(waiting: Waiting | None) -> dict[str, Any]:
    """How long the answer is still to come, in our own words."""
    match waiting:
        case Progress():
            return {"prompt": {"done": waiting.done, "total": waiting.total}}
        case Queued():
            return {"queue": {"ahead": waiting.ahead}}
    return {}


def error_event(error: ApiError) -> bytes:
    """The last event of a stream that fails."""
    return sse(error.body("openai"))


def inhouse(spent: Usage) -> dict[str, Any]:
    """Our own field beside a stream's last piece, for clients that did not ask for usage."""
    return {"prompt_tokens": spent.prompt_tokens, "cached_tokens": spent.cached_tokens,
            "completion_tokens": spent.completion_tokens}  # fmt: skip


def ending(reason: str | None) -> dict[str, Any]:
    """A choice's reason to end: one that the API's clients know, and in our own field the true one where it differs."""
    if reason not in _FINISH:
        return {"finish_reason": reason}
    return {"finish_reason": _FINISH[reason], "inhouse": {"finish_reason": reason}}


class ReasoningCount:
    """Tokens of answers that were reasoning."""

    def __init__(self) -> None:
        self.tokens = 0

    def note(self, chunk: Chunk) -> None:
        if chunk.reasoning:
            self.tokens += len(chunk.token_ids)


def reasoning_tokens(completions: Sequence[Completion], tokenizer: Tokenizer) -> int:
    return sum(len(tokenizer.encode(one.reasoning)) for one in completions if one.reasoning)
