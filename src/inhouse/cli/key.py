"""`inhouse key`: who may call a server from another machine."""

from __future__ import annotations

import argparse
import sys
import time

from inhouse.cli.common import Subparsers, command, home, positive, print_json, print_table
from inhouse.errors import ParameterError
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
    parser.add_argument("action", metavar="ACTION", choices=("add", "list", "revoke"), help="add, list or revoke")
    parser.add_argument("name", metavar="NAME", nargs="?", help="with add and revoke: whose key it is")
    parser.add_argument("--per-minute", type=positive, metavar="N", help="with add: requests a minute at most")
    parser.add_argument("--concurrent", type=positive, metavar="N", help="with add: requests at a time at most")
    parser.add_argument("--json", action="store_true", help="with list: write JSON")


def run(args: argparse.Namespace) -> int:
    keys = KeyFile(home() / "keys.json")
    if args.action == "list":
        _list(keys.all(), as_json=args.json)
        return 0
    if args.name is None:
        raise ParameterError(f"whose key? Say `inhouse key {args.action} NAME`")
    if args.action == "revoke":
        keys.revoke(args.name)
        return 0
    secret = keys.add(args.name, per_minute=args.per_minute, concurrent=args.concurrent)
    print("Keep it: it is not shown again.", file=sys.stderr)
    print(secret)
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
