"""What becomes of a request, as the engine reports it. Knows neither models nor clients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from inhouse.engine.completion import Chunk

Priority = Literal["interactive", "background"]


@dataclass(frozen=True)
class Progress:
    """So many tokens of the prompt are done, of `total`."""

    done: int
    total: int


@dataclass(frozen=True)
class Queued:
    """The request waits until `ahead` others before it, and one of those that are being answered, are done."""

    ahead: int


@dataclass(frozen=True)
class Failure:
    """The request came to nothing."""

    error: Exception


Waiting: TypeAlias = Progress | Queued  # what comes before an answer begins
Event: TypeAlias = Chunk | Waiting | Failure
OnEvent: TypeAlias = Callable[[Event], None]
