"""`inhouse sessions`: the agent's sessions on this machine: list them, show one, export its conversation."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from inhouse.agent.session import Header, Record, find, read, sessions
from inhouse.agent.state import state_of
from inhouse.agent.steps import Called, Calling, Said, Step, Thought
from inhouse.cli.agent_view import AgentView, terminal
from inhouse.cli.common import Subparsers, command, home, print_json, print_table
from inhouse.client.shape import message_from, message_json
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
        rows = [_row(header, records) for header, records in _all(folder)]
        if args.json:
            print_json(rows)
        elif rows:
            print_table([(row["id"], row["repo"], f"{row['prompts']} prompts", row["title"]) for row in rows])
        else:
            print("there are no sessions yet: inhouse agent begins one")
        return 0
    header, records = read(find(folder, args.session))
    if args.action == "show":
        _show(terminal(), records)
        return 0
    messages = [Message("system", header.system), *state_of(records).messages]
    print_json({**header.__dict__, "messages": [message_json(message) for message in messages]})
    return 0


def _all(folder: Path) -> Iterator[tuple[Header, list[Record]]]:
    for path in sessions(folder):
        try:
            yield read(path)
        except WorkspaceError:  # damaged: named when somebody asks for it
            continue


def _row(header: Header, records: list[Record]) -> dict[str, Any]:
    prompts = [record["prompt"] for record in records if "prompt" in record]
    title = " ".join(prompts[0].split())[:60] if prompts else ""
    begun = time.strftime("%Y-%m-%d %H:%M", time.localtime(header.created))
    return {
        "id": header.id,
        "repo": header.repo,
        "created": begun,
        "model": header.model,
        "prompts": len(prompts),
        "title": title,
    }


def _show(console: Console, records: list[Record]) -> None:
    """What happened, as it looked when it did."""
    view = AgentView(console)
    for record in records:
        if record["kind"] != "message":
            continue
        if "prompt" in record:
            console.out(f"\n> {record['prompt']}", highlight=False)
        for step in _steps(message_from(record["message"])):
            view.show(step)
    view.stop()


def _steps(message: Message) -> Iterator[Step]:
    if message.role == "assistant":
        if message.reasoning:
            yield Thought(message.reasoning)
        if message.content:
            yield Said(message.content.rstrip("\n") + "\n")
        for call in message.tool_calls:
            yield Calling(call.id, call.name, "other", call.arguments)
    elif message.role == "tool":
        yield Called(message.tool_call_id or "", message.name or "", True, message.content, 0.0)
