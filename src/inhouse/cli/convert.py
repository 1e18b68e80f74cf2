"""`inhouse convert`: a model packed once for this program's kernels."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from inhouse.cli.common import Subparsers, add_model, command, gigabytes, model_path, packed_copies, print_json
from inhouse.cli.meter import Meter
from inhouse.engine.packing import convert, packed_or_not
from inhouse.errors import InhouseError, ParameterError


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "convert",
        "Pack a GGUF model into panels that the processor multiplies without rearranging them. Nothing is rounded. "
        "Without -o the copy goes where every command finds it (they make one on first use); with -o you get a "
        "safetensors file that needs nothing beside it.",
        "inhouse convert starter\ninhouse convert model.gguf -o model.packed.safetensors",
    )
    add_model(parser)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the .safetensors file to write")
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    source, started = model_path(args.model), time.monotonic()
    with Meter("bytes") as meter:

        def show(done: int, total: int) -> None:
            meter.update(f"packing {source.name}", done, total)

        if args.output is not None:
            if args.output.exists() and not args.output.is_file():
                raise ParameterError(f"{args.output}: not a regular file; name a file to write or to replace")
            convert(source, args.output, show)
            target = args.output
        else:
            target = packed_or_not(source, packed_copies(), show)
    if target == source:
        raise InhouseError(f"{source} was not packed: use it as it is, or choose a place with -o")
    size, seconds = target.stat().st_size, time.monotonic() - started
    if args.json:
        print_json({"source": str(source), "path": str(target), "bytes": size, "seconds": round(seconds, 3)})
    else:
        print(f"{target}: {gigabytes(size)}, in {seconds:.1f} s", file=sys.stderr)
    return 0
