"""A second opinion on GGUF files, where value heads lie in another order than in the goldens: llama.cpp's logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import Segment, build_model
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.synthetic import synthesize

TOKENS = 24


@pytest.mark.model
@pytest.mark.parametrize("preset", ["tiny-qwen2", "tiny-qwen3", "tiny-qwen3moe", "tiny-qwen35", "tiny-qwen35moe"])
def test_float32_files_give_llama_cpp_s_logits(preset: str, tmp_path: Path) -> None:
    llama_cpp = pytest.importorskip("llama_cpp", reason="needs llama-cpp-python (pip install 'inhouse[peer]')")
    path = tmp_path / "model.gguf"
    config = synthesize(preset, path, mix="F32")
    ids = np.random.default_rng(1).integers(0, config.vocab_size, TOKENS).astype(np.int32)
    with open_checkpoint(path) as checkpoint:
        model = build_model(checkpoint.config, checkpoint.tensors, ReferenceBackend())
    ours = model.logits(model.hidden([Segment(ids, model.new_layers(TOKENS))]))
    float32 = {"type_k": 0, "type_v": 0, "flash_attn": False}
    peer = llama_cpp.Llama(str(path), n_ctx=64, n_threads=2, logits_all=True, verbose=False, **float32)
    peer.eval(ids.tolist())
    theirs = np.array(peer.scores[:TOKENS])
    peer.close()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
