"""The HTTP client: what it sends, how pieces become an answer, what is tried again and what is an error."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any

import httpx2
import pytest

from inhouse.client.http import HttpClient
from inhouse.client.types import ChatRequest, Message, Sampling, Tool, ToolCall, Usage, complete
from inhouse.errors import ContextLengthError, PeerError

ASK = ChatRequest([Message("user", "?")])


def sse(*events: Any, done: bool = True) -> httpx2.Response:
    lines = [f"data: {json.dumps(event)}\n\n" for event in events] + (["data: [DONE]\n\n"] if done else [])
    return httpx2.Response(200, text=": alive\n\n" + "".join(lines))


def piece(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"delta": delta, "finish_reason": finish}]}


HELLO = (piece(content="Hel"), piece(content="lo"), piece("stop"))


def client(
    *replies: httpx2.Response | Exception, **options: Any
) -> tuple[HttpClient, list[httpx2.Request], list[float]]:
    """A client whose server gives these replies; the requests that it made, and the pauses between them."""
    waiting, asked, pauses = list(replies), [], []

    def handle(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        reply = waiting.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply

    transport = httpx2.MockTransport(handle)
    made = HttpClient("http://server/v1/", "m", transport=transport, pause=pauses.append, **options)
    return made, asked, pauses


def test_a_whole_request() -> None:
    http, asked, _ = client(sse(*HELLO), key="secret", template_flags={"preserve_thinking": True})
    call = ToolCall("c1", "look", "{}")
    messages = [Message("user", "?"), Message("assistant", "", "hm", (call,)), Message("tool", "x", tool_call_id="c1")]
    tool = Tool("look", "Looks.", {"type": "object"})
    complete(http, ChatRequest(messages, [tool], Sampling(0.6, top_k=20, stop=("x",)), thinking_budget=9))
    (request,) = asked
    assert str(request.url) == "http://server/v1/chat/completions"
    assert request.headers["authorization"] == "Bearer secret"
    body = json.loads(request.content)
    assert body["messages"][1]["reasoning_content"] == "hm"
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "look", "arguments": "{}"}
    assert body["tools"][0]["function"]["name"] == "look"
    assert (body["temperature"], body["top_k"], body["stop"], body["reasoning_budget"]) == (0.6, 20, ["x"], 9)
    assert body["chat_template_kwargs"] == {"preserve_thinking": True}
    assert "min_p" not in body


def test_pieces_of_text_thinking_and_calls_come_together() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}
    http, _, _ = client(
        sse(
            piece(reasoning_content="h"), piece(reasoning="m"), piece(content="Look."),
            piece(tool_calls=[{"index": 0, "id": "a", "function": {"name": "view", "arguments": '{"pa'}}]),
            piece(tool_calls=[{"index": 0, "function": {"arguments": 'th": 1}'}}]),
            piece(tool_calls=[{"index": 1, "function": {"name": "bash", "arguments": "{}"}}]),
            piece("tool_calls"), {"choices": [], "usage": usage},
        )
    )  # fmt: skip
    answer = complete(http, ASK)
    assert (answer.message.reasoning, answer.message.content, answer.finish) == ("hm", "Look.", "tool_calls")
    assert answer.message.tool_calls == (ToolCall("a", "view", '{"path": 1}'), ToolCall("call_1", "bash", "{}"))
    assert answer.usage == Usage(9, 4, 3)


def test_our_own_server_tells_the_true_end() -> None:
    last = {"choices": [{"delta": {}, "finish_reason": "length", "inhouse": {"finish_reason": "repetition"}}]}
    http, _, _ = client(sse(piece(content="so so so"), last))
    assert complete(http, ChatRequest([Message("user", "?")])).finish == "repetition"


@pytest.mark.parametrize("first", [httpx2.Response(503), httpx2.ConnectError("refused"), sse(done=False)])
def test_what_fails_before_the_answer_begins_is_tried_again(first: httpx2.Response | Exception) -> None:
    http, asked, pauses = client(first, httpx2.Response(429, headers={"retry-after": "7"}), sse(*HELLO))
    assert complete(http, ASK).message.content == "Hello"
    assert len(asked) == 3
    assert pauses == [0.5, 7.0]


def test_it_gives_up_in_the_end() -> None:
    http, asked, _ = client(*[httpx2.Response(500, text="down") for _ in range(5)])
    with pytest.raises(PeerError, match="HTTP 500: down; see that the server runs"):
        complete(http, ASK)
    assert len(asked) == 5


def test_half_an_answer_is_an_error() -> None:
    http, asked, _ = client(sse(piece(content="Hel"), done=False))
    with pytest.raises(PeerError, match="broke off"):
        complete(http, ASK)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "said", "kind", "text"),
    [
        (401, "no key", PeerError, "INHOUSE_API_KEY"),
        (404, "no such model", PeerError, "check the URL and the model's name"),
        (400, "maximum context length is 4096 tokens", ContextLengthError, "4096"),
    ],
)
def test_errors_say_what_to_do(status: int, said: str, kind: type[Exception], text: str) -> None:
    http, _, _ = client(httpx2.Response(status, json={"error": {"message": said}}))
    with pytest.raises(kind, match=text):
        complete(http, ASK)


@pytest.mark.parametrize("said", [{"error": "model 'm' not found"}, {"message": "model 'm' not found"}])
def test_errors_that_are_plain_text_are_told(said: dict[str, str]) -> None:
    http, _, _ = client(httpx2.Response(404, json=said))
    with pytest.raises(PeerError, match=r"HTTP 404: model 'm' not found; check the URL"):
        complete(http, ASK)
    http, _, _ = client(sse(piece(content="Hel"), {"error": "the context length is exceeded"}))
    with pytest.raises(ContextLengthError, match="v1: the context length is exceeded"):
        complete(http, ASK)
    http, _, _ = client(*[httpx2.Response(503, json=["odd"])] * 5)
    with pytest.raises(PeerError, match="odd"):
        complete(http, ASK)


def test_an_answer_that_was_cut_off_in_a_call_is_cut_off() -> None:
    whole, part = {"index": 0, "id": "a", "function": {"name": "view", "arguments": "{}"}}, '{"path": "a'
    half = {"index": 1, "id": "b", "function": {"name": "edit", "arguments": part}}
    http, _, _ = client(sse(piece(tool_calls=[whole, half]), piece("length")))
    answer = complete(http, ASK)
    assert (answer.finish, answer.message.tool_calls) == ("length", (ToolCall("a", "view", "{}"),))
    http, _, _ = client(sse(piece(tool_calls=[whole]), piece("stop")))
    assert complete(http, ASK).finish == "tool_calls"


def test_what_is_no_such_server_is_named() -> None:
    http, _, _ = client(httpx2.Response(200, text="data: <html>\n\n"))
    with pytest.raises(PeerError, match="not a server of this kind"):
        complete(http, ASK)


def test_cancelled_answers_end_at_once() -> None:
    http, _, _ = client(sse(*HELLO))
    answer = complete(http, ChatRequest(ASK.messages, cancelled=lambda: True))
    assert (answer.finish, answer.message.content) == ("cancelled", "")


def test_cancelling_ends_the_connection_though_nothing_came_back() -> None:
    asked, hung_up = threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(60)
                while not connection.recv(1 << 16).endswith(b"}"):
                    pass
                asked.set()
                if connection.recv(1) == b"":
                    hung_up.set()

        thread = threading.Thread(target=serve)
        thread.start()
        http = HttpClient(f"http://127.0.0.1:{server.getsockname()[1]}/v1", "m")
        assert complete(http, ChatRequest(ASK.messages, cancelled=asked.is_set)).finish == "cancelled"
        assert hung_up.wait(10)
        thread.join()
        http.close()


@pytest.mark.parametrize(
    ("models", "context"),
    [([{"id": "x", "max_model_len": 1}, {"id": "m", "max_model_len": 8192}], 8192), ([{"id": "m"}], None), ([], None)],
)
def test_the_context_is_the_servers(models: list[dict[str, Any]], context: int | None) -> None:
    http, _, _ = client(httpx2.Response(200, json={"data": models}))
    assert http.context() == context


def test_prefill_is_the_beginning_of_the_answer() -> None:
    http, asked, _ = client(sse(*HELLO))
    assert complete(http, ChatRequest(ASK.messages, prefill="Oh, ")).message.content == "Oh, Hello"
    body = json.loads(asked[0].content)
    assert body["messages"][-1] == {"role": "assistant", "content": "Oh, "}
    assert body["continue_final_message"] is True


def test_grammars_are_sent_as_a_response_format() -> None:
    http, asked, _ = client(sse(*HELLO))
    complete(http, ChatRequest(ASK.messages, grammar='start: "Hello"'))
    assert json.loads(asked[0].content)["response_format"] == {"type": "grammar", "grammar": 'start: "Hello"'}


def test_a_server_that_knows_no_grammars_is_asked_without() -> None:
    refusal = {"error": {"message": "Invalid value: 'grammar'", "param": "response_format.type"}}
    http, asked, pauses = client(httpx2.Response(400, json=refusal), sse(*HELLO), sse(*HELLO))
    request = ChatRequest(ASK.messages, grammar='start: "Hello"')
    assert [complete(http, request).message.content for _ in range(2)] == ["Hello", "Hello"]
    assert ["response_format" in json.loads(request.content) for request in asked] == [True, False, False]
    assert pauses == []


def test_other_refusals_stay_what_they_are() -> None:
    http, asked, _ = client(httpx2.Response(400, json={"error": {"message": "the context length is exceeded"}}))
    with pytest.raises(ContextLengthError):
        complete(http, ChatRequest(ASK.messages, grammar='start: "Hello"'))
    assert len(asked) == 1
