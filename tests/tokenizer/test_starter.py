"""The starter model's own tokenizer, beside llama.cpp's reading of the same file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from inhouse.tokenizer import ChatTemplate, Detokenizer, Tokenizer, detect_dialect

pytestmark = pytest.mark.model

TEXTS = [
    "def main() -> None:\n    print('Hello, wörld!')\n\n\n\tx = 12345 + 6.7e-8\r\n",
    "<|im_start|>user\nHi<|im_end|>\n<tool_call>\n{}\n</tool_call>",
    "你好，世界。 日本語テキスト 한국어 العربية हिन्दी 👩‍💻🇩🇪",
    "I'll we've THEY'RE don't   spaces   \n \n  end ",
    Path(__file__).read_text(encoding="utf-8"),
]


@pytest.fixture(scope="module")
def starter_metadata(starter: Path) -> dict[str, Any]:
    gguf = pytest.importorskip("gguf")
    fields = gguf.GGUFReader(starter).fields
    return {key: field.contents() for key, field in fields.items() if key.startswith("tokenizer.")}


@pytest.fixture(scope="module")
def starter_tokenizer(starter_metadata: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_gguf(starter_metadata)


def test_facts(starter_tokenizer: Tokenizer) -> None:
    assert starter_tokenizer.vocab_size == 151_936
    assert starter_tokenizer.eos_ids[:2] == (151_645, 151_643)
    assert starter_tokenizer.token_id("<|fim_middle|>") in starter_tokenizer.special_ids
    assert starter_tokenizer.token_bytes(151_900) == b""
    assert starter_tokenizer.chat_template is not None
    assert detect_dialect(starter_tokenizer.chat_template) == "hermes_json"
    prompt = ChatTemplate(starter_tokenizer.chat_template).render([{"role": "user", "content": "Hi"}])
    assert len(starter_tokenizer.encode(prompt)) == 30


def test_loads_fast(starter_metadata: dict[str, Any]) -> None:
    started = time.process_time()
    Tokenizer.from_gguf(starter_metadata)
    assert time.process_time() - started < 1.5


def test_same_ids_as_llama_cpp(starter: Path, starter_tokenizer: Tokenizer) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    peer = llama_cpp.Llama(str(starter), vocab_only=True, verbose=False)
    for text in TEXTS:
        for special in (True, False):
            theirs = peer.tokenize(text.encode(), add_bos=False, special=special)
            ours = starter_tokenizer.encode(text, special=special)
            assert ours == theirs
            detokenizer = Detokenizer(starter_tokenizer, special=True)
            assert "".join(map(detokenizer.push, ours)) + detokenizer.finish() == text
    peer.close()
