"""`inhouse key`: who may call a server from another machine."""

from __future__ import annotations

import argparse
import sys
import time

from inhouse.cli.common import Subparsers, command, home, positive, print_json, print_table
from inhouse.server.keys import Key, KeyFile


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "key",
        "API keys for `inhouse serve`. A key is shown once, when it is made; what is kept is its hash. A server that "
        "runs follows every change at once.",
        "inhouse key add laptop\ninhouse key add ci --per-minute 60 --concurrent 2\ninhouse key list\n"
        "inhouse key revoke laptop",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make a key")
    add.add_argument("name", metavar="NAME", help="whose it is")
    add.add_argument("--per-minute", type=positive, metavar="N", help="requests a minute at most")
    add.add_argument("--concurrent", type=positive, metavar="N", help="requests at a time at most")
    shown = actions.add_parser("list", help="the names and limits of all keys")
    shown.add_argument("--json", action="store_true", help="write JSON")
    revoke = actions.add_parser("revoke", help="delete a key")
    revoke.add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    keys = KeyFile(home() / "keys.json")
    if args.action == "add":
        secret = keys.add(args.name, per_minute=args.per_minute, concurrent=args.concurrent)
        print("Keep it: it is not shown again.", file=sys.stderr)
        print(secret)
    elif args.action == "revoke":
        keys.revoke(args.name)
    else:
        _list(keys.all(), as_json=args.json)
    return 0


def _list(keys: list[Key], *, as_json: bool) -> None:
    if as_json:
        shown = ("name", "created", "per_minute", "concurrent")
        print_json([{name: getattr(key, name) for name in shown} for key in keys])
        return
    print_table(
        (
            key.name,
            time.strftime("%Y-%m-%d", time.localtime(key.created)),
            f"{key.per_minute or 'any'} a minute",
            f"{key.concurrent or 'any'} at a time",
        )
        for key in keys
    )
