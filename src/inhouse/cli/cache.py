"""`inhouse cache`: what is kept on disk of past conversations."""

from __future__ import annotations

import argparse
import time

from inhouse.cli.common import Subparsers, cache_folder, command, confirm, gigabytes, print_json, print_table
from inhouse.engine.disk import clear_cache, list_cache


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "cache",
        "Show or delete what a server keeps on disk of past conversations, so that models need not read them again "
        "after a restart.",
        "inhouse cache ls\ninhouse cache clear --yes",
    )
    parser.add_argument("action", choices=["ls", "clear"])
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    folder = cache_folder()
    entries = list_cache(folder)
    size = sum(entry.nbytes for entry in entries)
    if args.action == "clear":
        if not entries or confirm(f"Delete {gigabytes(size)} of past conversations?", args.yes):
            freed = clear_cache(folder)
            print_json({"freed_bytes": freed}) if args.json else print(f"{gigabytes(freed)} freed")
        return 0
    if args.json:
        print_json(
            {
                "directory": str(folder),
                "models": [
                    {"identity": e.identity, "files": e.files, "bytes": e.nbytes, "used": round(e.used)}
                    for e in entries
                ],
            }
        )
        return 0
    print_table([(e.identity[:12], f"{e.files} files", gigabytes(e.nbytes), _day(e.used)) for e in entries])
    print(f"{gigabytes(size)} in {folder}")
    return 0


def _day(seconds: float) -> str:
    return time.strftime("last used %Y-%m-%d %H:%M", time.localtime(seconds))
