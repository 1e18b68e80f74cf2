"""`inhouse models`: what is here and what can be had. Looks at the disk only."""

from __future__ import annotations

import argparse

from inhouse.cli.common import Subparsers, command, gigabytes, packed_copies, print_json, print_table, store


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "models",
        "List the models on this machine, and those that `inhouse pull` can fetch.",
        "inhouse models\ninhouse models --json",
    )
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    models = store()
    here = models.list()
    names = {model.name for model in here}
    absent = [entry for entry in models.catalogue.values() if entry.name not in names]
    copies = packed_copies()
    if args.json:
        print_json(
            {
                "root": str(models.root),
                "installed": [{"name": m.name, "path": str(m.path), "bytes": m.size} for m in here],
                "packed": [
                    {"source": c.source.path, "path": str(c.path), "bytes": c.size, "current": c.current}
                    for c in copies.all()
                ],
                "available": [
                    {"name": e.name, "title": e.title, "license": e.license, "bytes": e.size, "memory_bytes": e.memory}
                    for e in absent
                ],
            }
        )
        return 0
    print(f"On this machine ({models.root}):")
    print_table([(f"  {model.name}", gigabytes(model.size), str(model.path)) for model in here] or [("  none yet",)])
    if copies.all():
        print(f"\nPacked copies ({copies.root}), deleted with `inhouse remove`:")
        rows = [(gigabytes(c.size), c.source.path, "" if c.current else "out of date") for c in copies.all()]
        print_table([(f"  {size}", source, state) for size, source, state in rows])
    if absent:
        print("\nTo be had with `inhouse pull NAME`:")
        print_table([(f"  {entry.name}", gigabytes(entry.size), entry.title) for entry in absent])
    return 0
