"""`inhouse sessions`: the agent's sessions on this machine: list them, show one, export its conversation."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from inhouse.agent.replay import told
from inhouse.agent.session import Header, Record, find, read, sessions
from inhouse.agent.state import state_of
from inhouse.cli.agent_view import AgentView, terminal
from inhouse.cli.common import Subparsers, command, home, print_json, print_table
from inhouse.client.shape import message_json
from inhouse.client.types import Message
from inhouse.errors import WorkspaceError


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "sessions",
        "The agent's sessions: list them, show what happened in one, or export its conversation as JSON.",
        "inhouse sessions\n"
        "inhouse sessions show last\n"
        "inhouse sessions export 20261124-1405 > conversation.json\n"
        "inhouse agent --resume last",
    )
    parser.add_argument("action", nargs="?", choices=("list", "show", "export"), default="list")
    parser.add_argument("session", nargs="?", default="last", metavar="ID", help="its beginning, or last")
    parser.add_argument("--json", action="store_true", help="list as JSON")


def run(args: argparse.Namespace) -> int:
    folder = home() / "sessions"
    if args.action == "list":
        rows = [_row(header, records) for header, records in all_sessions(folder)]
        if args.json:
            print_json(rows)
        elif rows:
            print_table([(row["id"], row["repo"], f"{row['prompts']} prompts", row["title"]) for row in rows])
        else:
            print("there are no sessions yet: inhouse agent begins one")
        return 0
    header, records = read(find(folder, args.session))
    if args.action == "show":
        _show(terminal(), records, Path(header.repo))
        return 0
    messages = [Message("system", header.system), *state_of(records).messages]
    print_json({**header.__dict__, "messages": [message_json(message) for message in messages]})
    return 0


def all_sessions(folder: Path) -> Iterator[tuple[Header, list[Record]]]:
    """The sessions that can be read, the latest first."""
    for path in sessions(folder):
        try:
            yield read(path)
        except WorkspaceError:  # damaged: named when somebody asks for it
            continue


def title_of(records: list[Record]) -> str:
    """The beginning of what the user wrote first."""
    first = next((record["prompt"] for record in records if "prompt" in record), "")
    return " ".join(first.split())[:60]


def _row(header: Header, records: list[Record]) -> dict[str, Any]:
    prompts = [record["prompt"] for record in records if "prompt" in record]
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(header.created))
    return {
        "id": header.id,
        "repo": header.repo,
        "created": begun,
        "model": header.model,
        "prompts": len(prompts),
        "title": title_of(records),
    }


def _show(console: Console, records: list[Record], repo: Path) -> None:
    """What happened, as it looked when it did."""
    view = AgentView(console)
    for step in told(records, repo):
        if isinstance(step, str):
            console.out(f"\n> {step}", highlight=False)
        else:
            view.show(step)
    view.stop()
