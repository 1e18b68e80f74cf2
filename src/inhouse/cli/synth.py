"""`inhouse synth`: a random model of a real one's shape."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from inhouse.cli.common import Subparsers, command, gigabytes, positive
from inhouse.cli.meter import Meter
from inhouse.errors import ParameterError
from inhouse.weights.presets import PRESETS
from inhouse.weights.synthetic import STANDARD_MIX, synthesize


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "synth",
        "Write a GGUF file with random weights in a real model's shape and number formats. It says nothing sensible, "
        "but costs what the real one costs: measure your machine before you fetch 20 GB. llama.cpp loads it too.",
        "inhouse synth --like qwen3.6-35b-a3b -o full.gguf\n"
        "inhouse synth --like qwen3.6-35b-a3b --layers 4 -o small.gguf && inhouse bench small.gguf",
    )
    parser.add_argument("--like", required=True, choices=PRESETS, metavar="NAME", help=f"one of {', '.join(PRESETS)}")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="FILE", help="the GGUF file to write")
    parser.add_argument("--layers", type=positive, metavar="N", help="that many layers (default: as the real one)")
    parser.add_argument(
        "--mix", default=STANDARD_MIX, help=f"number formats: {STANDARD_MIX} (default) or one for all, e.g. Q8_0"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed, the same file (default 0)")


def run(args: argparse.Namespace) -> int:
    if args.output.exists() and not args.output.is_file():
        raise ParameterError(f"{args.output}: not a regular file; name a file to write or to replace")
    with Meter("bytes") as meter:
        config = synthesize(
            args.like,
            args.output,
            layers=args.layers,
            mix=args.mix,
            seed=args.seed,
            progress=lambda done, total: meter.update(f"writing {args.output.name}", done, total),
        )
    size = gigabytes(args.output.stat().st_size)
    print(f"{args.output}: {config.architecture}, {config.num_hidden_layers} layers, {size}", file=sys.stderr)
    return 0
