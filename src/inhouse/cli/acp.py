"""`inhouse acp`: the agent in an editor that speaks the Agent Client Protocol, over standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from inhouse.agent.briefing import SYSTEM
from inhouse.agent.checks import project_checks
from inhouse.agent.desk import open_desk
from inhouse.agent.loop import Agent, AgentOptions
from inhouse.agent.permissions import MODES, Approver, Permissions
from inhouse.agent.session import Session
from inhouse.agent.steps import OnStep
from inhouse.cli.chat_client import Connection, add_connection, connected
from inhouse.cli.common import Subparsers, command, environment_python, home


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "acp",
        "The agent for editors that speak the Agent Client Protocol (Zed, JetBrains, Neovim, Emacs): the editor starts "
        "this command and talks with it over standard input and output.",
        "inhouse acp\ninhouse acp --url http://gpu.local:8000/v1 --model qwen3.6-35b-a3b",
    )
    parser.add_argument("--mode", choices=MODES, default="ask", help="what needs no question (default: ask)")
    add_connection(parser)


def run(args: argparse.Namespace) -> int:
    import acp

    from inhouse.agent.acp import AcpAgent

    with connected(args) as connection:

        def open_agent(repo: Path, on_step: OnStep, approver: Approver) -> Agent:
            return _agent(args, connection, repo, on_step, approver)

        agent = AcpAgent(open_agent, version("inhouse"))
        try:
            asyncio.run(acp.run_agent(agent))  # type: ignore[arg-type]  # optional methods are left out
        finally:
            agent.close()
    return 0


def _agent(args: argparse.Namespace, connection: Connection, repo: Path, on_step: OnStep, approver: Approver) -> Agent:
    found = [environment_python(), shutil.which("python3"), sys.executable]
    pythons = tuple(dict.fromkeys(Path(path) for path in found if path))
    desk = open_desk(repo, sandboxed=True, pythons=pythons, checks=project_checks, maps=home() / "maps")
    session = Session.create(home() / "sessions", desk.root, connection.model, SYSTEM)
    options = AgentOptions(context=connection.context, answer_tokens=min(8192, connection.context // 4))
    return Agent(connection.client, desk, session, Permissions(args.mode, approver), options, on_step)
