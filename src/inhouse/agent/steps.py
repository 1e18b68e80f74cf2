"""What a turn of the agent reports while it goes on. Knows neither terminals nor editors nor how the work is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias

from inhouse.agent.tools.base import Kind
from inhouse.agent.tools.plan import Item
from inhouse.agent.verdict import Verdict

# Why a turn ended. "finished" and "answered" are the model's own doing, the others are not.
Reason = Literal[
    "finished", "answered", "cancelled", "max_turns", "max_minutes", "max_tokens", "loop", "malformed", "silent"
]  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """The model reads the prompt: tokens done of all."""

    done: int
    total: int


@dataclass(frozen=True)
class Thought:
    """A piece of the model's thinking."""

    text: str


@dataclass(frozen=True)
class Said:
    """A piece of the model's answer."""

    text: str


@dataclass(frozen=True)
class Answered:
    """An answer is complete; its tokens, and how many of the prompt's came from the cache."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float


@dataclass(frozen=True)
class Calling:
    """A tool is about to run. `title` is a line, `targets` the real paths; texts and `diff` are an edit's."""

    id: str
    tool: str
    kind: Kind
    title: str
    targets: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    diff: str = ""
    old_text: str | None = None
    new_text: str | None = None


@dataclass(frozen=True)
class Printed:
    """A piece of a running command's output."""

    id: str
    text: str


@dataclass(frozen=True)
class Called:
    """What a tool told the model. `exit_code` is a command's; None of anything else."""

    id: str
    tool: str
    ok: bool
    text: str
    seconds: float
    kind: Kind = "other"
    exit_code: int | None = None


@dataclass(frozen=True)
class Planned:
    """The model's plan, anew."""

    items: tuple[Item, ...]


@dataclass(frozen=True)
class Warned:
    """A guard stepped in."""

    guard: str
    text: str


@dataclass(frozen=True)
class Compacted:
    """The conversation was summarised; its size in tokens."""

    before: int
    after: int

    @property
    def said(self) -> str:
        """For the user."""
        return f"the conversation was summarised: {self.before:,} tokens are now {self.after:,}"


@dataclass(frozen=True)
class Changed:
    """Files changed, and the checkpoint that holds them now."""

    checkpoint: str
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Ended:
    """The turn is over. Tokens are of the whole turn; `changed` files and the tests that failed last.

    `verdict` says what that amounts to, and what shows it.
    """

    reason: Reason
    text: str
    answers: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    seconds: float
    changed: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    verdict: Verdict = field(default_factory=lambda: Verdict("nothing_to_verify", "nothing was changed"))


Step: TypeAlias = (
    Reading | Thought | Said | Answered | Calling | Printed | Called | Planned | Warned | Compacted | Changed | Ended
)
OnStep: TypeAlias = Callable[[Step], None]


def as_json(step: Step) -> dict[str, Any]:
    """A step as JSON's types, with its name under "event"."""
    return {"event": type(step).__name__.lower(), **asdict(step)}
