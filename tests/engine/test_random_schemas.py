"""Random schemas under random models: every call fits its schema, and none is refused without a reason.

`RANDOM_SCHEMAS=10000 pytest tests/engine/test_random_schemas.py -s` draws more of them, and says what was refused.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from parrot import vocabulary
from random_schemas import Maker, Schema

from inhouse import SamplingParams
from inhouse.engine.constraints import Constraint
from inhouse.engine.guide import Grammars, Guide
from inhouse.engine.sampler import Sampler
from inhouse.errors import ParameterError
from inhouse.tokenizer import Call, CallBegun, CallPart, Dialect, OutputParser
from inhouse.tokenizer.lenient_json import loads

COUNT = int(os.environ.get("RANDOM_SCHEMAS", "200"))
TOKENIZER = vocabulary(
    ["<tool_call>", "</tool_call>", "</parameter>", "<parameter=", '": ', "true", "null", '"}', "12"]
)
EOS = 257
GRAMMARS = Grammars(TOKENIZER, frozenset({EOS}), TOKENIZER.vocab_size)
CLOSING = [TOKENIZER.encode(text)[0] for text in ('"', "}", "]", "\n", "<", "/")]
PLENTY = 60  # tokens, after which the model would rather come to an end
MOST = 700


def drawn(guide: Guide, seed: int) -> str | None:
    """What random logits say under a guide; None if they come to no end."""
    random = np.random.default_rng(seed)
    sampler = Sampler(SamplingParams(temperature=1.0, seed=seed), [0], TOKENIZER.vocab_size)
    said: list[int] = []
    marker = TOKENIZER.encode("\n</parameter>\n")
    while len(said) < MOST:
        logits = random.normal(0, 2, TOKENIZER.vocab_size).astype(np.float32)
        if len(said) > PLENTY:
            logits[CLOSING] += 6
            at = next((n for n in range(len(marker) - 1, 0, -1) if said[-n:] == marker[:n]), 0)
            logits[marker[at]] += 12
        token = sampler.draw(logits, guide)
        if token == EOS:
            return TOKENIZER.decode(said)
        said.append(token)
        guide.push(token)
    return None


def one_call(dialect: Dialect, schema: Schema, seed: int) -> str | None:
    """The arguments of a call that is bound to `schema`. Raises ParameterError."""
    tools = [{"type": "function", "function": {"name": "act", "parameters": schema}}]
    wanted = Constraint(tool_choice="required", parallel_tool_calls=False, strict_tools=frozenset({"act"}))
    guide = GRAMMARS.guide(wanted, dialect=dialect, tools=tools)
    assert guide is not None
    text = drawn(guide, seed)
    if text is None:
        return None
    parser = OutputParser(dialect, tools=tools)
    events = [*parser.push(text), *parser.finish()]
    assert len(events) == 1, (text, events)
    assert isinstance(events[0], Call), text
    check_stream(OutputParser(dialect, tools=tools, streams=True), text, events[0])
    return events[0].arguments_json


def check_stream(parser: OutputParser, text: str, call: Call) -> None:
    """The pieces of a call that is given out as it is written are those of the whole call."""
    events = [event for character in text for event in parser.push(character)] + parser.finish()
    assert events[-1] == call
    parts = [event.text for event in events if isinstance(event, CallPart)]
    if isinstance(events[0], CallBegun):
        assert loads("".join(parts)) == json.loads(call.arguments_json), (text, parts)  # but for numbers beyond all
    else:
        assert not parts


@pytest.mark.parametrize("dialect", ["qwen3_xml", "hermes_json"])
def test_every_call_validates(dialect: Dialect) -> None:
    refused: Counter[str] = Counter()
    endless = 0
    for seed in range(COUNT):
        schema = Maker(seed).parameters()
        try:
            arguments = one_call(dialect, schema, seed)
        except ParameterError as error:
            refused[str(error)] += 1
            continue
        if arguments is None:
            endless += 1
            continue
        problems = [error.message for error in Draft202012Validator(schema).iter_errors(json.loads(arguments))]
        assert not problems, (seed, json.dumps(schema), arguments, problems)
    print(f"\n{dialect}: {COUNT} schemas, {endless} without an end in {MOST} tokens, {refused.total()} refused")
    reasons: Counter[str] = Counter()
    for error, count in refused.items():
        found = re.search(r"the parameters of tool 'act': (.+); change them", error)
        assert found, error
        reasons[re.sub(r"'[^']*'|[0-9]+", "_", found[1])[:90]] += count
    for reason, count in reasons.most_common():
        print(f"{count:6} {reason}")
    assert endless < COUNT / 20
    assert refused.total() < COUNT / 4
