"""What a long download tells whoever waits for it. Knows no terminal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

What = Literal["waiting", "fetching", "checking"]


@dataclass(frozen=True)
class Step:
    """Where a pull is: `done` of `total` bytes of all its files. Waiting is for another pull of the same model."""

    what: What
    done: int
    total: int


Progress: TypeAlias = Callable[[Step], None]


def silent(step: Step) -> None:
    """For callers who do not want to hear."""


def of_one(progress: Progress, what: What, before: int, total: int) -> Callable[[int], None]:
    """Progress of one file or part, of which `before` bytes of `total` came before."""

    def tell(done: int) -> None:
        progress(Step(what, before + done, total))

    return tell
