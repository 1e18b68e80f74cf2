"""Sampling parameters: what is refused, and how it is said."""

from __future__ import annotations

from typing import Any

import pytest

from inhouse.engine.params import SamplingParams
from inhouse.errors import ParameterError


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("temperature", -0.1, "at least 0"),
        ("temperature", float("nan"), "at least 0"),
        ("top_k", -1, "at least 0"),
        ("top_k", 1.5, "whole number"),
        ("top_p", 0.0, "above 0 and at most 1"),
        ("top_p", 1.01, "above 0 and at most 1"),
        ("min_p", 1.5, "at most 1"),
        ("presence_penalty", 2.5, "at least -2 and at most 2"),
        ("frequency_penalty", float("inf"), "at least -2 and at most 2"),
        ("repetition_penalty", 0.0, "above 0"),
        ("seed", -3, "at least 0"),
        ("stop", ("a", ""), "non-empty"),
        ("stop", "", "non-empty"),
        ("max_tokens", 0, "at least 1"),
        ("max_tokens", "12", "whole number"),
        ("logprobs", 21, "at most 20"),
    ],
)
def test_names_field_value_and_range(field: str, value: Any, allowed: str) -> None:
    with pytest.raises(ParameterError) as caught:
        SamplingParams(**{field: value})
    assert field in str(caught.value)
    assert repr(value) in str(caught.value)
    assert allowed in str(caught.value)


def test_one_stop_string_is_not_taken_letter_by_letter() -> None:
    assert SamplingParams(stop="END").stop_strings == ("END",)
    assert SamplingParams(stop=["a", "b"]).stop_strings == ("a", "b")
