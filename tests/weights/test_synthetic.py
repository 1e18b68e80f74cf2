"""Random models: the standard mix, usable text, sane numbers, and llama.cpp loads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from weight_files import TINY

from inhouse.errors import ParameterError
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.config import DeltaNetConfig, ModelConfig, MoEConfig
from inhouse.weights.formats import FORMATS
from inhouse.weights.gguf_keys import gguf_tensors
from inhouse.weights.presets import PRESETS, preset
from inhouse.weights.synthetic import format_in_mix, synthesize

QWEN36_27B = replace(
    PRESETS["tiny-qwen35"], vocab_size=248320, hidden_size=5120, num_hidden_layers=64, num_attention_heads=24,
    num_key_value_heads=4, head_dim=256, intermediate_size=17408, tie_word_embeddings=False, rotary_dim=64,
    layer_types=PRESETS["tiny-qwen35"].layer_types * 16, delta=DeltaNetConfig(4, 16, 48, 128, 128),
)  # fmt: skip
QWEN35_397B = replace(
    PRESETS["qwen3.6-35b-a3b"], hidden_size=4096, num_hidden_layers=60, num_attention_heads=32,
    layer_types=PRESETS["tiny-qwen35"].layer_types * 15, moe=MoEConfig(512, 10, 1024, 1024),
    delta=DeltaNetConfig(4, 16, 64, 128, 128),
)  # fmt: skip


def schema(path: Path, mix: str) -> dict[str, str]:
    """The tensors that a published mix treats in another way than most: name to format."""
    section = path.read_text().split(f"[{mix}]")[1].split("\n[")[0]
    return dict(line.split() for line in section.splitlines()[1:] if line.strip())


@pytest.mark.parametrize(
    ("file", "config"), [("qwen3.6-27b.schema", QWEN36_27B), ("qwen3.5-397b-a17b.schema", QWEN35_397B)]
)
@pytest.mark.parametrize("mix", ["Q4_K_M", "Q4_0", "Q8_0", "F16"])
def test_mixes_are_the_published_ones(shared_data: Path, file: str, config: ModelConfig, mix: str) -> None:
    exceptions = schema(shared_data / "qwen3.6" / file, mix)
    names = gguf_tensors(config)
    assert set(exceptions) <= set(names)
    main = "Q4_K" if mix == "Q4_K_M" else mix
    for name, (_, shape) in names.items():
        fmt = format_in_mix(mix, name, shape, config).name
        if fmt != "F32":
            assert fmt.upper() == exceptions.get(name, main).upper(), name


def test_the_standard_mix_of_the_35b_model() -> None:
    config = PRESETS["qwen3.6-35b-a3b"]
    formats = {n: format_in_mix("Q4_K_M", n, s, config).name for n, (_, s) in gguf_tensors(config).items()}
    down = [i for i in range(40) if formats[f"blk.{i}.ffn_down_exps.weight"] == "Q6_K"]
    assert down == [0, 1, 2, 3, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34, 35, 36, 37, 38, 39]
    assert formats["output.weight"] == "Q6_K"
    assert formats["token_embd.weight"] == "Q4_K"
    for name in ("ffn_gate_inp.weight", "ssm_conv1d.weight", "ssm_a", "ssm_dt.bias", "attn_norm.weight"):
        assert formats[f"blk.0.{name}"] == "F32"
    for name in ("ssm_alpha.weight", "attn_gate.weight", "ffn_up_exps.weight", "ffn_gate_shexp.weight"):
        assert formats[f"blk.0.{name}"] == "Q4_K"


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
def test_any_format_can_fill_a_model(tmp_path: Path, fmt: object) -> None:
    name = getattr(fmt, "name", "")
    synthesize("tiny-qwen3", tmp_path / "m.gguf", layers=1, mix=name)
    with open_checkpoint(tmp_path / "m.gguf") as checkpoint:
        tensor = checkpoint.tensors["model.layers.0.mlp.up_proj.weight"]
        assert tensor.format is fmt
        assert tensor.float32().std() == pytest.approx(1 / 16, rel=0.1)


def test_the_same_seed_gives_the_same_file_and_rows_differ(tmp_path: Path, tiny: Mapping[str, Path]) -> None:
    synthesize("tiny-qwen35moe", tmp_path / "again.gguf")
    assert (tmp_path / "again.gguf").read_bytes() == tiny["tiny-qwen35moe"].read_bytes()
    synthesize("tiny-qwen35moe", tmp_path / "other.gguf", seed=1)
    assert (tmp_path / "other.gguf").read_bytes() != tiny["tiny-qwen35moe"].read_bytes()
    rows = open_checkpoint(tiny["tiny-qwen2"]).tensors["model.layers.0.mlp.down_proj.weight"].float32()
    assert len(np.unique(rows, axis=0)) == len(rows)


def test_layers_follow_the_pattern(tmp_path: Path) -> None:
    config = synthesize("tiny-qwen35", tmp_path / "five.gguf", layers=5)
    assert config.layer_types == (*PRESETS["tiny-qwen35"].layer_types, "linear_attention")
    assert open_checkpoint(tmp_path / "five.gguf").config.layer_types == config.layer_types
    assert synthesize(preset("tiny-qwen3"), tmp_path / "two.gguf", layers=2).num_hidden_layers == 2


def test_the_vocabulary_encodes_every_byte(tiny: Mapping[str, Path]) -> None:
    metadata = open_checkpoint(tiny["tiny-qwen3"]).metadata
    tokens = metadata["tokenizer.ggml.tokens"]
    assert len(set(tokens)) == len(tokens) == 1024
    assert len(set(tokens[:256])) == 256
    assert all(len(t) == 1 for t in tokens[:256])
    assert all("".join(merge.split(" ")) in tokens for merge in metadata["tokenizer.ggml.merges"])
    assert tokens[metadata["tokenizer.ggml.eos_token_id"]] == "<|im_end|>"
    assert {tokens[i] for i, kind in enumerate(metadata["tokenizer.ggml.token_type"]) if kind == 3} == {
        "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    }  # fmt: skip


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "x.gguf"
    with pytest.raises(ParameterError, match=r"no preset 'gpt'.*tiny-qwen2"):
        synthesize("gpt", out)
    with pytest.raises(ParameterError, match=r"no mix 'Q9'.*Q4_K_M"):
        synthesize("tiny-qwen2", out, mix="Q9")
    with pytest.raises(ParameterError, match="0 layers"):
        synthesize("tiny-qwen2", out, layers=0)
    with pytest.raises(ParameterError, match="vocabulary of 200"):
        synthesize(replace(PRESETS["tiny-qwen2"], vocab_size=200), out)
    with pytest.raises(ParameterError, match="are free; choose another folder"):
        synthesize("qwen3.6-35b-a3b", out, layers=1000, mix="F32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.model
@pytest.mark.parametrize("name", TINY)
def test_llama_cpp_loads_it_and_generates(tiny: Mapping[str, Path], name: str) -> None:
    llama_cpp = pytest.importorskip("llama_cpp")
    peer = llama_cpp.Llama(str(tiny[name]), n_ctx=128, n_threads=2, verbose=False)
    text = "Hello wörld"
    assert peer.detokenize(peer.tokenize(text.encode(), add_bos=False)).decode() == text
    answer = peer("Hello", max_tokens=8, temperature=0)
    assert answer["usage"]["completion_tokens"] == 8
    peer.close()
