"""Keys and values as int8: near the exact ones, smaller, and remembered bit for bit by no other kind's engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reading import Reader
from tiny import attention_model, recurrent_model

from inhouse import LLM, SamplingParams
from inhouse.engine.cache import PrefixCache
from inhouse.engine.disk import DiskTier, list_cache
from inhouse.engine.pages import Arrays, block_of
from inhouse.engine.sequence import Sequence
from inhouse.errors import ParameterError
from inhouse.kernels.cpu import CpuBackend
from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import CausalLM
from inhouse.weights.kv import KVFormat
from inhouse.weights.summary import kv_bytes_per_token
from inhouse.weights.synthetic import synthesize

PROMPT = [t * 7 % 60 + 1 for t in range(301)]  # several pages, and no whole number of blocks
TOLERANCE = 0.2  # a code that rounding moves; logits reach 30, and a wrong state moves them by whole units
MODELS = {
    "attention": lambda: attention_model(ReferenceBackend("int8")),
    "recurrent": lambda: recurrent_model(ReferenceBackend("int8")),
    "attention-cpu": lambda: attention_model(CpuBackend(1, kv="int8")),
    "recurrent-cpu": lambda: recurrent_model(CpuBackend(1, kv="int8")),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> CausalLM:
    return MODELS[request.param]()


@pytest.fixture(scope="module", params=["tiny-qwen3", "tiny-qwen35moe"])
def file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("models") / f"{request.param}.gguf"
    synthesize(request.param, path)
    return path


def remembered(sequence: Sequence, length: int) -> Arrays:
    return block_of(sequence.layers, 0, length).arrays


def read(model: CausalLM, cache: PrefixCache, prompt: list[int], known: int) -> Arrays:
    """Reads a prompt of which `known` tokens need no computing; what it left behind of PROMPT."""
    sequence = cache.acquire(prompt)
    assert len(sequence.ids) == known
    logits = Reader(model, chunk=50).prefill(sequence, prompt)
    np.testing.assert_allclose(logits, Reader(model).logits(prompt)[-1], atol=TOLERANCE)
    kept = remembered(sequence, len(PROMPT))
    cache.release(sequence)
    return kept


def test_codes_and_scales_come_back_from_memory_and_disk_as_they_were(model: CausalLM, tmp_path: Path) -> None:
    cache = PrefixCache(model.new_layers, 1 << 30)
    cache.attach(DiskTier(tmp_path, "model", 1 << 30))
    first = read(model, cache, PROMPT, 0)
    assert {array.dtype.str for array in first} == {"|i1", "<f4"}
    again = read(model, cache, [*PROMPT, 5], len(PROMPT))
    cache.close()
    restarted = PrefixCache(model.new_layers, 1 << 30)
    restarted.attach(DiskTier(tmp_path, "model", 1 << 30))
    after = read(model, restarted, [*PROMPT, 5, 6], len(PROMPT) + 1)
    restarted.close()
    # The block of keys that ends behind PROMPT holds what follows as well.
    seen = len(PROMPT) // 16 * 16
    for one, two, three in zip(first, again, after, strict=True):
        entries = one.shape[1] * seen // len(PROMPT)
        np.testing.assert_array_equal(one[:, :entries], two[:, :entries])
        np.testing.assert_array_equal(one[:, :entries], three[:, :entries])


def test_a_sequence_that_grows_takes_its_scales_along(model: CausalLM) -> None:
    small, large = Sequence(model.new_layers, 0), Sequence(model.new_layers, 2000)
    for sequence in (small, large):
        Reader(model, chunk=50).prefill(sequence, PROMPT)
    assert small.capacity < large.capacity
    for one, other in zip(remembered(small, len(PROMPT)), remembered(large, len(PROMPT)), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kv", ["f16", "int8"])
def test_a_token_takes_what_is_planned_for_it(kv: KVFormat) -> None:
    model = attention_model(CpuBackend(1, kv=kv))
    grown = Sequence(model.new_layers, 512).nbytes - Sequence(model.new_layers, 256).nbytes
    assert grown == 256 * kv_bytes_per_token(model.config, kv)


def test_the_other_kinds_files_are_a_miss(file: Path, tmp_path: Path) -> None:
    params = SamplingParams(max_tokens=2, ignore_eos=True)
    prompt = [token + 300 for token in PROMPT]

    def cached(kv: str) -> int:
        with LLM(file, threads=1, kv=kv, pack=False, cache_dir=tmp_path) as llm:
            return llm.generate(prompt, params).usage.cached_tokens

    assert [cached(kv) for kv in ("int8", "f16", "int8", "q8_0", "f16")] == [0, 0, 300, 300, 300]
    assert len(list_cache(tmp_path)) == 2


def test_logits_stay_near(file: Path) -> None:
    ids = [token + 300 for token in PROMPT[:60]]
    with LLM(file, threads=1, pack=False) as exact, LLM(file, threads=1, kv="int8", pack=False) as coded:
        wanted, got = exact.logits(ids), coded.logits(ids)
    assert 0 < np.sqrt(np.mean((got - wanted) ** 2)) < 0.05 * wanted.std()


def test_an_unknown_kind_is_refused(file: Path) -> None:
    with pytest.raises(ParameterError, match=r"kv='q4_0'.*f16 or int8"):
        LLM(file, kv="q4_0", pack=False)
