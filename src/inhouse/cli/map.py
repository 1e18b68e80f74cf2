"""`inhouse map`: what matters in a repository, and where a name is defined and used."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from inhouse.cli.common import Subparsers, command, home, positive, print_json
from inhouse.workspace.repo_map import RepoMap

_CHARACTERS = 4  # of a token, about, where no model is at hand to count


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "map",
        "Show the definitions that matter most in a repository, as the agent sees them: ranked by who uses whom, cut "
        "to a budget of tokens. What was read is kept by content, so that the second time takes a moment.",
        "inhouse map --repo . --budget 500\ninhouse map --mention parser.py Tokenizer\ninhouse map --symbol Tokenizer",
    )
    parser.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the repository (default: here)")
    parser.add_argument("--budget", type=positive, default=1000, metavar="N", help="tokens, about (default 1000)")
    parser.add_argument(
        "--mention", nargs="+", default=[], metavar="WORD", help="paths and names to draw the map towards"
    )
    parser.add_argument("--symbol", metavar="NAME", help="where this is defined and used, instead of the map")
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    with RepoMap(args.repo, home() / "maps", still=True) as index:
        if args.symbol is not None:
            return _symbol(args, index)
        text = index.text(args.mention, args.budget, lambda text: -(-len(text) // _CHARACTERS))
        if args.json:
            print_json({"repository": str(index.root), "read_files": index.read_files, "map": text})
        else:
            print(text, end="")
    return 0


def _symbol(args: argparse.Namespace, index: RepoMap) -> int:
    places = [*index.definitions(args.symbol), *index.references(args.symbol)]
    if args.json:
        print_json([asdict(place) for place in places])
    for place in () if args.json else places:
        print(f"{place.path}:{place.line}: [{place.kind}] {place.text}")
    return 0 if places else 1
