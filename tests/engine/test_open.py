"""An LLM from files: every architecture, both formats, with and without a tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inhouse import LLM, SamplingParams
from inhouse.engine.open import identity
from inhouse.errors import InhouseError, ModelNotFoundError
from inhouse.weights.synthetic import synthesize

GOLDENS = Path(__file__).parents[1] / "models" / "goldens"
PRESETS = ("tiny-qwen2", "tiny-qwen3", "tiny-qwen3moe", "tiny-qwen35", "tiny-qwen35moe")


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "qwen3_moe", "qwen3_5", "qwen3_5_moe"])
def test_a_directory_without_a_tokenizer_gives_the_logits_of_its_architecture(name: str) -> None:
    with LLM(GOLDENS / name, threads=1) as llm, np.load(GOLDENS / name / "logits.npz") as golden:
        got, wanted = llm.logits(golden["long_ids"]), golden["long_logits"]
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, atol=5e-3 * float(np.abs(wanted).max()))
        with pytest.raises(InhouseError, match=r"tokenizer\.json"):
            llm.generate("text")


@pytest.fixture(scope="module", params=PRESETS)
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("models") / f"{request.param}.gguf"
    synthesize(request.param, path)
    return path


def test_a_quantised_file_converses_and_remembers(file: Path) -> None:
    params = SamplingParams(max_tokens=12, ignore_eos=True)
    with LLM(file, threads=2) as llm:
        prompt = llm.tokenizer.encode("<|im_start|>system\nBe brief.<|im_end|>\n")
        for question in ("What is a fixpoint?", "Which one is least?", "And the greatest?"):
            prompt += llm.tokenizer.encode(f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")
            answer = llm.generate(prompt, params)
            # Activations are rounded to int8, and rounding depends on how a prompt is cut: no exact equality here.
            cold = llm.logits([*prompt, *answer.token_ids])[len(prompt) - 1 : -1]
            assert np.all(cold.max(axis=1) - cold[np.arange(12), answer.token_ids] < 1.0)  # of a spread of 4
            again = llm.generate(prompt, params)
            assert again.usage.cached_tokens == len(prompt) - 1
            prompt += answer.token_ids
        assert answer.usage.cached_tokens > answer.usage.prompt_tokens // 2


def test_a_quantised_file_chats(file: Path) -> None:
    with LLM(file, threads=1) as llm:
        seen: list[tuple[int, int]] = []
        chunks = list(
            llm.stream_chat(
                [{"role": "user", "content": "Hi"}],
                SamplingParams(max_tokens=5, ignore_eos=True),
                progress=lambda done, total: seen.append((done, total)),
            )
        )
        usage = chunks[-1].usage
        assert usage is not None
        assert seen[-1] == (usage.prompt_tokens, usage.prompt_tokens)
        assert chunks[-1].finish_reason == "length"
        assert sum(len(chunk.token_ids) for chunk in chunks) == usage.completion_tokens == 5


def test_context_is_what_the_model_allows_unless_asked(file: Path) -> None:
    with LLM(file, threads=1) as llm:
        assert llm.context == min(llm.config.max_position_embeddings, 32_768)
    with LLM(file, threads=1, context=100) as llm:
        assert llm.context == 100


def test_a_file_is_read_for_its_name_only_where_something_is_kept_under_it(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[Path] = []

    def counting(path: Path, layout: str) -> str:
        named.append(path)
        return identity(path, layout)

    monkeypatch.setattr("inhouse.engine.open.identity", counting)
    with LLM(file, threads=1, pack=False):
        assert named == []
    with LLM(file, threads=1, pack=False, cache_dir=tmp_path / "cache"):
        assert named == [file]


def test_a_name_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no-such-model"):
        LLM(tmp_path / "no-such-model")
