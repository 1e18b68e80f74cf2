"""Texts become the ids the model was trained with, and come back byte for byte."""

from __future__ import annotations

import json
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders

from inhouse.errors import ModelFileError, ParameterError, UnsupportedModelError
from inhouse.tokenizer import Detokenizer, Tokenizer

DATA = Path(__file__).parent / "data"


def streamed(tokenizer: Tokenizer, ids: list[int]) -> tuple[list[str], str]:
    detokenizer = Detokenizer(tokenizer)
    return [detokenizer.push(id) for id in ids], detokenizer.finish()


class TestQwen36:
    def test_all_vectors(self, qwen36: Tokenizer, qwen36_vectors: dict[str, Any]) -> None:
        cases = qwen36_vectors["cases"]
        assert len(cases) == 68
        wrong = [case["text"] for case in cases if qwen36.encode(case["text"]) != case["ids"]]
        assert wrong == []

    def test_vectors_stream_back(self, qwen36: Tokenizer, qwen36_vectors: dict[str, Any]) -> None:
        for case in qwen36_vectors["cases"]:
            pieces, rest = streamed(qwen36, case["ids"])
            visible = [id for id in case["ids"] if id not in qwen36.special_ids]
            assert "".join(pieces) + rest == qwen36.decode(visible)
            assert not any("�" in piece for piece in pieces)

    def test_special_tokens_and_padding(self, qwen36: Tokenizer, qwen36_vectors: dict[str, Any]) -> None:
        special = qwen36_vectors["special"]
        for text, id in special.items():
            assert qwen36.encode(f"a{text}b") == [*qwen36.encode("a"), id, *qwen36.encode("b")]
            assert qwen36.token_bytes(id) == text.encode()
        assert qwen36.vocab_size == 248_320
        assert qwen36.eos_ids[:2] == (248_046, 248_044)
        assert special["<think>"] not in qwen36.special_ids
        assert special["<|im_end|>"] in qwen36.special_ids
        assert qwen36.token_bytes(248_200) == b""

    def test_directory_equals_gguf(
        self, qwen36: Tokenizer, qwen36_vectors: dict[str, Any], tmp_path: Path, shared_data: Path
    ) -> None:
        qwen36.vocabulary.encoder.decoder = decoders.ByteLevel()
        qwen36.vocabulary.encoder.save(str(tmp_path / "tokenizer.json"))
        for name in ("tokenizer_config.json", "generation_config.json", "chat_template.jinja"):
            (tmp_path / name).write_bytes((shared_data / "qwen3.6" / name).read_bytes())
        tokenizer = Tokenizer.from_directory(tmp_path)
        assert [tokenizer.encode(case["text"]) for case in qwen36_vectors["cases"]] == [
            case["ids"] for case in qwen36_vectors["cases"]
        ]
        assert tokenizer.eos_ids == (248_046, 248_044)
        assert (tokenizer.bos_id, tokenizer.pad_id, tokenizer.eos_token) == (None, 248_044, "<|im_end|>")
        assert tokenizer.special_ids == qwen36.special_ids
        assert tokenizer.chat_template == (DATA / "qwen36_chat_template.jinja").read_text(encoding="utf-8")
        plain = tokenizer.encode("<|im_end|>", special=False)
        assert plain == qwen36.encode("<|im_end|>", special=False)
        assert tokenizer.decode(plain) == "<|im_end|>"
        # Past the last token an embedding has padding rows: they have no text.
        assert tokenizer.token_bytes(tokenizer.vocab_size + 100) == b""

    def test_loads_fast(self, qwen36_metadata: dict[str, Any]) -> None:
        started = time.process_time()
        Tokenizer.from_gguf(qwen36_metadata)
        assert time.process_time() - started < 5  # this one has four times the merges of a real file


class TestToy:
    def test_encode(self, toy: Tokenizer) -> None:
        assert toy.encode("hello") == [259]
        assert toy.encode("<|im_start|>hello<tool_call>") == [261, 259, 263]
        assert toy.encode("") == []

    def test_special_texts_as_plain_text(self, toy: Tokenizer) -> None:
        ids = toy.encode("<|im_end|><tool_call>", special=False)
        assert toy.token_id("<|im_end|>") not in ids
        assert ids[-1] == toy.token_id("<tool_call>")  # user-defined: text, not control
        assert toy.decode(ids) == "<|im_end|><tool_call>"

    def test_composes_characters(self, toy: Tokenizer) -> None:
        assert toy.encode("e\u0301") == toy.encode("\u00e9")

    def test_lone_surrogate_becomes_replacement(self, toy: Tokenizer) -> None:
        assert toy.decode(toy.encode("a\ud800b")) == "a\ufffdb"

    def test_padding(self, toy: Tokenizer) -> None:
        assert toy.vocab_size == 268
        assert toy.encode("[PAD]") == toy.encode("[") + toy.encode("PAD") + toy.encode("]")
        assert [toy.token_bytes(id) for id in (264, 267, 268, 10_000)] == [b""] * 4
        with pytest.raises(ParameterError, match="-1"):
            toy.token_bytes(-1)

    def test_ids(self, toy: Tokenizer) -> None:
        assert toy.eos_ids == (262, 260)
        assert (toy.bos_id, toy.pad_id, toy.bos_token, toy.eos_token) == (260, 260, "<|endoftext|>", "<|im_end|>")
        assert toy.special_ids == {260, 261, 262}
        assert toy.chat_template == "{{ messages }}"

    def test_markers_of_answers_stay_visible(self, metadata: dict[str, Any]) -> None:
        metadata["tokenizer.ggml.token_type"][263] = 3  # a converter took <tool_call> for a control token
        tokenizer = Tokenizer.from_gguf(metadata)
        assert Detokenizer(tokenizer).push(263) == "<tool_call>"

    def test_threads_share_it(self, toy: Tokenizer) -> None:
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda n: toy.encode("<|im_end|>hello", special=bool(n % 2)), range(400))
        assert {len(ids) for ids in found} == {2, 11}

    @given(st.text())
    def test_round_trip(self, toy: Tokenizer, text: str) -> None:
        assert toy.decode(toy.encode(text, special=False)) == unicodedata.normalize("NFC", text)


class TestDetokenizer:
    def test_emoji_split_over_tokens(self, toy: Tokenizer) -> None:
        ids = toy.encode("a👩‍💻b")
        assert len(ids) > 8
        pieces, rest = streamed(toy, ids)
        assert "".join(pieces) == "a👩‍💻b"
        assert rest == ""
        assert "�" not in "".join(pieces)

    def test_unfinished_character_only_at_the_end(self, toy: Tokenizer) -> None:
        ids = toy.encode("a💻")[:-1]
        pieces, rest = streamed(toy, ids)
        assert ("".join(pieces), rest) == ("a", "�")

    def test_control_tokens_are_hidden(self, toy: Tokenizer) -> None:
        ids = toy.encode("hello<|im_end|>")
        assert "".join(streamed(toy, ids)[0]) == "hello"
        shown = Detokenizer(toy, special=True)
        assert "".join(map(shown.push, ids)) == "hello<|im_end|>"

    @given(st.lists(st.integers(0, 259)))
    def test_equals_decoding_at_once(self, toy: Tokenizer, ids: list[int]) -> None:
        pieces, rest = streamed(toy, ids)
        data = b"".join(map(toy.token_bytes, ids))
        assert "".join(pieces) + rest == data.decode("utf-8", "replace") == toy.decode(ids)


class TestBadMetadata:
    @pytest.mark.parametrize(
        ("key", "value", "said"),
        [
            ("tokenizer.ggml.model", None, "no tokenizer.ggml.model"),
            ("tokenizer.ggml.tokens", None, "no tokenizer.ggml.tokens"),
            ("tokenizer.ggml.merges", None, "no tokenizer.ggml.merges"),
            ("tokenizer.ggml.tokens", "abc", "str, not a list"),
            ("tokenizer.ggml.tokens", 7, "int, not a list"),
            ("tokenizer.ggml.tokens", ["a", 7], r"tokens\[1\] is int"),
            ("tokenizer.ggml.token_type", [1, 1], "2 entries for 268 tokens"),
            ("tokenizer.ggml.token_type", ["x"] * 268, "not a list of integers"),
            ("tokenizer.ggml.merges", ["h e", "hello"], r"merges\[1\] is 'hello'"),
            ("tokenizer.ggml.merges", ["h e x"], "not two tokens"),
            ("tokenizer.ggml.merges", ["q q"], "do not fit"),
            ("tokenizer.ggml.eos_token_id", 268, "vocabulary has 268 tokens"),
            ("tokenizer.ggml.eos_token_id", "1", "str, not a token id"),
            ("tokenizer.chat_template", 3, "int, not a string"),
        ],
    )
    def test_is_named(self, metadata: dict[str, Any], key: str, value: Any, said: str) -> None:
        if value is None:
            del metadata[key]
        else:
            metadata[key] = value
        with pytest.raises(ModelFileError, match=f"GGUF metadata: .*{said}.*fetch it again"):
            Tokenizer.from_gguf(metadata)

    def test_old_files_do_not_say_how_words_are_cut(self, metadata: dict[str, Any]) -> None:
        given = Tokenizer.from_gguf(metadata).encode("hello 123  x")
        del metadata["tokenizer.ggml.pre"]
        assert Tokenizer.from_gguf({**metadata, "general.architecture": "qwen2"}).encode("hello 123  x") == given
        with pytest.raises(UnsupportedModelError, match=r"no tokenizer\.ggml\.pre.*converter of before April 2024"):
            Tokenizer.from_gguf({**metadata, "general.architecture": "qwen3"})

    @pytest.mark.parametrize(("key", "value"), [("tokenizer.ggml.model", "llama"), ("tokenizer.ggml.pre", "gpt-4o")])
    def test_other_tokenizers(self, metadata: dict[str, Any], key: str, value: str) -> None:
        metadata[key] = value
        with pytest.raises(UnsupportedModelError, match=f"{key} is '{value}'"):
            Tokenizer.from_gguf(metadata)


class TestDirectory:
    @pytest.fixture
    def directory(self, toy: Tokenizer, tmp_path: Path) -> Path:
        toy.vocabulary.encoder.decoder = decoders.ByteLevel()
        toy.vocabulary.encoder.save(str(tmp_path / "tokenizer.json"))
        config = {"eos_token": {"content": "<|im_end|>"}, "chat_template": "old {{ messages }}"}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
        return tmp_path

    def test_reads(self, directory: Path) -> None:
        tokenizer = Tokenizer.from_directory(directory)
        assert tokenizer.encode("<|im_start|>hello") == [261, 259]
        assert tokenizer.eos_ids == (262,)
        assert tokenizer.chat_template == "old {{ messages }}"
        (directory / "chat_template.jinja").write_text("new")
        (directory / "generation_config.json").write_text('{"eos_token_id": [260, 262]}')
        tokenizer = Tokenizer.from_directory(directory)
        assert (tokenizer.chat_template, tokenizer.eos_ids) == ("new", (262, 260))

    def test_ignores_training_truncation(self, directory: Path) -> None:
        file = directory / "tokenizer.json"
        contents = json.loads(file.read_text())
        contents["truncation"] = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
        file.write_text(json.dumps(contents))
        assert len(Tokenizer.from_directory(directory).encode("hello hello")) > 1

    @pytest.mark.parametrize(
        ("name", "contents", "said"),
        [
            ("tokenizer.json", None, "is missing"),
            ("tokenizer.json", '{"model": 3}', "is not a tokenizer"),
            ("tokenizer.json", "\udcff", "cannot be read"),
            ("tokenizer_config.json", "{", "not readable JSON"),
            ("tokenizer_config.json", "[]", "not a JSON object"),
            ("tokenizer_config.json", '{"eos_token": "<nope>"}', "'<nope>' is not in the vocabulary"),
            ("tokenizer_config.json", '{"chat_template": 3}', "chat_template is not a string"),
            ("generation_config.json", '{"eos_token_id": "x"}', "not token ids"),
        ],
    )
    def test_bad_files_are_named(self, directory: Path, name: str, contents: str | None, said: str) -> None:
        if contents is None:
            (directory / name).unlink()
        else:
            (directory / name).write_bytes(contents.encode("utf-8", "surrogateescape"))
        with pytest.raises(ModelFileError, match=f"{name}: .*{said}"):
            Tokenizer.from_directory(directory)

    def test_only_byte_level(self, directory: Path) -> None:
        file = directory / "tokenizer.json"
        contents = json.loads(file.read_text())
        contents["decoder"] = None
        file.write_text(json.dumps(contents))
        with pytest.raises(UnsupportedModelError, match="byte-level BPE"):
            Tokenizer.from_directory(directory)
