"""llama.cpp answers the same conversations: the client's own logic against a stand-in, and the real peer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from inhouse.client.types import ChatRequest, Message, Sampling, Tool, complete
from inhouse.errors import PeerError
from inhouse.evals.llamacpp import LlamaCppClient

END = 256  # the stand-in's tokens are bytes, and this one ends an answer
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: {# <tool_call> #}"


class Llama:
    """A peer that says `answer` whatever it is asked."""

    answer: list[int] = []  # noqa: RUF012
    metadata: dict[str, str] = {"tokenizer.chat_template": TEMPLATE}  # noqa: RUF012

    def __init__(self, path: str, n_ctx: int, **options: Any) -> None:
        if not Path(path).is_file():
            raise ValueError(f"Model path does not exist: {path}")
        self.model = self
        self.context = n_ctx
        self.prompts: list[str] = []

    def n_ctx(self) -> int:
        return self.context

    def tokenize(self, text: bytes, add_bos: bool, special: bool) -> list[int]:
        return list(text)

    def detokenize(self, tokens: list[int]) -> bytes:
        return bytes(tokens)

    def generate(self, tokens: list[int], **options: Any) -> Iterator[int]:
        self.prompts.append(bytes(tokens).decode())
        yield from self.answer
        raise RuntimeError("llama_decode returned 1")

    def close(self) -> None: ...


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = SimpleNamespace(
        Llama=Llama, llama_model_get_vocab=lambda model: model, llama_vocab_is_eog=lambda vocab, token: token == END
    )
    monkeypatch.setitem(sys.modules, "llama_cpp", package)
    path = tmp_path / "model.gguf"
    path.touch()
    return path


def says(monkeypatch: pytest.MonkeyPatch, text: str, *, ends: bool = True) -> None:
    monkeypatch.setattr(Llama, "answer", [*text.encode(), *([END] if ends else [])])


def ask(prefill: str = "", *, tools: tuple[Tool, ...] = (), **sampling: Any) -> ChatRequest:
    return ChatRequest([Message("user", "Hi")], tools=tools, sampling=Sampling(**sampling), prefill=prefill)


class TestStandIn:
    def test_answer(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        says(monkeypatch, "Grüß dich 👋")
        client = LlamaCppClient(model)
        answer = complete(client, ask("Oh: "))
        assert answer.message.content == "Oh: Grüß dich 👋"
        assert answer.finish == "stop"
        assert answer.usage.completion_tokens == len("Grüß dich 👋".encode()) + 1
        assert client._llama.prompts == ["user: Hi\nassistant: Oh: "]
        assert client.count_tokens("abc") == 3

    def test_stops(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        says(monkeypatch, "one\n``two\n```three")
        client = LlamaCppClient(model)
        assert complete(client, ask(stop=("\n```",))).message.content == "one\n``two"
        assert client.complete_text("x", Sampling(stop=("``",)))[0] == "one\n"
        cut = complete(client, ask(max_tokens=5))
        assert (cut.message.content, cut.finish, cut.usage.completion_tokens) == ("one\n`", "length", 5)

    def test_calls(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        says(monkeypatch, 'So:\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>')
        answer = complete(LlamaCppClient(model), ask(tools=(Tool("now", "The time", {"type": "object"}),)))
        (call,) = answer.message.tool_calls
        assert (answer.message.content, call.name, call.arguments, answer.finish) == ("So:", "now", "{}", "tool_calls")

    def test_failures_are_the_peers(self, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        says(monkeypatch, "Hel", ends=False)
        with pytest.raises(PeerError, match="llama_decode returned 1"):
            complete(LlamaCppClient(model), ask())
        with pytest.raises(PeerError, match=r"does not fit llama\.cpp's context of 8"):
            complete(LlamaCppClient(model, context=8), ask())
        with pytest.raises(PeerError, match=r"cannot open .*nowhere\.gguf"):
            LlamaCppClient(model.parent / "nowhere.gguf")
        monkeypatch.setattr(Llama, "metadata", {})
        with pytest.raises(PeerError, match="no chat template"):
            LlamaCppClient(model)


def test_missing_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(PeerError, match="install inhouse"):
        LlamaCppClient(tmp_path / "model.gguf")


@pytest.mark.model
def test_real_peer(starter: Path) -> None:
    pytest.importorskip("llama_cpp")
    client = LlamaCppClient(starter, context=256)
    request = ChatRequest(
        [Message("user", "Count to five in words.")],
        sampling=Sampling(max_tokens=8, stop=(", four",)),
        prefill="one, two,",
    )
    answer = complete(client, request)
    assert (answer.message.content, answer.finish) == ("one, two, three", "stop")
    assert answer.usage.prompt_tokens > 30
    client.close()
