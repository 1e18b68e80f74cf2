"""`inhouse bench`: measure a model on this machine."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from inhouse.cli.common import (
    Subparsers,
    add_kv,
    add_model,
    command,
    gigabytes,
    model_path,
    packed_copies,
    positive,
    print_json,
    print_table,
)
from inhouse.cli.meter import Meter
from inhouse.engine.packing import packed_or_not
from inhouse.evals.bench import Plan, Report, bench
from inhouse.evals.profile import Profile, profile
from inhouse.evals.replay import read_trace, replay


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "bench",
        "Measure how fast a model reads prompts (prefill) and writes (decode), its time to the first token, its peak "
        "memory, and how much of this machine's memory bandwidth decoding uses. With --vs llama.cpp, the two take "
        "turns in the same run.",
        "inhouse bench starter\ninhouse bench starter --profile\ninhouse bench starter --vs llama.cpp --json\n"
        "inhouse synth --like qwen3.6-35b-a3b -o full.gguf && inhouse bench full.gguf",
    )
    add_model(parser)
    parser.add_argument(
        "--vs", choices=["llama.cpp"], help="measure that program in the same run (needs inhouse[peer])"
    )
    parser.add_argument("--threads", type=positive, metavar="N", help="processors to use (default: all)")
    parser.add_argument("--prompts", type=_sizes, default=Plan.prompts, metavar="N,N", help="default: 128,512,2048")
    parser.add_argument("--repeats", type=positive, default=Plan.repeats, metavar="N", help="medians of N (default 3)")
    add_kv(parser)
    parser.add_argument("--no-pack", action="store_true", help="use the file as it is, without a packed copy")
    parser.add_argument(
        "--profile",
        action="store_true",
        help="instead: each op's time, bytes and operations against the roofs",
    )
    parser.add_argument("--trace", type=Path, metavar="FILE", help="replay a recorded session instead, turn by turn")
    parser.add_argument("--turns", type=positive, metavar="N", help="of the trace: the first N only")
    parser.add_argument("--restart", action="store_true", help="of the trace: start the engine anew in the middle")
    parser.add_argument("--interleave", type=positive, default=1, metavar="N", help="of the trace: N sessions in turn")
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    if args.profile:
        return _run_profile(args)
    if args.trace is not None:
        return _replay(args)
    plan = Plan(prompts=args.prompts, repeats=args.repeats)
    with Meter() as meter:
        report = bench(
            model_path(args.model),
            plan=plan,
            threads=args.threads,
            kv=args.kv,
            peer=args.vs is not None,
            copies=None if args.no_pack else packed_copies(),
            progress=meter.update,
        )
    if args.json:
        print_json(report.to_json())
    else:
        _print(report)
    return 0


def _run_profile(args: argparse.Namespace) -> int:
    path = model_path(args.model)
    with Meter() as meter:
        if not args.no_pack:
            path = packed_or_not(path, packed_copies(), partial(meter.update, "packing"))
        report = profile(path, prompt=args.prompts[-1], threads=args.threads, kv=args.kv, progress=meter.update)
    if args.json:
        print_json(report.to_json())
    else:
        _print_profile(report)
    return 0


def _print_profile(report: Profile) -> None:
    roofs = report.roofs
    print(f"{report.model}, {report.engine}")
    print(f"roofs: {gigabytes(roofs.bytes_per_second)}/s read, {roofs.operations_per_second / 1e9:.0f} GOP/s on bytes")
    for phase in report.phases:
        rate = phase.tokens / phase.seconds
        print(f"\n{phase.name}: {phase.tokens} tokens in {phase.seconds:.3f} s of ops, {rate:.1f} tok/s")
        rows = [("op", "calls", "ms", "share", "MB", "GB/s", "GOP/s", "of roof")]
        for name, cost in phase.ops.items():
            rows.append(
                (
                    name,
                    f"{cost.calls}",
                    f"{cost.seconds * 1e3:.1f}",
                    f"{cost.seconds / phase.seconds:.0%}",
                    f"{cost.bytes / 1e6:.1f}",
                    f"{cost.bytes / cost.seconds / 1e9:.1f}",
                    f"{cost.operations / cost.seconds / 1e9:.0f}",
                    f"{phase.roof_share(cost, roofs):.0%}",
                )
            )
        print_table(rows)


def _replay(args: argparse.Namespace) -> int:
    with Meter() as meter:
        result = replay(
            model_path(args.model),
            read_trace(args.trace),
            threads=args.threads,
            kv=args.kv,
            restart=args.restart,
            sessions=args.interleave,
            turns=args.turns,
            peer=args.vs is not None,
            copies=None if args.no_pack else packed_copies(),
            progress=meter.update,
        )
    if args.json:
        print_json(result.to_json())
        return 0
    rows: list[tuple[str, ...]] = [
        ("session", "prompt", "new", "prefilled", "first token", "" if result.peer_seconds is None else "llama.cpp")
    ]
    for turn in result.turns:
        peer = "" if turn.peer_first_token is None else f"{turn.peer_first_token:.2f} s"
        counts = (str(number) for number in (turn.session, turn.prompt, turn.new, turn.prefilled))
        rows.append((*counts, f"{turn.first_token:.2f} s", peer))
    print_table(rows)
    print(f"prefilled / new tokens: {result.ratio:.4f}; to the first tokens: {result.seconds:.1f} s in all")
    if result.peer_seconds is not None:
        print(f"llama.cpp: {result.peer_seconds:.1f} s, {result.peer_seconds / result.seconds:.1f} x as long")
    return 0


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(positive(part) for part in text.split(","))


def _print(report: Report) -> None:
    engines = [figures for figures in (report.ours, report.peer) if figures is not None]
    print(f"{report.model}, {report.threads} threads")
    rows = [("", *(figures.engine.split(" (")[0].split(",")[0] for figures in engines))]
    for index, measured in enumerate(report.ours.prefill):
        speeds = [f"{figures.prefill[index].rate:.1f} tok/s" for figures in engines]
        rows.append((f"prefill, {measured.tokens} tokens", *speeds))
        first = [f"{figures.prefill[index].median:.2f} s" for figures in engines]
        rows.append(("  time to first token", *first))
    rows.append((f"decode, {report.ours.decode.tokens} tokens", *(f"{f.decode.rate:.2f} tok/s" for f in engines)))
    rows.append(("  of memory bandwidth", *(f"{report.bandwidth_share(figures):.0%}" for figures in engines)))
    rows.append(("peak memory", *(gigabytes(figures.peak_memory) for figures in engines)))
    rows.append(("time to load", *(f"{figures.load_seconds:.1f} s" for figures in engines)))
    if report.peer is not None:
        rows = [(*row, _ratio(report, row[0])) for row in rows]
    print_table(rows)
    print(f"memory reads {gigabytes(report.bandwidth)}/s; a decoded token moves {gigabytes(report.bytes_per_token)}")
    if report.peer is not None and not report.alternating:
        print("measured one after the other: both at once do not fit into this machine's memory")


def _ratio(report: Report, row: str) -> str:
    """The last column: our speed over the peer's."""
    if not row:
        return "ratio"
    kind, _, tokens = row.partition(", ")
    key = {"decode": "decode", "prefill": f"prefill_{tokens.split()[0] if tokens else ''}"}.get(kind, "")
    return f"{report.ratios[key]:.2f} x" if key in report.ratios else ""
