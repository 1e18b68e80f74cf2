"""Benches that are closed after each test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest
from agent_kit import Bench, shop

from inhouse.client.scripted import Line


class MakeBench(Protocol):
    def __call__(self, *answers: Line, **options: Any) -> Bench: ...


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return shop(tmp_path)


@pytest.fixture
def bench(root: Path) -> Iterator[MakeBench]:
    """Makes agents that give these answers, in the repository `root`."""
    made: list[Bench] = []

    def make(*answers: Line, **options: Any) -> Bench:
        made.append(Bench(root, answers, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def say(bench: MakeBench, calls: Sequence[Line]) -> list[str]:
    """The results of calls, made one after the other."""
    one = bench(*calls, "done", "done")  # the first may be challenged
    one.turn()
    return one.results()
