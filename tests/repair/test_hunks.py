"""Candidates whose changes are tried one by one."""

from __future__ import annotations

from pathlib import Path

import pytest
from shop import TESTS, Repository

from inhouse.repair.hunks import MOST, parts


def test_each_separate_change_is_made_alone() -> None:
    assert parts("a\nb\nc\nd", "A\nb\nc\nD\ne") == ["A\nb\nc\nd", "a\nb\nc\nD\ne"]
    assert parts("a\nb\nc", "b\nc\nd") == ["b\nc", "a\nb\nc\nd"]


@pytest.mark.parametrize("new", ["a\nb\nc", "a\nB\nc", "A\nB\nC"])
def test_one_change_has_no_parts(new: str) -> None:
    assert parts("a\nb\nc", new) == []


def test_many_changes_are_another_program() -> None:
    old = "\n".join("ab" * (MOST + 1))
    assert parts(old, old.replace("a", "A")) == []


@pytest.fixture
def shop(tmp_path: Path, scratch: Path) -> Repository:
    """A repository with one bug and a test that shows it."""
    return Repository.made(tmp_path, TESTS)


def test_what_is_right_in_an_answer_is_kept_without_what_is_wrong(shop: Repository) -> None:
    program = (shop.root / "shop/prices.py").read_text()
    body = "    result = sum(prices) - 1\n    prices = list(prices)\n    return result\n"
    shop.write("shop/prices.py", program.replace("    return sum(prices) - 1\n", body))
    result = shop.fix(["    result = sum(prices)\n    prices = list(prices)\n    return result + 1\n"])
    assert (result.status, result.attempts) == ("verified", 1)
    assert "+    result = sum(prices)\n" in result.diff
    assert "result + 1" not in result.diff
