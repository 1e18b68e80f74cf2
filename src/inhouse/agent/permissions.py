"""What the agent may do without asking. Knows actions by their kind, not who is asked or how.

    plan       reads only; commands run where nothing can be written
    ask        reads are free; edits and commands are asked for
    auto-edit  edits are free as well
    auto       everything inside the sandbox is free

What is refused everywhere, such as paths outside the workspace, is refused before it comes here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from inhouse.agent.tools.base import Action

Mode = Literal["ask", "auto-edit", "auto", "plan"]
MODES: tuple[Mode, ...] = ("ask", "auto-edit", "auto", "plan")
Choice = Literal["once", "always", "no"]


@dataclass(frozen=True)
class Question:
    """May this be done? `why` says what is special about it, if anything."""

    id: str
    tool: str
    action: Action
    why: str = ""

    @property
    def always(self) -> str:
        """What "always" would allow for the rest of the session."""
        if self.action.kind == "edit":
            return "all edits in this session"
        return "all commands in this session" if self.action.kind == "execute" else f"all calls of {self.tool}"


@dataclass(frozen=True)
class Reply:
    choice: Choice
    reason: str = ""  # of a no, for the model


Approver = Callable[[Question], Reply]


def nobody(question: Question) -> Reply:
    """The approver where there is no user to ask."""
    return Reply("no", "nobody is here to allow it; do it in another way, or finish and say what is missing")


class Permissions:
    """The mode of a session and what its user has allowed for good."""

    def __init__(self, mode: Mode, approver: Approver = nobody) -> None:
        self.mode: Mode = mode
        self.approver = approver
        self._always: set[str] = set()

    def refusal(self, id: str, tool: str, action: Action, *, confined: bool) -> str:
        """Why an action may not be done, worded for the model; empty when it may. Asks the user where needed."""
        if action.kind in ("read", "state"):
            return ""
        unconfined = action.kind == "execute" and not confined
        if self.mode == "plan":
            if action.kind == "execute" and confined:
                return ""
            return f"{tool} was not run: in plan mode nothing may change; read, then say what you would do"
        free = (self.mode == "auto" and action.kind in ("edit", "execute")) or (
            self.mode == "auto-edit" and action.kind == "edit"
        )
        if free and not unconfined:
            return ""
        key = action.kind if action.kind in ("edit", "execute") else tool
        if key in self._always:
            return ""
        reply = self.approver(Question(id, tool, action, "it would run outside the sandbox" if unconfined else ""))
        if reply.choice == "always":
            self._always.add(key)
        if reply.choice != "no":
            return ""
        return f"{tool} was not run: the user does not allow it" + (f" ({reply.reason})" if reply.reason else "")
