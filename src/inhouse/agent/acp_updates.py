"""What an editor is told of a turn's steps, in the words of the Agent Client Protocol. Knows no session and no model.

Commands run in our sandbox and nowhere else: the protocol's own terminals are programs that the editor starts, with the
user's rights, so none is ever asked for. An editor that can show a terminal whose output we send (it says so with
`terminal_output` in its capabilities' `_meta`, as Zed does) gets that; any other gets the output as text, as it comes.
"""

from __future__ import annotations

import re
import time
from typing import Any

import acp
from acp import schema

from inhouse.agent.commands import COMMANDS, Answer
from inhouse.agent.replay import Told
from inhouse.agent.steps import Answered, Called, Calling, Compacted, Ended, Planned, Printed, Said, Thought, Warned

_KINDS: dict[str, schema.ToolKind] = {"read": "read", "edit": "edit", "execute": "execute", "state": "think"}
_PLAN: dict[str, schema.PlanEntryStatus] = {"pending": "pending", "in_progress": "in_progress", "done": "completed"}
_SHOWN = 8_000  # characters of what a running command printed last
_PAUSE = 0.25  # seconds between two updates of the same text


class Reporter:
    """Makes the updates of one session. `terminals`: the editor shows output that is sent to it.

    `context` is how many tokens a conversation may have; the editor shows how full it is.
    """

    def __init__(self, *, terminals: bool, context: int = 0) -> None:
        self._terminals = terminals
        self._context = context
        self._printed: dict[str, str] = {}  # by call: the last of what it printed
        self._told_at = 0.0

    def updates(self, step: Told) -> list[Any]:
        """What the editor is told of a step; mostly one update or none."""
        match step:
            case str():
                return [acp.update_user_message_text(step)]
            case Thought(text):
                return [acp.update_agent_thought_text(text)]
            case Said(text):
                return [acp.update_agent_message_text(text)]
            case Warned(guard, text):
                return [acp.update_agent_thought_text(f"[{guard}: {text.strip('[]')}]\n")]
            case Planned(items):
                return [acp.update_plan([acp.plan_entry(item.text, status=_PLAN[item.status]) for item in items])]
            case Answered():
                return self._filled(step.prompt_tokens + step.completion_tokens)
            case Compacted():
                return [acp.update_agent_message_text(f"\n\n{step.said}\n\n"), *self._filled(step.after)]
            case Calling():
                return [self._calling(step)]
            case Printed(id, text):
                return self._running(id, text)
            case Called():
                return self._called(step)
            case Ended():
                return self._ended(step)
        return []

    def _ended(self, step: Ended) -> list[Any]:
        """The summary, and where nothing shows that the work is done, that."""
        said = [step.text] if step.text and step.reason != "answered" else []
        if step.changed and step.verdict.status in ("unverified", "failing", "stopped"):
            said.append(f"[{step.verdict.statement}]")
        text = "\n\n".join(said)
        before = "\n\n" if step.reason == "answered" else ""  # what was said already stands there
        return [acp.update_agent_message_text(f"{before}{text}")] if text else []

    def _filled(self, tokens: int) -> list[Any]:
        if not self._context:
            return []
        return [schema.UsageUpdate(session_update="usage_update", used=min(tokens, self._context), size=self._context)]

    def _calling(self, step: Calling) -> schema.ToolCallStart:
        shown = content(step.targets, step.old_text, step.new_text)
        meta = None
        if self._terminals and step.kind == "execute":
            shown = [acp.tool_terminal_ref(step.id)]
            meta = {"terminal_info": {"terminal_id": step.id, "cwd": step.targets[0] if step.targets else None}}
        return schema.ToolCallStart(
            session_update="tool_call",
            tool_call_id=step.id,
            title=step.title,
            kind=kind_of(step.kind),
            status="in_progress",
            content=shown,
            locations=[schema.ToolCallLocation(path=path) for path in step.targets],
            raw_input=dict(step.arguments),
            field_meta=meta,
        )

    def _running(self, id: str, text: str) -> list[Any]:
        """What a command printed, while it runs."""
        self._printed[id] = (self._printed.get(id, "") + text)[-_SHOWN:]
        if self._terminals:
            return [_output(id, text)]
        now = time.monotonic()
        if now - self._told_at < _PAUSE:
            return []
        self._told_at = now
        return [_progress(id, content=[acp.tool_content(acp.text_block(self._printed[id]))])]

    def _called(self, step: Called) -> list[Any]:
        status: schema.ToolCallStatus = "completed" if step.ok else "failed"
        printed = self._printed.pop(step.id, "")
        if self._terminals and step.kind == "execute":
            code = step.exit_code if step.exit_code is not None else 0 if step.ok else 1
            ended = {"terminal_exit": {"terminal_id": step.id, "exit_code": code, "signal": None}}
            before = [] if printed else [_output(step.id, step.text)]
            return [*before, _progress(step.id, status=status, meta=ended)]
        diff = step.kind == "edit" and step.ok  # what it showed at its start stays
        return [
            _progress(step.id, status=status, content=None if diff else [acp.tool_content(acp.text_block(step.text))])
        ]


def _output(id: str, text: str) -> schema.ToolCallProgress:
    """What a command printed, for the terminal that stands for it."""
    return _progress(id, meta={"terminal_output": {"terminal_id": id, "data": text}})


def content(targets: tuple[str, ...], old: str | None, new: str | None) -> list[Any] | None:
    """An edit as a difference; None of what is no edit."""
    return [acp.tool_diff_content(targets[0], new, old)] if new is not None and targets else None


def offered() -> schema.AvailableCommandsUpdate:
    """The commands that the user may begin a prompt with."""
    commands = [
        schema.AvailableCommand(
            name=one.name,
            description=one.about,
            input=schema.AvailableCommandInput(schema.UnstructuredCommandInput(hint=one.argument))
            if one.argument
            else None,
        )
        for one in COMMANDS
    ]
    return schema.AvailableCommandsUpdate(session_update="available_commands_update", available_commands=commands)


def replied(answer: Answer) -> list[Any]:
    """A command's answer; a difference stands between fences that are longer than any in it."""
    if not answer.text:
        return []
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", answer.text)), default=0))
    text = f"{fence}diff\n{answer.text.rstrip()}\n{fence}" if answer.diff else answer.text.replace("\n", "  \n")
    return [acp.update_agent_message_text(f"{text}\n")]


def kind_of(kind: str) -> schema.ToolKind:
    return _KINDS.get(kind, "other")


def shows_terminals(capabilities: schema.ClientCapabilities | None) -> bool:
    """Whether an editor shows terminals that it did not start."""
    meta = capabilities.field_meta if capabilities is not None else None
    return isinstance(meta, dict) and meta.get("terminal_output") is True


def _progress(
    id: str, *, status: schema.ToolCallStatus | None = None, content: list[Any] | None = None, meta: Any = None
) -> schema.ToolCallProgress:
    return schema.ToolCallProgress(
        session_update="tool_call_update", tool_call_id=id, status=status, content=content, field_meta=meta
    )
