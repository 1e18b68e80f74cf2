"""`inhouse pull`: fetch a model. The one command that uses the network."""

from __future__ import annotations

import argparse
import sys

import psutil

from inhouse.cli.common import Subparsers, command, confirm, gigabytes, store
from inhouse.cli.meter import Meter
from inhouse.store import Entry, Step, find, propose

_WORDS = {"waiting": "waits for another pull", "fetching": "fetching", "checking": "checking"}


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "pull",
        "Fetch a model of the catalogue, check it and keep it. May be interrupted in any way: the next pull goes on "
        "from there. Without a name, the model that suits this machine's memory is proposed.",
        "inhouse pull\ninhouse pull starter\ninhouse pull qwen3.6-35b-a3b\nINHOUSE_HOME=/big/disk inhouse pull --yes",
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="see `inhouse models`")
    parser.add_argument("-y", "--yes", action="store_true", help="take the proposed model without asking")


def run(args: argparse.Namespace) -> int:
    models = store()
    entry = find(args.name, models.catalogue) if args.name else _proposed(args.yes)
    if entry is None:
        return 1
    here = models.has(entry.name)
    with Meter("bytes") as meter:

        def show(step: Step) -> None:
            meter.update(f"{entry.name}: {_WORDS[step.what]}", step.done, step.total)

        try:
            path = models.pull(entry.name, show)
        except KeyboardInterrupt:
            meter.stop()
            print(f"\nstopped; `inhouse pull {entry.name}` goes on from here", file=sys.stderr)
            raise
    print(f"{entry.name} {'was here already' if here else 'is here'}: {path}", file=sys.stderr)
    return 0


def _proposed(yes: bool) -> Entry | None:
    """The model for this machine, if the user takes it."""
    memory = psutil.virtual_memory().total
    entry = propose(memory)
    print(f"This machine has {gigabytes(memory)} of memory; what suits it is {entry.name}:", file=sys.stderr)
    print(f"  {entry.title} ({gigabytes(entry.size)}, {entry.license})", file=sys.stderr)
    return entry if confirm(f"Fetch {entry.name}?", yes) else None
