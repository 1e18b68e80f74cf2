"""What a repair reports while it goes on. Knows neither terminals nor how the work is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

Verdict = Literal["verified", "better", "failed", "voted", "unchanged", "repeated", "unusable"]

DraftVerdict = Literal["shows", "passes", "mistaken", "unusable"]

Style = Literal["repair", "plain", "anew", "told", "explain", "line", "alternative"]  # of a question; see `strategy`


@dataclass(frozen=True)
class Prepared:
    """The copy is made. `confined`: whether commands run in the sandbox."""

    files: int
    command: str
    confined: bool


@dataclass(frozen=True)
class Tested:
    """The tests ran before any edit: which fail, and how many ran (None where the output does not say).

    `reasons` say why, in the order of `failing`; `apart` fail too, or may, and do not decide, for the reason given.
    """

    failing: tuple[str, ...]
    ran: int | None
    seconds: float
    reasons: tuple[str, ...] = ()
    apart: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosed:
    """The test command told nothing of the program: why, the run's own lines that say so, and what to do next."""

    kind: str
    reason: str
    evidence: tuple[str, ...]
    next_step: str


@dataclass(frozen=True)
class Located:
    """Where the fault may be, the likeliest first, as `path::name`; the likeliest `lines` of each, as `path:line`."""

    suspects: tuple[str, ...]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Asked:
    """The model is asked for a new version of a suspect."""

    attempt: int
    suspect: str
    temperature: float


@dataclass(frozen=True)
class Tried:
    """What became of the answers to a question; `detail` is the first lines of what went wrong with the best.

    `versions` of the program came of them that were not tried before.
    """

    attempt: int
    suspect: str
    verdict: Verdict
    detail: str
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    seconds: float
    style: Style = "repair"
    versions: int = 1


@dataclass(frozen=True)
class Judged:
    """The tests ran on a version of the program that an answer made; `diff` is how it differs from the user's."""

    suspect: str
    verdict: Verdict
    diff: str


@dataclass(frozen=True)
class Noted:
    """Something went wrong that the repair can do without."""

    text: str


@dataclass(frozen=True)
class Drafted:
    """What became of a test that the model wrote to show the problem. Only one that "shows" it may be used.

    `text` is the whole file, "" where the answer was no test.
    """

    attempt: int
    suspect: str
    verdict: DraftVerdict
    detail: str
    text: str
    prompt_tokens: int
    cached_tokens: int
    answer_tokens: int
    seconds: float


@dataclass(frozen=True)
class Reproduction:
    """The test, a new file, that the verdict rests on: it fails now, and `says` how.

    Its assertion is the report's own or the model's; then `agreed` of the `drafts` that were asked for assert the same.
    """

    path: str
    text: str
    says: str
    agreed: int
    drafts: int
    source: Literal["report", "model"] = "model"


Event: TypeAlias = Prepared | Tested | Diagnosed | Located | Asked | Judged | Tried | Noted | Drafted | Reproduction
OnEvent: TypeAlias = Callable[[Event], None]


def as_json(event: Event) -> dict[str, Any]:
    """An event as JSON's types, with its name under "event"."""
    return {"event": type(event).__name__.lower(), **asdict(event)}
