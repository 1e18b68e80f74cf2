"""`inhouse acp`: the agent in an editor that speaks the Agent Client Protocol, over standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from inhouse.agent.briefing import SYSTEM
from inhouse.agent.checks import project_checks
from inhouse.agent.desk import open_desk
from inhouse.agent.loop import Agent, AgentOptions
from inhouse.agent.permissions import MODES, Approver, Permissions
from inhouse.agent.session import Session, sessions
from inhouse.agent.steps import OnStep
from inhouse.agent.tools.base import AgentTool
from inhouse.cli.chat_client import Connection, add_connection, agent_flags, connected
from inhouse.cli.common import Subparsers, command, home
from inhouse.cli.grants import add_grants, shell
from inhouse.cli.sessions import all_sessions, title_of
from inhouse.errors import WorkspaceError

if TYPE_CHECKING:  # the protocol's SDKs take half a second to import, which only this command is to wait for
    from inhouse.agent.acp import Wanted


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "acp",
        "The agent for editors that speak the Agent Client Protocol (Zed, JetBrains, Neovim, Emacs): the editor starts "
        "this command and talks with it over standard input and output.",
        "inhouse acp\ninhouse acp --url http://gpu.local:8000/v1 --model qwen3.6-35b-a3b",
    )
    parser.add_argument("--mode", choices=MODES, default="ask", help="what needs no question (default: ask)")
    add_grants(parser)
    add_connection(parser)


def run(args: argparse.Namespace) -> int:
    import acp

    from inhouse.agent.acp import AcpAgent, Opened, Stored

    with connected(args, agent_flags(args)) as connection:

        def open_session(wanted: Wanted, on_step: OnStep, approver: Approver) -> Opened:
            with ExitStack() as stack:
                session = stack.enter_context(_session(wanted.id, Path(os.path.realpath(wanted.cwd)), connection))
                extra = _tools(wanted, stack)
                agent = _agent(args, connection, session, extra, on_step, approver)
                stack.callback(agent.close)
                return Opened(agent, stack.pop_all().close)

        def stored() -> Iterator[Stored]:
            for header, records in all_sessions(home() / "sessions"):
                at = records[-1]["at"] if records else header.created
                yield Stored(header.id, header.repo, title_of(records), datetime.fromtimestamp(at, UTC).isoformat())

        agent = AcpAgent(open_session, stored, version("inhouse"))
        try:
            asyncio.run(acp.run_agent(agent))  # type: ignore[arg-type]  # optional methods are left out
        finally:
            agent.close()
    return 0


def _session(id: str | None, repo: Path, connection: Connection) -> Session:
    """A new session, or the stored one. Raises WorkspaceError."""
    folder = home() / "sessions"
    if id is None:
        return Session.create(folder, repo, connection.model, SYSTEM)
    if id not in {path.name for path in sessions(folder)}:
        raise WorkspaceError(f"there is no session {id!r} on this machine; begin a new one")
    session = Session(folder / id)
    if session.header.repo != str(repo):
        session.close()
        raise WorkspaceError(f"session {id} is of {session.header.repo}, not of {repo}; open that folder")
    return session


def _tools(wanted: Wanted, stack: ExitStack) -> Sequence[AgentTool]:
    """The tools of the editor's MCP servers, which run until the stack is left."""
    if not wanted.servers:
        return ()
    from inhouse.agent.mcp import McpServers

    running = McpServers(wanted.servers)
    stack.callback(running.close)
    return running.tools


def _agent(
    args: argparse.Namespace,
    connection: Connection,
    session: Session,
    extra: Sequence[AgentTool],
    on_step: OnStep,
    approver: Approver,
) -> Agent:
    repo = Path(session.header.repo)
    desk = open_desk(repo, sandboxed=True, user=shell(args, repo), checks=project_checks, maps=home() / "maps")
    options = AgentOptions(context=connection.context)
    return Agent(connection.client, desk, session, Permissions(args.mode, approver), options, on_step, extra=extra)
