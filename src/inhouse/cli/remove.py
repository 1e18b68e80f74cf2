"""`inhouse remove`: delete a model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inhouse.cli.common import Subparsers, command, confirm, gigabytes, packed_copies, store


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "remove",
        "Delete a model from this machine, together with its packed copy and with what an interrupted pull of it left. "
        "For a file of your own only the packed copy goes, never the file.",
        "inhouse remove starter\ninhouse remove starter --yes\ninhouse remove ./model.gguf",
    )
    parser.add_argument("name", metavar="NAME", help="see `inhouse models`")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def run(args: argparse.Namespace) -> int:
    models, copies = store(), packed_copies()
    folder = models.root / args.name
    own_file = copies.size(Path(args.name)) if not models.has(args.name) else 0
    if own_file:
        if not confirm(f"Delete the packed copy of {args.name} ({gigabytes(own_file)})?", args.yes):
            return 1
        copies.remove(Path(args.name))
        print(f"{gigabytes(own_file)} are free again; {args.name} is as it was", file=sys.stderr)
        return 0
    size = models.size(args.name) + copies.size(folder)
    if not confirm(f"Delete {args.name} ({gigabytes(size)})?", args.yes):
        return 1
    copies.remove(folder)
    models.remove(args.name)
    print(f"{args.name} is gone; {gigabytes(size)} are free again", file=sys.stderr)
    return 0
