"""Text to token ids and back, for byte-level BPE vocabularies. Knows no engine, no conversation and no file reader.

A `Tokenizer` is made from the key/values of a GGUF file or from a Hugging Face directory (tokenizer.json and its
companions). Encoding is the `tokenizers` library's; bytes of tokens are looked up here, because a decoder that must
stay byte-exact in mid-character cannot work with text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inhouse.errors import ParameterError
from inhouse.tokenizer.bytelevel import to_bytes
from inhouse.tokenizer.directory import read_directory
from inhouse.tokenizer.metadata import read_metadata
from inhouse.tokenizer.vocabulary import Vocabulary


@dataclass(frozen=True)
class Tokenizer:
    """A byte-level BPE tokenizer. Safe to share between threads.

    `eos_ids`: the tokens that end an answer, the main one first. `special_ids`: control tokens, which have a meaning
    and no text of their own. `chat_template`: the model's Jinja source, if it brings one.
    """

    vocabulary: Vocabulary
    _bytes: dict[int, bytes] = field(default_factory=dict, repr=False, compare=False)

    @staticmethod
    def from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
        """From a GGUF file's key/values (`tokenizer.ggml.*`, `tokenizer.chat_template`).

        Raises ModelFileError on missing or malformed keys, UnsupportedModelError on another kind of tokenizer.
        """
        return Tokenizer(read_metadata(metadata))

    @staticmethod
    def from_directory(path: Path) -> Tokenizer:
        """From a directory with tokenizer.json and, if there, tokenizer_config.json, generation_config.json and
        chat_template.jinja. Raises ModelFileError naming the file at fault."""
        return Tokenizer(read_directory(path))

    @property
    def vocab_size(self) -> int:
        """One more than the highest id with a text, or the length of the file's list with its padding."""
        return self.vocabulary.size

    @property
    def eos_ids(self) -> tuple[int, ...]:
        return self.vocabulary.eos_ids

    @property
    def bos_id(self) -> int | None:
        return self.vocabulary.bos_id

    @property
    def pad_id(self) -> int | None:
        return self.vocabulary.pad_id

    @property
    def bos_token(self) -> str:
        """The text of the token that begins a document, or ""; chat templates ask for it."""
        return "" if self.bos_id is None else self.vocabulary.text(self.bos_id)

    @property
    def eos_token(self) -> str:
        """The text of the token that ends an answer, or ""; chat templates ask for it."""
        return self.vocabulary.text(self.eos_ids[0]) if self.eos_ids else ""

    @property
    def special_ids(self) -> frozenset[int]:
        return self.vocabulary.control

    @property
    def chat_template(self) -> str | None:
        return self.vocabulary.chat_template

    def with_template(self, source: str) -> Tokenizer:
        """The same with another chat template."""
        return Tokenizer(replace(self.vocabulary, chat_template=source))

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The ids of `text`. With special=False the texts of control tokens in it are plain text, as befits text
        that did not come from a template. Lone surrogates become U+FFFD."""
        encoder = self.vocabulary.encoder if special else self.vocabulary.plain_encoder
        try:
            encoding = encoder.encode(text, add_special_tokens=False)
        except TypeError:
            # The library takes only text that has a UTF-8 form; what else is wrong with the type is raised again.
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            encoding = encoder.encode(text, add_special_tokens=False)
        ids: list[int] = encoding.ids
        return ids

    def encode_whole(self, text: str) -> list[int]:
        """The ids of a text that nothing follows, with the end that the model was trained to see there."""
        ids = self.encode(text, special=False)
        return [*ids, *self.eos_ids[:1]] if self.vocabulary.ends_texts else ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`, control tokens as their names; bytes that are no UTF-8 become U+FFFD."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", errors="replace")

    def token_id(self, text: str) -> int | None:
        """The id of a control or user-defined token by its exact text, such as "<|fim_prefix|>"."""
        return self.vocabulary.added.get(text)

    def token_bytes(self, id: int) -> bytes:
        """The bytes of one token: b"" for padding entries, the name for control tokens. Raises ParameterError for a
        negative id; ids past the vocabulary are the padding rows of an embedding."""
        known = self._bytes.get(id)
        if known is not None:
            return known
        if id < 0:
            raise ParameterError(f"token id {id} is negative; ids count from 0")
        vocabulary = self.vocabulary
        text = vocabulary.text(id)
        literal = id in vocabulary.control or id in vocabulary.user_defined
        data = text.encode("utf-8", "replace") if literal else to_bytes(text)
        self._bytes[id] = data
        return data
