"""Greedy continuations of the starter model equal llama.cpp's, ties aside.

Both engines multiply the quantised blocks by activations rounded to int8, and differ where rounding errors do: by 0.1
logits (root mean square), which is also by how much llama.cpp reading a prompt at once differs from llama.cpp reading
it token by token. Choices nearer than `TIE` are a tie. Where the engines part, the choice of each must lie within that
of the other's best; from there on both continue llama.cpp's answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inhouse import LLM, SamplingParams

LENGTH = 64
TIE = 0.5  # logits: three and a half standard deviations of the difference of two
TOP = 5  # candidates compared

PROMPTS = {
    "fibonacci": "def fibonacci(n):\n",
    "binary search": "def binary_search(values: list[int], target: int) -> int:\n    low, high = 0,",
    "class": "class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n",
    "c": "#include <stdio.h>\n\nint main(int argc, char **argv) {\n    for (int i = 1; i < argc; i++) {\n",
    "javascript": "// Returns the words of a text, most frequent first.\nfunction wordsByFrequency(text) {\n",
    "sql": "-- The ten customers who spent most in 2023\nSELECT",
    "prose": "The history of the bicycle begins in the early nineteenth century, when",
    "letter": "Dear Professor Lindqvist,\n\nThank you for your letter of 3 March. I have read your paper and",
    "german": "Die Stadt Wien liegt an der Donau und",
    "chat": "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
}


Candidates = dict[int, float]  # the likeliest tokens and how far their logits lie below the best one's; best first


class LlamaCpp:
    """llama.cpp, asked for one token at a time."""

    def __init__(self, path: Path) -> None:
        self._api = pytest.importorskip("llama_cpp", reason="run `make .venv/peer`")
        self._llama: Any = self._api.Llama(str(path), n_ctx=512, n_threads=2, n_threads_batch=2, verbose=False)

    def continuation(self, prompt: list[int]) -> list[Candidates]:
        """The candidates at every step of the greedy answer."""
        self._llama.reset()
        self._llama.eval(prompt)
        steps: list[Candidates] = []
        while True:
            pointer = self._api.llama_get_logits_ith(self._llama.ctx, -1)
            logits = np.ctypeslib.as_array(pointer, (self._llama.n_vocab(),))
            best = np.argsort(-logits)[:TOP]
            steps.append({int(id): float(logits[best[0]] - logits[id]) for id in best})
            if len(steps) == LENGTH:
                return steps
            self._llama.eval([int(best[0])])

    def close(self) -> None:
        self._llama.close()


@pytest.fixture(scope="module")
def peer(starter: Path) -> Iterator[LlamaCpp]:
    llama = LlamaCpp(starter)
    yield llama
    llama.close()


@pytest.fixture(scope="module")
def llm(starter: Path) -> Iterator[LLM]:
    with LLM(starter) as opened:
        yield opened


@pytest.mark.model
@pytest.mark.parametrize("name", PROMPTS)
def test_greedy_continuation_equals_llama_cpp(name: str, peer: LlamaCpp, llm: LLM) -> None:
    prompt = llm.tokenizer.encode(PROMPTS[name])
    expected = peer.continuation(prompt)
    tokens = [next(iter(candidates)) for candidates in expected]
    agreed = 0
    while agreed < LENGTH:
        params = SamplingParams(max_tokens=LENGTH - agreed, ignore_eos=True, logprobs=TOP)
        done = llm.generate([*prompt, *tokens[:agreed]], params)
        parted = next((i for i, id in enumerate(done.token_ids) if id != tokens[agreed + i]), None)
        if parted is None:
            return
        agreed += parted
        chosen, top = done.token_ids[parted], done.logprobs[parted].top
        ours = {id: top[0][1] - logprob for id, logprob in top}
        where = f"token {agreed}: {llm.tokenizer.decode([chosen])!r} for {llm.tokenizer.decode([tokens[agreed]])!r}"
        assert ours.get(tokens[agreed], np.inf) < TIE, where
        assert expected[agreed].get(chosen, np.inf) < TIE, where
        agreed += 1
