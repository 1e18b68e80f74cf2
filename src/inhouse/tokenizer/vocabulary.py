"""What any source of a tokenizer boils down to. Knows neither GGUF nor Hugging Face files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tokenizers
from tokenizers import AddedToken


@dataclass(frozen=True)
class Vocabulary:
    """Two encoders and the texts of all ids.

    `texts[id]` is a token as the vocabulary writes it ("" for padding). `control` tokens steer the model and have no
    text of their own (<|im_end|>); `user_defined` ones are ordinary text that is always one token (<tool_call>).
    `plain_encoder` takes the names of control tokens for plain text.
    """

    encoder: tokenizers.Tokenizer
    plain_encoder: tokenizers.Tokenizer
    texts: Sequence[str]
    control: frozenset[int]
    user_defined: frozenset[int]
    added: Mapping[str, int]  # text to id, of control and user-defined tokens
    eos_ids: tuple[int, ...]
    bos_id: int | None
    pad_id: int | None
    chat_template: str | None
    ends_texts: bool = False  # a text to embed is followed by the first of `eos_ids`

    @property
    def size(self) -> int:
        return len(self.texts)

    def text(self, id: int) -> str:
        """The text of a token as the vocabulary writes it; "" past the end."""
        return self.texts[id] if id < len(self.texts) else ""


def add_tokens(encoder: tokenizers.Tokenizer, added: Mapping[str, int], control: frozenset[int]) -> None:
    """Make the encoder find these texts whole, before any splitting. New ids follow the vocabulary, in order of id."""
    encoder.add_tokens(
        [
            AddedToken(text, normalized=False, special=id in control)
            for text, id in sorted(added.items(), key=lambda item: item[1])
        ]
    )


def plain_twin(
    encoder: tokenizers.Tokenizer, added: Mapping[str, int], control: frozenset[int]
) -> tokenizers.Tokenizer:
    """An encoder that shares the model (tens of megabytes) but reads the names of control tokens as plain text."""
    twin = tokenizers.Tokenizer(encoder.model)
    twin.normalizer = encoder.normalizer
    twin.pre_tokenizer = encoder.pre_tokenizer
    add_tokens(twin, added, control)
    twin.encode_special_tokens = True
    return twin
