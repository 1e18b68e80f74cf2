"""`inhouse inspect`: what is in a model file and what it costs to run. Reads headers only."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from inhouse.cli.common import (
    Subparsers,
    add_kv,
    add_model,
    command,
    gigabytes,
    model_path,
    positive,
    print_json,
    print_table,
)
from inhouse.errors import InhouseError, ModelFileError, UnsupportedModelError
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.contents import read_contents
from inhouse.weights.kv import kv_format
from inhouse.weights.packed_file import packed_source
from inhouse.weights.summary import summarize


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "inspect",
        "Show a model's architecture, its parameters in all and per token, the bytes of each number format, and the "
        "memory that it needs at a given context. Reads the file's header only.",
        "inhouse inspect starter\ninhouse inspect model.gguf --context 32768\ninhouse inspect ./checkpoint --json",
    )
    add_model(parser)
    parser.add_argument("--context", type=positive, metavar="N", help="tokens (default: the model's longest)")
    add_kv(parser)
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    path = model_path(args.model)
    try:
        checkpoint = open_checkpoint(path)
    except (UnsupportedModelError, ModelFileError) as error:
        return _show_contents(path, error, as_json=args.json)
    with checkpoint:
        summary = summarize(checkpoint, args.context, kv_format(args.kv))
        skipped, file_format = checkpoint.skipped, checkpoint.format
    source = packed_source(path) if file_format == "packed" else None
    if args.json:
        numbers = asdict(summary) | {"bytes_by_format": dict(summary.bytes_by_format)}
        print_json(
            {
                "path": str(path),
                "format": file_format,
                **({"packed_from": source} if source else {}),
                **numbers,
                "memory_bytes": summary.memory_bytes,
                "skipped_tensors": len(skipped),
            }
        )
        return 0
    rows = [
        ("file", f"{path} ({file_format})"),
        ("architecture", f"{summary.architecture}, {summary.layers} layers"),
        (
            "parameters",
            f"{_billions(summary.parameters)}, of which a token uses {_billions(summary.active_parameters)}",
        ),
        ("weights", f"{gigabytes(summary.weight_bytes)}, of which a token reads {gigabytes(summary.active_bytes)}"),
        *(("  " + name, gigabytes(size)) for name, size in summary.bytes_by_format),
        ("context", f"{summary.context:,} tokens: {gigabytes(summary.kv_bytes)} of keys and values"),
        ("state", f"{gigabytes(summary.state_bytes)} per sequence, whatever its length"),
        ("memory", f"{gigabytes(summary.memory_bytes)} for weights and one sequence of that length"),
    ]
    if source:
        rows.insert(1, ("packed from", f"{source.get('path')}; panels of 16 rows (_P16), the same values"))
    if skipped:
        rows.append(("not used", f"{len(skipped)} tensors of other parts, e.g. {skipped[0]}"))
    print_table(rows)
    return 0


def _show_contents(path: Path, reason: InhouseError, *, as_json: bool) -> int:
    """What is in a model that cannot be run. Raises `reason` where that cannot be told either."""
    try:
        contents = read_contents(path)
    except InhouseError:
        raise reason from None
    why = str(reason).removeprefix(f"{path}: ")
    if as_json:
        numbers = asdict(contents) | {"bytes_by_format": dict(contents.bytes_by_format)}
        print_json({"path": str(path), **numbers, "runs": False, "reason": why})
        return 0
    quantization = f", {contents.quantization}" if contents.quantization else ""
    layers = "" if contents.layers is None else f", {contents.layers} layers"
    rows = [
        ("file", f"{path} ({contents.format}{f', {contents.parts} parts' if contents.parts > 1 else ''})"),
        ("name", contents.name),
        ("architecture", f"{contents.architecture or 'not named'}{layers}{quantization}"),
        ("tensors", f"{contents.tensors:,} of {_billions(contents.parameters)} elements"),
        ("weights", gigabytes(sum(size for _, size in contents.bytes_by_format))),
        *(("  " + name, gigabytes(size)) for name, size in contents.bytes_by_format),
        ("context", "" if contents.context is None else f"{contents.context:,} tokens"),
        ("runs", f"no: {why}"),
    ]
    print_table([row for row in rows if row[1]])
    return 0


def _billions(count: int) -> str:
    return f"{count / 1e9:.2f} B" if count >= 1e9 else f"{count / 1e6:.2f} M"
