"""The Agent Client Protocol: an editor's prompts to turns, a turn's steps to the editor's updates. Knows no model.

The protocol lives in an event loop, a session's agent in a thread of its own: the sandbox's processes end with the
thread that started them. Questions of permission wait in that thread for the editor's answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import acp
from acp import schema

from inhouse.agent.loop import Agent
from inhouse.agent.permissions import MODES, Approver, Question, Reply
from inhouse.agent.steps import Called, Calling, Ended, OnStep, Planned, Said, Step, Thought
from inhouse.errors import InhouseError

_KINDS: dict[str, schema.ToolKind] = {"read": "read", "edit": "edit", "execute": "execute", "state": "think"}
_STOPS: dict[str, schema.StopReason] = {
    "finished": "end_turn", "answered": "end_turn", "cancelled": "cancelled", "max_tokens": "max_tokens",
}  # fmt: skip
_PLAN: dict[str, schema.PlanEntryStatus] = {"pending": "pending", "in_progress": "in_progress", "done": "completed"}
_LOOK = 0.1  # seconds between two looks at whether a question was cancelled

Open = Callable[[Path, OnStep, Approver], Agent]  # the agent of a new session in a folder
T = TypeVar("T")


@dataclass
class _Session:
    """One conversation: its agent, made and used in `thread` alone."""

    thread: ThreadPoolExecutor
    cancelled: threading.Event = field(default_factory=threading.Event)
    agent: Agent | None = None


class AcpAgent:
    """What an editor talks to. `open_agent` makes the agent of a session."""

    def __init__(self, open_agent: Open, version: str) -> None:
        self._open = open_agent
        self._version = version
        self._sessions: dict[str, _Session] = {}
        self._editor: acp.Client | None = None

    def on_connect(self, conn: acp.Client) -> None:
        self._editor = conn

    async def initialize(self, protocol_version: int, **_: Any) -> schema.InitializeResponse:
        return schema.InitializeResponse(
            protocol_version=min(protocol_version, acp.PROTOCOL_VERSION),
            agent_capabilities=schema.AgentCapabilities(),
            agent_info=schema.Implementation(name="inhouse", title="Inhouse", version=self._version),
        )

    async def new_session(self, cwd: str, **_: Any) -> schema.NewSessionResponse:
        loop = asyncio.get_running_loop()
        session = _Session(ThreadPoolExecutor(1, "session"))
        known: list[str] = []

        def begin() -> Agent:
            def on_step(step: Step) -> None:
                for update in updates(step):
                    self._wait(loop, self._send(known[0], update), session)

            return self._open(Path(cwd), on_step, lambda question: self._ask(loop, known[0], session, question))

        try:
            session.agent = agent = await loop.run_in_executor(session.thread, begin)
        except InhouseError as error:
            session.thread.shutdown(wait=False)
            raise acp.RequestError.internal_error({"details": str(error)}) from None
        known.append(agent.journal.session.id)
        self._sessions[known[0]] = session
        modes = [schema.SessionMode(id=mode, name=mode) for mode in MODES]
        state = schema.SessionModeState(current_mode_id=agent.permissions.mode, available_modes=modes)
        return schema.NewSessionResponse(session_id=known[0], modes=state)

    async def set_session_mode(self, mode_id: str, session_id: str, **_: Any) -> schema.SetSessionModeResponse:
        found = next((mode for mode in MODES if mode == mode_id), None)
        session = self._session(session_id)
        if found is None or session.agent is None:
            raise acp.RequestError.invalid_params({"mode": mode_id})
        session.agent.permissions.mode = found
        return schema.SetSessionModeResponse()

    async def prompt(self, prompt: list[Any], session_id: str, **_: Any) -> schema.PromptResponse:
        session = self._session(session_id)
        session.cancelled.clear()
        text = "\n\n".join(part for block in prompt if (part := _text(block)))
        agent = session.agent
        assert agent is not None

        def turn() -> Ended:
            return agent.turn(text, session.cancelled.is_set)

        try:
            ended = await asyncio.get_running_loop().run_in_executor(session.thread, turn)
        except InhouseError as error:
            raise acp.RequestError.internal_error({"details": str(error)}) from None
        return schema.PromptResponse(stop_reason=_STOPS.get(ended.reason, "max_turn_requests"))

    async def cancel(self, session_id: str, **_: Any) -> None:
        self._session(session_id).cancelled.set()

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions.values():
            session.cancelled.set()
            if session.agent is not None:
                session.thread.submit(session.agent.close)
                session.thread.submit(session.agent.journal.session.close)
            session.thread.shutdown(wait=True)

    def _session(self, id: str) -> _Session:
        if id not in self._sessions:
            raise acp.RequestError.invalid_params({"session": id})
        return self._sessions[id]

    async def _send(self, session_id: str, update: Any) -> None:
        if self._editor is not None:
            await self._editor.session_update(session_id, update)

    def _wait(self, loop: asyncio.AbstractEventLoop, what: Coroutine[Any, Any, T], session: _Session) -> T | None:
        """The result of something in the event loop; None when the turn is cancelled before it comes."""
        waiting: Future[T] = asyncio.run_coroutine_threadsafe(what, loop)
        while True:
            try:
                return waiting.result(_LOOK)
            except NotYet:
                if session.cancelled.is_set():
                    waiting.cancel()
                    return None

    def _ask(self, loop: asyncio.AbstractEventLoop, id: str, session: _Session, question: Question) -> Reply:
        """Ask the editor's user."""
        assert self._editor is not None
        action = question.action
        call = schema.ToolCallUpdate(
            tool_call_id=question.id,
            title=action.title,
            kind=_KINDS.get(action.kind, "other"),
            status="pending",
            content=_content(action.targets, action.old_text, action.new_text),
            locations=[schema.ToolCallLocation(path=path) for path in action.targets],
        )
        options = [
            schema.PermissionOption(option_id="once", name="Yes", kind="allow_once"),
            schema.PermissionOption(option_id="always", name=f"Yes, and {question.always}", kind="allow_always"),
            schema.PermissionOption(option_id="no", name="No", kind="reject_once"),
        ]
        asked = self._editor.request_permission(session_id=id, tool_call=call, options=options)
        reply = self._wait(loop, asked, session)
        if reply is None or not isinstance(reply.outcome, schema.AllowedOutcome):
            return Reply("no", "they stopped the turn")
        chosen = reply.outcome.option_id
        return Reply("always") if chosen == "always" else Reply("once") if chosen == "once" else Reply("no")


def updates(step: Step) -> list[Any]:
    """What the editor is told of a step."""
    match step:
        case Thought(text):
            return [acp.update_agent_thought_text(text)]
        case Said(text):
            return [acp.update_agent_message_text(text)]
        case Planned(items):
            return [acp.update_plan([acp.plan_entry(item.text, status=_PLAN[item.status]) for item in items])]
        case Calling():
            return [
                acp.start_tool_call(
                    step.id,
                    step.title,
                    kind=_KINDS.get(step.kind, "other"),
                    status="in_progress",
                    content=_content(step.targets, step.old_text, step.new_text),
                    locations=[schema.ToolCallLocation(path=path) for path in step.targets],
                    raw_input=dict(step.arguments),
                )
            ]
        case Called():
            shown = [acp.tool_content(acp.text_block(step.text))]
            diff = step.tool in ("str_replace", "insert", "create") and step.ok  # what it showed at its start stays
            status: schema.ToolCallStatus = "completed" if step.ok else "failed"
            return [acp.update_tool_call(step.id, status=status, content=None if diff else shown)]
        case Ended() if step.text and step.reason != "answered":
            return [acp.update_agent_message_text(step.text)]
    return []


def _content(targets: tuple[str, ...], old: str | None, new: str | None) -> list[Any] | None:
    return [acp.tool_diff_content(targets[0], new, old)] if new is not None and targets else None


def _text(block: Any) -> str:
    """What a block of a prompt says in text."""
    if isinstance(block, schema.TextContentBlock):
        return block.text
    if isinstance(block, schema.ResourceContentBlock):
        return f"[{block.uri}]"
    resource = getattr(block, "resource", None)
    text = getattr(resource, "text", None)
    return f"<file path={resource.uri!r}>\n{text}\n</file>" if resource is not None and isinstance(text, str) else ""
