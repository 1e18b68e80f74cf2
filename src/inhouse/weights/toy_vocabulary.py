"""A small but whole byte-level BPE vocabulary as GGUF metadata, for models without a tokenizer of their own.

Any text can be encoded: the 256 bytes, pairs of letters as merges, ChatML's special tokens last, and filler words
between, which no text encodes to but which a random model emits. Knows nothing of models.
"""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase
from typing import Any

import numpy as np

from inhouse.errors import ParameterError

NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # GGUF's token types

_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_MARKERS = ("<think>", "</think>", "<tool_call>", "</tool_call>")
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_characters() -> list[str]:
    """GPT-2's printable stand-in for each byte: itself where it is visible, else the next free code point."""
    visible = {*range(33, 127), *range(161, 173), *range(174, 256)}
    hidden = [byte for byte in range(256) if byte not in visible]
    return [chr(byte) if byte in visible else chr(256 + hidden.index(byte)) for byte in range(256)]


def toy_vocabulary(size: int, pre: str) -> dict[str, Any]:
    """`tokenizer.*` keys of a vocabulary of `size` tokens; `pre` names the text splitter. Raises ParameterError."""
    alphabet = byte_characters()
    special = _CONTROL + _MARKERS
    room = size - len(alphabet) - len(special)
    if room < 1:
        raise ParameterError(f"a vocabulary of {size} tokens; it needs more than {size - room}")
    pairs = list(product(ascii_lowercase, repeat=2))[:room]
    filler = [f"Ġw{index}" for index in range(room - len(pairs))]
    tokens = [*alphabet, *map("".join, pairs), *filler, *special]
    plain = size - len(special)
    types = [NORMAL] * plain + [CONTROL] * len(_CONTROL) + [USER_DEFINED] * len(_MARKERS)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": np.array(types, np.int32),
        "tokenizer.ggml.merges": [" ".join(pair) for pair in pairs],
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
        "tokenizer.ggml.padding_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": _TEMPLATE,
    }
