"""Model files that are not quite what is expected: what is in them is shown, and what helps is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Inhouse
from safetensors.numpy import save_file

from inhouse.weights.gguf import read_gguf
from inhouse.weights.gguf_writer import TensorSource, write_gguf
from inhouse.weights.synthetic import synthesize


@pytest.fixture(scope="module")
def qwen2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    synthesize("tiny-qwen2", path)
    return path


def altered(source: Path, target: Path, **changes: object) -> Path:
    """The file with other metadata; keys have `__` for the dot."""
    file = read_gguf(source)
    metadata = {**file.metadata, **{key.replace("__", "."): value for key, value in changes.items()}}
    tensors = [file.tensor(name) for name in file.infos]
    sources = [TensorSource(t.name, t.shape, t.format, lambda t=t: (t.data,)) for t in tensors]
    write_gguf(target, metadata, sources)
    return target


def test_inspect_shows_a_model_that_cannot_be_run(inhouse: Inhouse, qwen2: Path, tmp_path: Path) -> None:
    path = altered(qwen2, tmp_path / "llama.gguf", general__architecture="llama", llama__context_length=4096)
    shown = inhouse("inspect", path)
    assert (shown.returncode, shown.stderr) == (0, "")
    for words in ("architecture  llama", "4,096 tokens", "runs          no: architecture 'llama' is not supported"):
        assert words in shown.stdout
    told = json.loads(inhouse("inspect", path, "--json").stdout)
    assert (told["runs"], told["architecture"], told["context"]) == (False, "llama", 4096)
    assert sum(told["bytes_by_format"].values()) > 0
    damaged = tmp_path / "cut.gguf"
    damaged.write_bytes(path.read_bytes()[:100])
    refused = inhouse("inspect", damaged)
    assert (refused.returncode, refused.stdout) == (1, "")


def test_inspect_shows_a_directory_of_another_format(inhouse: Inhouse, tmp_path: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "num_hidden_layers": 2,
        "max_position_embeddings": 2048,
        "quantization_config": {"quant_method": "awq"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    tensors = {"model.layers.0.qweight": np.zeros((4, 2), np.int32), "model.norm.weight": np.ones(4, np.float16)}
    save_file(tensors, tmp_path / "model.safetensors")
    shown = inhouse("inspect", tmp_path)
    assert shown.returncode == 0, shown.stderr
    for words in ("LlamaForCausalLM, 2 layers, awq", "2 of 0.00 M elements", "  I32", "2,048 tokens", "runs"):
        assert words in shown.stdout


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{% for x in messages %}{{ x.content }}", "malformed at line 1"),
        ("nothing of what is said", "leaves out what the user says"),
    ],
)
def test_a_template_that_does_not_do_can_be_replaced(
    inhouse: Inhouse, qwen2: Path, tmp_path: Path, template: str, said: str
) -> None:
    path = altered(qwen2, tmp_path / "bad.gguf", tokenizer__chat_template=template)
    refused = inhouse("chat", path, "--no-pack", "--max-tokens", 2, input="Hello\n")
    assert said in refused.stderr
    assert "--chat-template FILE" in refused.stderr
    own = tmp_path / "own.jinja"
    own.write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    answered = inhouse("chat", path, "--no-pack", "--max-tokens", 2, "--chat-template", own, input="Hello\n")
    assert (answered.returncode, "[2 tokens" in answered.stderr) == (0, True)


def test_a_template_file_that_cannot_be_used_is_named(inhouse: Inhouse, qwen2: Path, tmp_path: Path) -> None:
    missing = inhouse("chat", qwen2, "--chat-template", tmp_path / "none.jinja", input="Hello\n")
    assert (missing.returncode, "none.jinja: cannot be read (No such file" in missing.stderr) == (1, True)
    bad = tmp_path / "bad.jinja"
    bad.write_text("{% if %}")
    malformed = inhouse("chat", qwen2, "--chat-template", bad, input="Hello\n")
    assert (malformed.returncode, "bad.jinja" in malformed.stderr) == (1, True)
