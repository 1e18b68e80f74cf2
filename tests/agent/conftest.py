"""Benches that are closed after each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_kit import Bench, MakeBench, shop

from inhouse.client.scripted import Line


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
