"""Texts as vectors and documents by their worth, as OpenAI's, Ollama's and Jina's clients ask for them."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import ollama
import openai
import pytest
from live import Client, Serve, serving
from test_serve import process, url_of

from inhouse import LLM
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.gguf import read_gguf
from inhouse.weights.gguf_writer import TensorSource, write_gguf
from inhouse.weights.synthetic import synthesize

TEXTS = ["Hello there", "Wie geht es?", "x" * 900]
POOLING = {"mean": 1, "last": 3, "rank": 4}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny model of each kind of pooling; those that embed end their texts."""
    folder = tmp_path_factory.mktemp("embedding")
    synthesize("tiny-qwen3", folder / "plain.gguf")
    file = read_gguf(folder / "plain.gguf")
    tensors = [file.tensor(name) for name in file.infos]
    sources = [TensorSource(t.name, t.shape, t.format, lambda t=t: (t.data,)) for t in tensors]
    for name, number in POOLING.items():
        own = {"qwen3.pooling_type": number, "tokenizer.ggml.add_eos_token": name != "rank"}
        write_gguf(folder / f"{name}.gguf", {**file.metadata, **own}, sources)
    return {name: folder / f"{name}.gguf" for name in ("plain", *POOLING)}


@pytest.fixture(scope="module")
def urls(models: dict[str, Path]) -> Iterator[dict[str, str]]:
    with ExitStack() as stack:
        llms = {name: stack.enter_context(LLM(path, threads=1, pack=False)) for name, path in models.items()}
        yield {name: stack.enter_context(serving(llm)) for name, llm in llms.items()}


@pytest.mark.parametrize("kind", ["last", "mean"])
def test_the_vector_is_what_the_head_would_have_seen(models: dict[str, Path], kind: str) -> None:
    """The logits of a text are the head's products with it: of its last token, or on average."""
    with LLM(models[kind], threads=1, pack=False) as llm, open_checkpoint(models[kind]) as checkpoint:
        ids = llm.tokenizer.encode_whole(TEXTS[2])
        assert ids[-1] == llm.tokenizer.eos_ids[0]
        vector = llm.engine.embed(ids)
        assert vector is not None
        head = checkpoint.tensors.get("lm_head.weight", checkpoint.tensors["model.embed_tokens.weight"]).float32()
        logits = llm.logits(ids)
        expected = logits[-1] if kind == "last" else logits.mean(axis=0)
        seen = head @ vector
    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-6)
    cosine = float(seen @ expected / np.linalg.norm(seen) / np.linalg.norm(expected))
    assert cosine > 0.999


def test_openais_client_gets_vectors_in_both_forms(urls: dict[str, str], client: Client) -> None:
    api = client(urls["last"])
    packed = api.embeddings.create(model="tiny", input=TEXTS)  # the client asks for base64 by itself
    plain = api.embeddings.create(model="tiny", input=TEXTS, encoding_format="float")
    assert [entry.index for entry in packed.data] == [0, 1, 2]
    for one, other in zip(packed.data, plain.data, strict=True):
        np.testing.assert_allclose(one.embedding, other.embedding, atol=1e-6)
    assert packed.usage.prompt_tokens > 900 // 4
    raw = httpx2.post(f"{urls['last']}/embeddings", json={"input": "Hello there", "encoding_format": "base64"}).json()
    numbers = np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(numbers, plain.data[0].embedding, atol=1e-6)


def test_fewer_dimensions_are_the_first_scaled_again(urls: dict[str, str], client: Client) -> None:
    api = client(urls["last"])
    whole = api.embeddings.create(model="tiny", input="Hello").data[0].embedding
    part = api.embeddings.create(model="tiny", input="Hello", dimensions=8).data[0].embedding
    np.testing.assert_allclose(part, np.asarray(whole[:8]) / np.linalg.norm(whole[:8]), atol=1e-6)
    with pytest.raises(openai.BadRequestError, match=f"dimensions: this model has {len(whole)}"):
        api.embeddings.create(model="tiny", input="Hello", dimensions=len(whole) + 1)


def test_ollamas_client_gets_the_same(urls: dict[str, str], client: Client) -> None:
    expected = client(urls["mean"]).embeddings.create(model="tiny", input=TEXTS[:2])
    with ollama.Client(urls["mean"]) as own:
        found = own.embed("tiny", TEXTS[:2])
        older = own.embeddings("tiny", TEXTS[0])
        shown = own.show("tiny")
    np.testing.assert_allclose(found.embeddings, [entry.embedding for entry in expected.data], atol=1e-6)
    np.testing.assert_allclose(older.embedding, found.embeddings[0], atol=1e-6)
    assert found.prompt_eval_count == expected.usage.prompt_tokens
    assert shown.capabilities == ["embedding"]


def test_documents_come_in_the_order_of_their_scores(urls: dict[str, str], models: dict[str, Path]) -> None:
    body: dict[str, Any] = {"query": "cats", "documents": ["a dog", {"text": "a cat"}, "cats"]}
    ranked = httpx2.post(f"{urls['rank']}/v1/rerank", json={**body, "return_documents": True}, timeout=60).json()
    scores = [result["relevance_score"] for result in ranked["results"]]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score < 1 for score in scores)
    assert {result["document"]["text"] for result in ranked["results"]} == {"a dog", "a cat", "cats"}
    assert len(httpx2.post(f"{urls['rank']}/rerank", json={**body, "top_n": 1}, timeout=60).json()["results"]) == 1
    first = ranked["results"][0]
    with LLM(models["rank"], threads=1, pack=False) as llm:
        prompt = (
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
            'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: '
            "Given a web search query, retrieve relevant passages that answer the query\n<Query>: cats\n<Document>: "
            f"{first['document']['text']}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
        )
        logits = llm.logits(llm.tokenizer.encode(prompt))[-1]
        yes, no = (float(logits[llm.tokenizer.encode(word)[0]]) for word in ("yes", "no"))
    assert first["relevance_score"] == pytest.approx(1 / (1 + math.exp(no - yes)), abs=0.02)


def test_models_that_are_not_made_for_it_say_so(urls: dict[str, str], says: Serve) -> None:
    refused = httpx2.post(f"{says('Good')}/v1/embeddings", json={"input": "x"})
    assert (refused.status_code, "Qwen3-Embedding" in refused.json()["error"]["message"]) == (400, True)
    other = httpx2.post(f"{urls['last']}/v1/rerank", json={"query": "x", "documents": ["y"]})
    assert (other.status_code, "Qwen3-Reranker" in other.json()["error"]["message"]) == (400, True)


def test_texts_that_cannot_be_taken_are_named(urls: dict[str, str]) -> None:
    for given, said in ([], "input: give from 1"), (["a", ""], None), ([[1], []], "input[1]"), ([9999999], "9999999"):
        answer = httpx2.post(f"{urls['last']}/v1/embeddings", json={"input": given})
        if said is None:
            assert answer.status_code == 200  # an empty text with its end is a text
        else:
            assert (answer.status_code, said in answer.json()["error"]["message"]) == (400, True)


def test_several_models_are_served_each_by_its_name(models: dict[str, Path], tmp_path: Path, client: Client) -> None:
    names = {"chat": "plain", "vectors": "last", "judge": "rank"}
    with process(
        tmp_path, "--no-pack", "--threads", 1, *(f"{name}={models[kind]}" for name, kind in names.items())
    ) as server:
        url = url_of(server)
        api = client(url)
        assert [model.id for model in api.models.list()] == list(names)
        assert api.models.retrieve("vectors").id == "vectors"
        hello: Any = [{"role": "user", "content": "Hi"}]
        assert api.chat.completions.create(model="chat", messages=hello, max_tokens=2).model == "chat"
        assert api.chat.completions.create(model="gpt-x", messages=hello, max_tokens=2).model == "chat"
        for name in ("vectors", "text-embedding-x"):  # of an unknown name it is the one that can
            assert api.embeddings.create(model=name, input="Hello").model == "vectors"
        ranked = httpx2.post(f"{url}/v1/rerank", json={"query": "a", "documents": ["b"]}, timeout=60).json()
        assert ranked["model"] == "judge"
        with pytest.raises(openai.BadRequestError, match="not made to embed"):
            api.embeddings.create(model="chat", input="Hello")
        with ollama.Client(url) as own:
            assert [entry.model for entry in own.list().models] == [f"{name}:latest" for name in names]
        assert httpx2.get(f"{url}/stats").json()["others"].keys() == {"vectors", "judge"}
        metrics = httpx2.get(f"{url}/metrics").text
        assert all(f'inhouse_engine_prefill_tokens{{model="{name}"}}' in metrics for name in names)


def test_two_models_of_one_name_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    with process(tmp_path, f"a={models['last']}", f"a={models['rank']}") as server:
        _, told = server.communicate(timeout=30)
    assert (server.returncode, "two models are called 'a'" in told) == (1, True)
