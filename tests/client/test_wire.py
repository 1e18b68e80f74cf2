"""The wire types: strict where a mistake hides, lenient where JSON itself is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from inhouse.client.openai_types import CompletionRequest


def read(**fields: Any) -> CompletionRequest:
    return CompletionRequest.model_validate_json(json.dumps({"prompt": "a", **fields}))


def test_a_whole_number_may_be_written_with_a_point() -> None:
    request = read(max_tokens=64.0, seed=7.0, prompt=[1.0, 2])
    assert (request.max_tokens, request.seed, request.prompt) == (64, 7, [1, 2])
    assert all(type(id) is int for id in request.prompt)


@pytest.mark.parametrize("value", [64.5, "64", True, 1e400, [64]])
def test_nothing_else_is_taken_for_one(value: Any) -> None:
    with pytest.raises(ValidationError):
        read(max_tokens=value)


def test_bounds_hold_for_both_spellings() -> None:
    with pytest.raises(ValidationError):
        read(n=17.0)


def test_the_description_still_says_integer() -> None:
    schema = CompletionRequest.model_json_schema()["properties"]["max_tokens"]
    assert {"type": "integer", "minimum": 0} in schema["anyOf"]
