"""The in-process client: every field of a request reaches the engine, every part of its answer comes back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from inhouse.client.inprocess import InProcessClient
from inhouse.client.types import ChatRequest, Delta, Message, Sampling, Tool, ToolCall, Usage, complete
from inhouse.engine.completion import Chunk
from inhouse.engine.completion import ToolCall as EngineToolCall
from inhouse.engine.completion import Usage as EngineUsage
from inhouse.engine.params import SamplingParams


class RecordingEngine:
    """Has an engine's interface and its real types, and answers with given chunks."""

    sampling_params = SamplingParams

    def __init__(self, *chunks: Chunk) -> None:
        self.chunks = chunks
        self.asked = SimpleNamespace()
        self.closed = False

    def stream_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        params: SamplingParams,
        tools: Sequence[Mapping[str, Any]] | None = None,
        prefill: str = "",
        *,
        grammar: str | None = None,
        template_flags: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Generator[Chunk]:
        self.asked = SimpleNamespace(
            messages=messages, params=params, tools=tools, prefill=prefill, grammar=grammar,
            flags=template_flags, progress=progress, cancelled=cancelled,
        )  # fmt: skip
        try:
            yield from self.chunks
        finally:
            self.closed = True

    def count_tokens(self, text: str) -> int:
        return len(text.split())


END = Chunk(finish_reason="tool_calls", usage=EngineUsage(9, 5, 3))


def test_every_part_of_the_answer_comes_back() -> None:
    call = EngineToolCall("call_0", "look", '{"at": 1}')
    engine = RecordingEngine(Chunk(reasoning="hm"), Chunk("Let me ", token_ids=(1,)), Chunk(token_ids=(2,)),
                             Chunk("look.", tool_calls=(call,)), END)  # fmt: skip
    deltas = list(InProcessClient(engine).stream(ChatRequest([Message("user", "?")])))
    assert deltas == [
        Delta(reasoning="hm"),
        Delta("Let me "),
        Delta("look.", tool_calls=(ToolCall("call_0", "look", '{"at": 1}'),)),
        Delta(finish="tool_calls", usage=Usage(9, 5, 3)),
    ]


def test_every_field_of_a_request_reaches_the_engine() -> None:
    engine = RecordingEngine(END)
    sampling = Sampling(0.5, 0.9, 30, 0.1, 0.2, 0.3, 1.1, 7, 100, ("x",))
    messages = [
        Message("system", "Be brief."),
        Message("user", "Look."),
        Message("assistant", "", "hm", (ToolCall("call_0", "look", '{"at": 1}'),)),
        Message("tool", "nothing", tool_call_id="call_0", name="look"),
    ]
    schema = {"type": "object", "properties": {"at": {"type": "integer"}}}
    seen: list[int] = []
    request = ChatRequest(
        messages, [Tool("look", "Looks.", schema)], sampling, "So", 512, 'start: "So"',
        cancelled=lambda: True, progress=lambda done, total: seen.extend((done, total)),
    )  # fmt: skip
    client = InProcessClient(engine, template_flags={"enable_thinking": False})
    assert complete(client, request).message.content == "So"
    assert engine.asked.flags == {"enable_thinking": False}
    assert engine.asked.params == SamplingParams(0.5, 30, 0.9, 0.1, 0.2, 0.3, 1.1, 7, ("x",), 100, reasoning_budget=512)
    assert (engine.asked.prefill, engine.asked.grammar) == ("So", 'start: "So"')
    engine.asked.progress(3, 9)
    assert (seen, engine.asked.cancelled()) == ([3, 9], True)
    function = {"name": "look", "arguments": '{"at": 1}'}
    assert engine.asked.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look."},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "hm",
            "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
        },
        {"role": "tool", "content": "nothing", "tool_call_id": "call_0", "name": "look"},
    ]
    declared = {"name": "look", "description": "Looks.", "parameters": schema}
    assert engine.asked.tools == [{"type": "function", "function": declared}]


def test_without_tools_the_engine_gets_none() -> None:
    engine = RecordingEngine(END)
    complete(InProcessClient(engine), ChatRequest([Message("user", "?")]))
    assert engine.asked.tools is None


def test_closing_the_answer_ends_it_in_the_engine() -> None:
    engine = RecordingEngine(Chunk("a"), Chunk("b"), END)
    answer = InProcessClient(engine).stream(ChatRequest([Message("user", "?")]))
    next(answer)
    assert not engine.closed
    answer.close()  # type: ignore[attr-defined]
    assert engine.closed


def test_counting_is_the_engines() -> None:
    assert InProcessClient(RecordingEngine()).count_tokens("one two three") == 3
