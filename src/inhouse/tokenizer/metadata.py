"""A tokenizer from the key/values of a GGUF file (`tokenizer.ggml.*`). Knows nothing of how such a file is read.

Source: the GGUF specification. Token types are llama.cpp's: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused,
6 byte. Control and user-defined tokens are found whole in the text, unused ones never; of the found ones only control
tokens can be switched off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tokenizers
from tokenizers import Regex, models, normalizers, pre_tokenizers

from inhouse.errors import ModelFileError, UnsupportedModelError
from inhouse.tokenizer.vocabulary import Vocabulary, add_tokens, plain_twin

_SOURCE = "GGUF metadata"
_REMEDY = "the file is incomplete or damaged: fetch it again"
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED = 1, 2, 3, 4, 5

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# How the text is cut into words before merging, by the name in `tokenizer.ggml.pre`.
_WORDS: Mapping[str, str] = {"qwen2": _QWEN2, "deepseek-r1-qwen": _QWEN2, "qwen35": _QWEN35}

# Text that a parser of answers must see, even where a converter took it for control tokens.
_ALWAYS_TEXT = frozenset({"<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"})
# Control tokens that end an answer, whichever of them the file names as its eos.
_ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>")


def read_metadata(metadata: Mapping[str, Any]) -> Vocabulary:
    """Raises ModelFileError on missing or malformed keys, UnsupportedModelError on another kind of tokenizer."""
    kind = _text(metadata, "tokenizer.ggml.model")
    if kind != "gpt2":
        raise UnsupportedModelError(
            f"{_SOURCE}: tokenizer.ggml.model is {kind!r}, but only byte-level BPE ('gpt2') is supported; "
            "use a Qwen model"
        )
    words = _words(_pre(metadata))
    texts = _strings(metadata, "tokenizer.ggml.tokens")
    types = _types(metadata, texts)
    added: dict[str, int] = {}
    control: set[int] = set()
    for id, kind_of_token in enumerate(types):
        if kind_of_token not in (_UNKNOWN, _CONTROL, _USER_DEFINED) or texts[id] in added or not texts[id]:
            continue
        added[texts[id]] = id
        if kind_of_token != _USER_DEFINED and texts[id] not in _ALWAYS_TEXT:
            control.add(id)

    encoder = _encoder(metadata, texts, types, words)
    frozen = frozenset(control)
    add_tokens(encoder, added, frozen)
    return Vocabulary(
        encoder=encoder,
        plain_encoder=plain_twin(encoder, added, frozen),
        texts=["" if kind_of_token == _UNUSED else text for text, kind_of_token in zip(texts, types, strict=True)],
        control=frozen,
        user_defined=frozenset(added.values()) - frozen,
        added=added,
        eos_ids=_eos_ids(metadata, added, len(texts)),
        bos_id=_id(metadata, "tokenizer.ggml.bos_token_id", len(texts)),
        pad_id=_id(metadata, "tokenizer.ggml.padding_token_id", len(texts)),
        chat_template=_text(metadata, "tokenizer.chat_template") if "tokenizer.chat_template" in metadata else None,
        ends_texts=metadata.get("tokenizer.ggml.add_eos_token") is True,
    )


def _encoder(
    metadata: Mapping[str, Any], texts: Sequence[str], types: Sequence[int], words: str
) -> tokenizers.Tokenizer:
    ranks: dict[str, int] = {}
    for id, text in enumerate(texts):
        if types[id] != _UNUSED:  # padding; some files repeat one dummy text for all of it
            ranks.setdefault(text, id)
    key = "tokenizer.ggml.merges"
    merges: list[tuple[str, str]] = []
    for index, line in enumerate(_strings(metadata, key)):
        left, _, right = line.partition(" ")
        if not left or not right or " " in right:
            raise ModelFileError(_SOURCE, f"{key}[{index}] is {line!r}, which is not two tokens", _REMEDY)
        merges.append((left, right))
    try:
        encoder = tokenizers.Tokenizer(models.BPE(ranks, merges))
    except Exception as error:  # the library raises bare Exception, e.g. for a merge of tokens that do not exist
        raise ModelFileError(_SOURCE, f"{key} do not fit tokenizer.ggml.tokens ({error})", _REMEDY) from error
    encoder.normalizer = normalizers.NFC()
    encoder.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return encoder


def _pre(metadata: Mapping[str, Any]) -> str:
    """How words are cut. Files of before April 2024 do not say; of the models that we run there was qwen2 then."""
    if "tokenizer.ggml.pre" in metadata:
        return _text(metadata, "tokenizer.ggml.pre")
    if metadata.get("general.architecture") == "qwen2":
        return "qwen2"
    raise UnsupportedModelError(
        f"{_SOURCE}: there is no tokenizer.ggml.pre: the file was made by a converter of before April 2024, or without "
        "one; use a newer file of this model, or convert it anew"
    )


def _words(name: str) -> str:
    if name not in _WORDS:
        raise UnsupportedModelError(
            f"{_SOURCE}: tokenizer.ggml.pre is {name!r}, but only {', '.join(_WORDS)} are supported; use a Qwen model"
        )
    return _WORDS[name]


def _types(metadata: Mapping[str, Any], texts: Sequence[str]) -> list[int]:
    """The type of every token; a file without the list has normal tokens only."""
    key = "tokenizer.ggml.token_type"
    if key not in metadata:
        return [_NORMAL] * len(texts)
    try:
        types = [int(value) for value in metadata[key]]
    except (TypeError, ValueError) as error:
        raise ModelFileError(_SOURCE, f"{key} is not a list of integers", _REMEDY) from error
    if len(types) != len(texts):
        raise ModelFileError(_SOURCE, f"{key} has {len(types)} entries for {len(texts)} tokens", _REMEDY)
    return types


def _eos_ids(metadata: Mapping[str, Any], added: Mapping[str, int], size: int) -> tuple[int, ...]:
    """The file's eos and end-of-turn first, then the well-known ends among its tokens."""
    named = [_id(metadata, f"tokenizer.ggml.{name}_token_id", size) for name in ("eos", "eot", "eom")]
    known = [added[text] for text in _ENDS if text in added]
    return tuple(dict.fromkeys(id for id in [*named, *known] if id is not None))


def _required(metadata: Mapping[str, Any], key: str) -> Any:
    if key not in metadata:
        raise ModelFileError(_SOURCE, f"has no {key}", _REMEDY)
    return metadata[key]


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = _required(metadata, key)
    if not isinstance(value, str):
        raise ModelFileError(_SOURCE, f"{key} is {type(value).__name__}, not a string", _REMEDY)
    return value


def _strings(metadata: Mapping[str, Any], key: str) -> list[str]:
    value = _required(metadata, key)
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise ModelFileError(_SOURCE, f"{key} is {type(value).__name__}, not a list of strings", _REMEDY)
    strings = list(value)
    for index, text in enumerate(strings):
        if not isinstance(text, str):
            raise ModelFileError(_SOURCE, f"{key}[{index}] is {type(text).__name__}, not a string", _REMEDY)
    return strings


def _id(metadata: Mapping[str, Any], key: str, size: int) -> int | None:
    if key not in metadata:
        return None
    value = metadata[key]
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ModelFileError(_SOURCE, f"{key} is {type(value).__name__}, not a token id", _REMEDY)
    id = int(value)
    if not 0 <= id < size:
        raise ModelFileError(_SOURCE, f"{key} is {id}, but the vocabulary has {size} tokens", _REMEDY)
    return id
