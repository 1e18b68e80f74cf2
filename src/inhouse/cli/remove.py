"""`inhouse remove`: delete a model."""

from __future__ import annotations

import argparse
import sys

from inhouse.cli.common import Subparsers, command, confirm, gigabytes, store


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "remove",
        "Delete a model from this machine, together with what an interrupted pull of it left.",
        "inhouse remove starter\ninhouse remove starter --yes",
    )
    parser.add_argument("name", metavar="NAME", help="see `inhouse models`")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    models = store()
    size = models.size(args.name)
    if not confirm(f"Delete {args.name} ({gigabytes(size)})?", args.yes):
        return 1
    models.remove(args.name)
    print(f"{args.name} is gone; {gigabytes(size)} are free again", file=sys.stderr)
    return 0
