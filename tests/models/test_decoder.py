"""Every architecture gives its own implementation's logits, however its tokens are cut into forward passes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from golden import Golden

from inhouse.errors import ParameterError
from inhouse.kernels.state import DeltaState, KVCache
from inhouse.models import CausalLM, LayerState, Segment

F32 = npt.NDArray[np.float32]
CAPACITY = 80


def forward(model: CausalLM, layers: list[LayerState], ids: npt.NDArray[np.int32], *chunks: int) -> F32:
    """Logits (T, V) of `ids` in chunks of the given sizes."""
    parts = np.split(ids, np.cumsum(chunks)[:-1])
    assert sum(chunks) == len(ids)
    return np.concatenate([model.logits(model.hidden([Segment(part, layers)])) for part in parts])


@pytest.mark.parametrize("case", ["long", "short"])
def test_prefill(golden: Golden, case: str) -> None:
    ids, logits = golden.cases[case]
    golden.check(forward(golden.model, golden.model.new_layers(CAPACITY), ids, len(ids)), logits)


def test_prefill_in_uneven_chunks(golden: Golden) -> None:
    ids, logits = golden.cases["long"]
    golden.check(forward(golden.model, golden.model.new_layers(len(ids)), ids, 1, 2, 17, 1, 33, 21), logits)


def test_one_token_at_a_time(golden: Golden) -> None:
    ids, logits = golden.cases["long"]
    golden.check(forward(golden.model, golden.model.new_layers(CAPACITY), ids[:40], *[1] * 40), logits[:40])


def test_several_sequences_in_one_forward(golden: Golden) -> None:
    """A prompt, a step of a running sequence and the start of a third share a forward and do not see each other."""
    model = golden.model
    (long, long_logits), (short, short_logits) = golden.cases["long"], golden.cases["short"]
    layers = [model.new_layers(CAPACITY) for _ in range(3)]
    model.hidden([Segment(long[:40], layers[0])])
    segments = [Segment(short, layers[1]), Segment(long[40:41], layers[0]), Segment(long[:30], layers[2])]
    logits = model.logits(model.hidden(segments))
    golden.check(logits, np.concatenate([short_logits, long_logits[40:41], long_logits[:30]]))
    golden.check(forward(model, layers[0], long[41:], 34), long_logits[41:])
    golden.check(forward(model, layers[2], long[30:], 45), long_logits[30:])


def test_states_count_tokens_and_go_back(golden: Golden) -> None:
    """Key-value caches are cut, recurrent states restored from a copy; then the sequence continues as if never left."""
    model, (ids, logits) = golden.model, golden.cases["long"]
    layers = model.new_layers(CAPACITY)
    model.hidden([Segment(ids[:20], layers)])
    copies = [state.copy() if isinstance(state, DeltaState) else None for state in layers]
    model.hidden([Segment(golden.cases["short"][0], layers)])
    assert {state.length for state in layers} == {29}
    for state, copy in zip(layers, copies, strict=True):
        if isinstance(state, KVCache):
            state.truncate(20)
        elif copy is not None:
            state.restore(copy)
    golden.check(forward(model, layers, ids[20:], 55), logits[20:])


def test_the_last_row_alone_has_the_same_logits(golden: Golden) -> None:
    model, (ids, logits) = golden.model, golden.cases["short"]
    hidden = model.hidden([Segment(ids, model.new_layers(CAPACITY))])
    golden.check(model.logits(hidden[-1:]), logits[-1:])


@pytest.mark.parametrize("wrong", [-1, 80])
def test_ids_outside_the_vocabulary_are_refused_before_any_state_moves(golden: Golden, wrong: int) -> None:
    layers = golden.model.new_layers(CAPACITY)
    with pytest.raises(ParameterError, match=str(wrong)):
        golden.model.hidden([Segment(np.array([1, wrong], np.int32), layers)])
    assert {state.length for state in layers} == {0}
