"""The session as the loop writes it: all that happens goes to the disk and into the state at once. Asks no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inhouse.agent.session import Session
from inhouse.agent.state import State, state_of
from inhouse.agent.tools.base import Kind
from inhouse.agent.tools.plan import Item
from inhouse.agent.verdict import Survey, survey
from inhouse.client.shape import message_json
from inhouse.client.types import Message, Usage
from inhouse.errors import WorkspaceError
from inhouse.workspace.shadow import Change, Shadow

_READ = 200  # changed files that are read to tell what kind of change it is


@dataclass(frozen=True)
class CallRecord:
    """What is known of a call beside its text: the kind of tool, whether it succeeded, a command's exit code."""

    kind: Kind
    ok: bool
    exit_code: int | None = None


class Journal:
    """What is known of a session, and the only way to add to it."""

    def __init__(self, session: Session, root: Path) -> None:
        self.session = session
        self.state: State = state_of(session.records)
        self._root = root
        self._shadow = Shadow(root, session.checkpoints)

    def message(
        self, message: Message, prompt: str | None = None, word: str = "", call: CallRecord | None = None
    ) -> None:
        """A message; `prompt` is what of it the user wrote, `word` the guard that speaks in it (see `Evidence`).

        `call` says how the call ended that a tool's message answers.
        """
        extra: dict[str, Any] = {} if prompt is None else {"prompt": prompt}
        extra |= {} if call is None else {"call": asdict(call)}
        extra |= {"word": word} if word else {}
        self._add("message", message=message_json(message), **extra)

    def answer(self, usage: Usage) -> None:
        self._add(
            "answer",
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=usage.cached_tokens,
            completion_tokens=usage.completion_tokens,
        )

    def plan(self, items: Sequence[Item]) -> None:
        self._add("plan", items=[{"text": item.text, "status": item.status} for item in items])

    def ran(
        self,
        verdict: bool | None,
        failing: Sequence[str],
        command: str,
        *,
        ok: bool,
        exit_code: int | None,
        elsewhere: bool,
    ) -> None:
        """Commands ran that can show something; the arguments are `Evidence.ran`'s."""
        extra = {"elsewhere": True} if elsewhere else {}
        if verdict is None:
            self._add("ran", command=command, ok=ok, exit_code=exit_code, **extra)
        else:
            self._add("tests", command=command, passed=verdict, failing=list(failing), exit_code=exit_code, **extra)

    def compacted(self, messages: Sequence[Message]) -> None:
        """These messages take the place of all before."""
        self._add("compacted", messages=[message_json(message) for message in messages])

    def overview(self, text: str) -> None:
        """The map of the repository that the first message holds."""
        self._add("overview", text=text)

    def turn(self, reason: str, text: str) -> None:
        self._add("turn", reason=reason, text=text)

    def checkpoint(self, call: str = "", title: str = "") -> tuple[str, tuple[str, ...]] | None:
        """Record the files as they are, if they changed: the checkpoint and the paths.

        Without a call it is somebody else who changed them, so undo will not take that back.
        """
        last = self.state.last_checkpoint
        tree = self._shadow.checkpoint()
        if tree == last:
            return None
        changes = self._shadow.changes(last, tree) if last else []
        paths = tuple(change.path for change in changes)
        added = [change.path for change in changes if change.status == "A"]
        self._add("checkpoint", tree=tree, call=call, title=title, paths=list(paths), added=added)
        return tree, paths

    def cover(self, targets: Sequence[str]) -> None:
        """Have the checkpoints hold files, by their real paths, that are about to be edited and that git may ignore."""
        state = self.state
        inside = [target for target in targets if Path(target).is_relative_to(self._root)]
        paths = [Path(target).relative_to(self._root).as_posix() for target in inside]
        named = dict.fromkeys([state.first_checkpoint, state.evidence.start, state.last_checkpoint])
        known = [checkpoint for checkpoint in named if checkpoint]
        renamed = dict(zip(known, self._shadow.cover(paths, known), strict=True))
        if any(old != new for old, new in renamed.items()):
            self._add("covered", checkpoints=renamed)

    def undo(self, count: int = 1) -> list[Change]:
        """Take back the last calls that changed files. Raises WorkspaceError where that cannot be done."""
        steps = self.state.changes[-count:]
        if not steps or count < 1:
            raise WorkspaceError("there is nothing to undo in this session")
        undone: list[Change] = []
        for step in reversed(steps):
            undone += self._shadow.go_back(step.before, step.after)
            self._add("undone", count=1, title=step.title, tree=self._shadow.checkpoint())
        return undone

    def diff(self) -> str:
        """What changed since the session began, as a unified diff."""
        if not self.state.first_checkpoint:
            return ""
        return self._shadow.diff(self.state.first_checkpoint, self._shadow.checkpoint())

    def changed_paths(self) -> tuple[str, ...]:
        """The files that differ from the session's beginning, as of the last checkpoint."""
        first, last = self.state.first_checkpoint, self.state.last_checkpoint
        return tuple(change.path for change in self._shadow.changes(first, last)) if first != last else ()

    def survey(self) -> Survey:
        """What the calls changed since the user last spoke and have not taken back, as of the last checkpoint."""
        evidence, last = self.state.evidence, self.state.last_checkpoint
        if not evidence.changed or not evidence.start or evidence.start == last:
            return Survey()
        own = set(evidence.changed)
        changes = [change for change in self._shadow.changes(evidence.start, last) if change.path in own]
        texts = {
            change.path: (
                "" if change.status == "A" else self._shadow.text(evidence.start, change.path),
                "" if change.status == "D" else self._shadow.text(last, change.path),
            )
            for change in changes[:_READ]
        }
        return survey(texts | {change.path: ("", "") for change in changes[_READ:]})

    def _add(self, kind: str, **fields: Any) -> None:
        self.session.append(kind, **fields)
        self.state.apply(self.session.records[-1])
