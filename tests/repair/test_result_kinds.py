"""Repairs that would hand callers another kind of thing."""

from __future__ import annotations

import pytest

from inhouse.repair.result_kinds import kind_changed

EVENS = "def evens(n):\n    for i in range(0, n):\n        if i % 2 == 0:\n            yield i\n"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (EVENS, "def evens(n):\n    return [0, 2]\n", "no longer be a generator"),
        ("def evens(n):\n    return [n]\n", "def evens(n):\n    yield n\n", "would be a generator"),
        ("def evens(d):\n    return d.items()\n", "def evens(d):\n    return list(d)\n", "list, no dictionary view"),
        ("def evens(d):\n    return (1, d)\n", "def evens(d):\n    return [1, d]\n", "list, no tuple"),
        ("async def evens(d):\n    return d\n", "def evens(d):\n    return d\n", "no longer be a coroutine"),
        (EVENS, EVENS.replace("n):", "n + 1):"), ""),
        ("def evens(d):\n    return d\n", "def evens(d):\n    return [d]\n", ""),  # who knows what d is
        ("def evens(d):\n    return [] if d else f(d)\n", "def evens(d):\n    return f(d)\n", ""),
    ],
)  # fmt: skip
def test_the_kind_of_a_result_is_kept(before: str, after: str, says: str) -> None:
    assert says in kind_changed(before, after, "evens", "evens(5) is wrong")
    assert bool(kind_changed(before, after, "evens", "evens(5) is wrong")) == bool(says)


def test_a_report_may_ask_for_another_kind() -> None:
    assert kind_changed(EVENS, "def evens(n):\n    return [0]\n", "evens", "evens should return a list") == ""
