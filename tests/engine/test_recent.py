"""What was made lately is not made again, and no more of it is kept than was said."""

from __future__ import annotations

from typing import Any

import pytest
from parrot import TEMPLATE, vocabulary

from inhouse.engine.prompt import ChatPrompts
from inhouse.engine.recent import Recent
from inhouse.tokenizer import ChatTemplate


def test_the_longest_unused_is_forgotten() -> None:
    made: list[str] = []
    recent = Recent[str](2)

    def get(text: str) -> str:
        return recent.get(text, lambda: made.append(text) or text)

    for text in ("a", "b", "a", "c", "a", "b"):
        assert get(text) == text
    assert made == ["a", "b", "c", "b"]


def test_what_fails_is_not_kept() -> None:
    recent = Recent[int](2)
    with pytest.raises(ZeroDivisionError):
        recent.get("a", lambda: 1 // 0)
    assert recent.get("a", lambda: 5) == 5


def test_switches_that_clients_choose_are_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[Any] = []
    render = ChatTemplate.render
    monkeypatch.setattr(ChatTemplate, "render", lambda *args, **flags: rendered.append(flags) or render(*args, **flags))
    prompts = ChatPrompts(vocabulary([], TEMPLATE))

    def renders(number: int) -> int:
        before = len(rendered)
        prompts.render([{"role": "user", "content": "a"}], None, "", {"thinking": True, "number": number})
        return len(rendered) - before

    assert (renders(0), renders(0)) == (3, 1)
    for number in range(1000):
        renders(number)
    assert renders(0) == 3
