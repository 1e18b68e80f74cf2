"""The Agent Client Protocol: an editor's prompts to turns, a turn's steps to the editor's updates. Knows no model.

The protocol lives in an event loop, a session's agent in a thread of its own: the sandbox's processes end with the
thread that started them. Questions of permission wait in that thread for the editor's answer. What an editor is told of
a step is `acp_updates`' affair.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import acp
from acp import schema

from inhouse.agent.acp_updates import Reporter, content, kind_of, offered, replied, shows_terminals
from inhouse.agent.commands import CONTINUE, Answer, answer, command_of
from inhouse.agent.loop import Agent
from inhouse.agent.mcp import McpServer
from inhouse.agent.permissions import MODES, Approver, Question, Reply
from inhouse.agent.replay import told
from inhouse.agent.steps import Ended, OnStep, Step
from inhouse.errors import InhouseError

_STOPS: dict[str, schema.StopReason] = {
    "finished": "end_turn", "answered": "end_turn", "cancelled": "cancelled", "max_tokens": "max_tokens",
}  # fmt: skip
_LOOK = 0.1  # seconds between two looks at whether a question was cancelled


@dataclass(frozen=True)
class Wanted:
    """A session that an editor asks for: new in a folder, or stored before (`id`), with the editor's MCP servers."""

    cwd: Path
    id: str | None = None
    servers: Sequence[McpServer] = ()


@dataclass(frozen=True)
class Opened:
    """The agent of a session, and what ends both."""

    agent: Agent
    close: Callable[[], None]


@dataclass(frozen=True)
class Stored:
    """A session on disk."""

    id: str
    repo: str
    title: str
    changed: str  # ISO 8601


Open = Callable[[Wanted, OnStep, Approver], Opened]
Listing = Callable[[], Iterable[Stored]]
T = TypeVar("T")


@dataclass
class _Session:
    """One conversation: its agent, made and used in `thread` alone."""

    thread: ThreadPoolExecutor
    id: str = ""
    cancelled: threading.Event = field(default_factory=threading.Event)
    opened: Opened | None = None

    @property
    def agent(self) -> Agent:
        assert self.opened is not None
        return self.opened.agent


class AcpAgent:
    """What an editor talks to. `open_session` makes the agent of a session, `stored` lists those that can be loaded."""

    def __init__(self, open_session: Open, stored: Listing, version: str) -> None:
        self._open = open_session
        self._stored = stored
        self._version = version
        self._sessions: dict[str, _Session] = {}
        self._editor: acp.Client | None = None
        self._terminals = False
        self._later: set[asyncio.Task[None]] = set()

    def on_connect(self, conn: acp.Client) -> None:
        self._editor = conn

    async def initialize(
        self, protocol_version: int, client_capabilities: schema.ClientCapabilities | None = None, **_: Any
    ) -> schema.InitializeResponse:
        self._terminals = shows_terminals(client_capabilities)
        return schema.InitializeResponse(
            protocol_version=min(protocol_version, acp.PROTOCOL_VERSION),
            agent_capabilities=schema.AgentCapabilities(
                load_session=True,
                prompt_capabilities=schema.PromptCapabilities(embedded_context=True),
                session_capabilities=schema.SessionCapabilities(list=schema.SessionListCapabilities()),
            ),
            agent_info=schema.Implementation(name="inhouse", title="Inhouse", version=self._version),
        )

    async def new_session(self, cwd: str, mcp_servers: Any = None, **_: Any) -> schema.NewSessionResponse:
        session = await self._begin(Wanted(Path(cwd), None, _servers(mcp_servers)))
        self._offer(session)
        return schema.NewSessionResponse(session_id=session.id, modes=_modes(session.agent))

    async def load_session(
        self, cwd: str, session_id: str, mcp_servers: Any = None, **_: Any
    ) -> schema.LoadSessionResponse:
        """Go on with a stored session; the editor is told all that happened in it."""
        session = self._sessions.get(session_id)
        if session is None:
            session = await self._begin(Wanted(Path(cwd), session_id, _servers(mcp_servers)))
        reporter = Reporter(terminals=self._terminals)
        journal = session.agent.journal
        for step in told(list(journal.session.records), session.agent.desk.root):
            for update in reporter.updates(step):
                await self._send(session.id, update)
        self._offer(session)
        return schema.LoadSessionResponse(modes=_modes(session.agent))

    async def list_sessions(self, cwd: str | None = None, **_: Any) -> schema.ListSessionsResponse:
        wanted = None if cwd is None else str(Path(cwd).resolve())
        found = await asyncio.get_running_loop().run_in_executor(None, lambda: list(self._stored()))
        return schema.ListSessionsResponse(
            sessions=[
                schema.SessionInfo(session_id=one.id, cwd=one.repo, title=one.title, updated_at=one.changed)
                for one in found
                if wanted is None or one.repo == wanted
            ]
        )

    async def _begin(self, wanted: Wanted) -> _Session:
        """The session, in a thread of its own."""
        loop = asyncio.get_running_loop()
        session = _Session(ThreadPoolExecutor(1, "session"))

        def begin() -> Opened:
            def on_step(step: Step) -> None:
                for update in reporter.updates(step):
                    self._wait(loop, self._send(session.id, update), session)

            opened = self._open(wanted, on_step, lambda question: self._ask(loop, session.id, session, question))
            reporter = Reporter(terminals=self._terminals, context=opened.agent.options.context)
            return opened

        try:
            session.opened = await loop.run_in_executor(session.thread, begin)
        except InhouseError as error:
            session.thread.shutdown(wait=False)
            raise acp.RequestError.internal_error({"details": str(error)}) from None
        session.id = session.agent.journal.session.id
        self._sessions[session.id] = session
        return session

    def _offer(self, session: _Session) -> None:
        """Tell the editor of the commands, once it has the response that is about to be sent: before, it knows no such
        session."""
        task = asyncio.get_running_loop().create_task(self._send(session.id, offered()))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def set_session_mode(self, mode_id: str, session_id: str, **_: Any) -> schema.SetSessionModeResponse:
        found = next((mode for mode in MODES if mode == mode_id), None)
        session = self._session(session_id)
        if found is None:
            raise acp.RequestError.invalid_params({"mode": mode_id})
        session.agent.permissions.mode = found
        return schema.SetSessionModeResponse()

    async def prompt(self, prompt: list[Any], session_id: str, **_: Any) -> schema.PromptResponse:
        session = self._session(session_id)
        session.cancelled.clear()
        text = "\n\n".join(part for block in prompt if (part := _text(block)))
        command = command_of(text)
        if command is not None and command[0] != CONTINUE:
            return await self._command(session, *command)
        agent, said = session.agent, text if command is None else None

        def turn() -> Ended:
            return agent.turn(said, session.cancelled.is_set)

        try:
            ended = await asyncio.get_running_loop().run_in_executor(session.thread, turn)
        except InhouseError as error:
            raise acp.RequestError.internal_error({"details": str(error)}) from None
        return schema.PromptResponse(stop_reason=_STOPS.get(ended.reason, "max_turn_requests"))

    async def _command(self, session: _Session, name: str, argument: str) -> schema.PromptResponse:
        """Carry out a command of the user's, and tell its answer, or why there is none, as a message."""
        agent = session.agent
        before = agent.permissions.mode

        def run() -> Answer:
            try:
                return answer(agent, name, argument)
            except InhouseError as error:
                return Answer(str(error))

        told = replied(await asyncio.get_running_loop().run_in_executor(session.thread, run))
        if agent.permissions.mode != before:
            mode = agent.permissions.mode
            told.append(schema.CurrentModeUpdate(session_update="current_mode_update", current_mode_id=mode))
        for update in told:
            await self._send(session.id, update)
        return schema.PromptResponse(stop_reason="end_turn")

    async def cancel(self, session_id: str, **_: Any) -> None:
        self._session(session_id).cancelled.set()

    def close(self) -> None:
        """End all sessions."""
        for session in self._sessions.values():
            session.cancelled.set()
            if session.opened is not None:
                session.thread.submit(session.opened.close)
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
            kind=kind_of(action.kind),
            status="pending",
            content=content(action.targets, action.old_text, action.new_text),
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


def _modes(agent: Agent) -> schema.SessionModeState:
    modes = [schema.SessionMode(id=mode, name=mode) for mode in MODES]
    return schema.SessionModeState(current_mode_id=agent.permissions.mode, available_modes=modes)


def _servers(given: Any) -> list[McpServer]:
    """The editor's MCP servers that are programs; others are said to be impossible by our capabilities."""
    return [
        McpServer(one.name, one.command, tuple(one.args), {pair.name: pair.value for pair in one.env})
        for one in given or ()
        if isinstance(one, schema.McpServerStdio)
    ]


def _text(block: Any) -> str:
    """What a block of a prompt says in text."""
    if isinstance(block, schema.TextContentBlock):
        return block.text
    if isinstance(block, schema.ResourceContentBlock):
        return f"[{block.uri}]"
    resource = getattr(block, "resource", None)
    text = getattr(resource, "text", None)
    return f"<file path={resource.uri!r}>\n{text}\n</file>" if resource is not None and isinstance(text, str) else ""
