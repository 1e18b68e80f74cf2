"""A tokenizer from a Hugging Face directory: tokenizer.json and its companions. Knows nothing of weights.

tokenizer.json holds vocabulary, merges and how text is cut; generation_config.json the ids that end an answer;
tokenizer_config.json the names of bos, eos and pad; chat_template.jinja the template (older directories keep it in
tokenizer_config.json).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models

from inhouse.errors import ModelFileError, UnsupportedModelError
from inhouse.tokenizer.vocabulary import Vocabulary, plain_twin

_REMEDY = "fetch the model's directory again"


def read_directory(path: Path) -> Vocabulary:
    """Raises ModelFileError naming the file at fault, UnsupportedModelError for anything but byte-level BPE."""
    file = path / "tokenizer.json"
    encoder = _encoder(file)
    config = _json(path / "tokenizer_config.json")
    generation = _json(path / "generation_config.json")
    tokens = encoder.get_added_tokens_decoder()
    added = {token.content: id for id, token in tokens.items()}
    control = frozenset(id for id, token in tokens.items() if token.special)
    ranks = encoder.get_vocab(with_added_tokens=True)
    texts = [""] * (max(ranks.values(), default=-1) + 1)
    for text, id in ranks.items():
        texts[id] = text

    plain = plain_twin(encoder, added, control)
    if any(plain.token_to_id(text) != id for text, id in added.items()):
        raise ModelFileError(file, "its added tokens do not follow its vocabulary without gaps", _REMEDY)
    names = {name: _named(path, config, name, ranks) for name in ("bos", "eos", "pad")}
    return Vocabulary(
        encoder=encoder,
        plain_encoder=plain,
        texts=texts,
        control=control,
        user_defined=frozenset(added.values()) - control,
        added=added,
        eos_ids=_eos_ids(path, generation, names["eos"]),
        bos_id=names["bos"],
        pad_id=names["pad"],
        chat_template=_chat_template(path, config),
    )


def _encoder(file: Path) -> tokenizers.Tokenizer:
    try:
        encoder = tokenizers.Tokenizer.from_str(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFileError(
            file, "is missing", "a model directory needs its tokenizer.json: fetch it again"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(file, f"cannot be read ({error})", _REMEDY) from error
    except Exception as error:  # the library raises bare Exception for malformed contents
        raise ModelFileError(file, f"is not a tokenizer ({error})", _REMEDY) from error
    if not isinstance(encoder.model, models.BPE) or not isinstance(encoder.decoder, decoders.ByteLevel):
        raise UnsupportedModelError(f"{file}: only byte-level BPE tokenizers are supported; use a Qwen model")
    # Some directories ship the settings of their training run; they would cut or fill up every prompt.
    encoder.no_truncation()
    encoder.no_padding()
    return encoder


def _json(file: Path) -> Mapping[str, Any]:
    """A JSON object, {} where the file is absent."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelFileError(file, f"is not readable JSON ({error})", _REMEDY) from error
    if not isinstance(value, dict):
        raise ModelFileError(file, "is not a JSON object", _REMEDY)
    return value


def _named(path: Path, config: Mapping[str, Any], name: str, ranks: Mapping[str, int]) -> int | None:
    """The id of e.g. `eos_token`, given as text or as {"content": text}; None where there is none."""
    value = config.get(f"{name}_token")
    text = value.get("content") if isinstance(value, dict) else value
    if text is None:
        return None
    if not isinstance(text, str) or text not in ranks:
        raise ModelFileError(path / "tokenizer_config.json", f"{name}_token {text!r} is not in the vocabulary", _REMEDY)
    return ranks[text]


def _eos_ids(path: Path, generation: Mapping[str, Any], named: int | None) -> tuple[int, ...]:
    """The tokenizer's own eos first, then all that generation_config.json names."""
    value = generation.get("eos_token_id")
    listed = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(id, int) and id >= 0 for id in listed):
        raise ModelFileError(path / "generation_config.json", f"eos_token_id is {value!r}, not token ids", _REMEDY)
    return tuple(dict.fromkeys([*([] if named is None else [named]), *listed]))


def _chat_template(path: Path, config: Mapping[str, Any]) -> str | None:
    file = path / "chat_template.jinja"
    if file.is_file():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ModelFileError(file, f"cannot be read ({error})", _REMEDY) from error
    value = config.get("chat_template")
    if isinstance(value, list):  # several by name
        by_name = {item.get("name"): item.get("template") for item in value if isinstance(item, dict)}
        value = by_name.get("default")
    if value is not None and not isinstance(value, str):
        raise ModelFileError(path / "tokenizer_config.json", "chat_template is not a string", _REMEDY)
    return value
