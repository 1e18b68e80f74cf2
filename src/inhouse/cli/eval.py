"""`inhouse eval`: measure what a model can do. Wires problems, models, the sandbox and the terminal together."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

from inhouse.cli import eval_swebench
from inhouse.cli.common import (
    Subparsers,
    add_engine,
    add_thinking,
    command,
    model_path,
    packed_copies,
    positive,
    print_json,
    template_flags,
)
from inhouse.cli.meter import Meter
from inhouse.cli.opening import open_llm
from inhouse.client.inprocess import InProcessClient
from inhouse.client.types import ChatClient, FinishReason, Sampling
from inhouse.engine import LLM
from inhouse.errors import ParameterError
from inhouse.evals.humaneval import (
    Mode,
    Problem,
    Solver,
    TextGenerator,
    by_chat,
    by_completion,
    by_prefill,
    load_problems,
)
from inhouse.evals.humaneval_run import Progress, Report
from inhouse.evals.humaneval_run import run as measure
from inhouse.evals.llamacpp import LlamaCppClient
from inhouse.evals.perplexity import WINDOW, library_text, llama_cpp, perplexity

_CONTEXT = 4096  # tokens: the longest problem and the longest answer allowed


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "eval",
        "HumanEval: let a model write its 164 functions, run their tests confined, and report the share that passes at "
        "the first attempt (pass@1, greedy). Perplexity: how surprised a model is by a text, token by token. "
        "SWE-bench: repair its repositories. With --out, an interrupted run goes on where it stopped.",
        "inhouse eval humaneval starter --limit 40\n"
        "inhouse eval humaneval starter --out starter.jsonl --json\n"
        "inhouse eval humaneval starter --limit 40 --vs llama.cpp\n"
        "inhouse eval perplexity starter --limit 20000 --vs llama.cpp\n"
        "inhouse eval swebench --dataset set.jsonl --repos clones --predictions gold",
    )
    parser.add_argument("what", choices=["humaneval", "perplexity", "swebench"], help="what to measure")
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a name, a .gguf file or a Hugging Face directory")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="N of the problems, evenly spread, or N tokens (default: all)"
    )
    parser.add_argument("--text", type=Path, metavar="FILE", help="for perplexity (default: Python's own library)")
    parser.add_argument("--mode", choices=get_args(Mode), default="chat", help="how to ask (default: chat)")
    parser.add_argument("--max-tokens", type=positive, default=768, metavar="N", help="of an answer (default 768)")
    parser.add_argument(
        "--vs", choices=["llama.cpp"], help="the same problems through that program (needs inhouse[peer])"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="keep every result there (JSON lines), and resume")
    add_thinking(parser)
    add_engine(parser)
    parser.add_argument("--json", action="store_true", help="write JSON")
    eval_swebench.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    if args.what == "swebench":
        return eval_swebench.run(args)
    if args.model is None:
        raise ParameterError("name the model to measure, such as starter")
    model = model_path(args.model)
    if args.what == "perplexity":
        return _perplexity(args, model)
    problems = _sample(load_problems(), args.limit)
    with tempfile.TemporaryDirectory(prefix="inhouse-eval-") as scratch:
        out = args.out or Path(scratch) / "results.jsonl"
        reports = {"inhouse": _measure(args, model, problems, "inhouse", out)}
        if args.vs is not None:
            reports["llama.cpp"] = _measure(
                args, model, problems, "llama.cpp", out.with_suffix(f".llama.cpp{out.suffix}")
            )
    if args.json:
        print_json({name: report.to_json() for name, report in reports.items()})
        return 0
    for name, report in reports.items():
        speed = report.tokens / report.answer_seconds if report.answer_seconds else 0.0
        print(
            f"{name}: pass@1 {report.pass_at_1:.1%} ({report.passed} of {report.problems}; {len(report.timed_out)} "
            f"timed out, {len(report.cut_off)} cut off), {report.tokens} tokens at {speed:.1f} tok/s"
        )
    return 0


def _perplexity(args: argparse.Namespace, model: Path) -> int:
    text = library_text() if args.text is None else args.text.read_text(encoding="utf-8")
    with Meter() as meter:
        with LLM(
            model, threads=args.threads, kv=args.kv, context=WINDOW, cache_bytes=0, pack=not args.no_pack,
            packed_root=packed_copies().root,
        ) as llm:  # fmt: skip
            ids = llm.tokenizer.encode(text, special=False)[: args.limit]
            results = {"inhouse": perplexity(llm.logits, ids, progress=partial(meter.update, "inhouse"))}
        if args.vs is not None:
            with llama_cpp(model, args.threads) as score:
                results["llama.cpp"] = perplexity(score, ids, progress=partial(meter.update, "llama.cpp"))
    if args.json:
        print_json({name: result.to_json() for name, result in results.items()})
        return 0
    for name, result in results.items():
        print(f"{name}: perplexity {result.value:.4f} over {result.tokens} tokens")
    return 0


def _sample(problems: Sequence[Problem], limit: int | None) -> list[Problem]:
    """`limit` of the problems, evenly spread: their difficulty changes along the list."""
    count = min(limit or len(problems), len(problems))
    return [problems[index * len(problems) // count] for index in range(count)]


def _measure(args: argparse.Namespace, model: Path, problems: Sequence[Problem], engine: str, out: Path) -> Report:
    """One engine's run; its model is closed at the end."""
    sampling = Sampling(max_tokens=args.max_tokens)
    settings = {
        "benchmark": "humaneval",
        "engine": engine,
        "model": model.name,
        "model_bytes": model.stat().st_size if model.is_file() else None,
        "mode": args.mode,
        "max_tokens": args.max_tokens,
        "temperature": 0.0,
    }
    solver, close = _ours(args, model, sampling) if engine == "inhouse" else _peer(args, model, sampling)
    with Meter() as meter:

        def show(progress: Progress) -> None:
            meter.update(f"{engine}: {progress.passed} passed", progress.done, progress.total)

        try:
            return measure(solver, problems, results=out, settings=settings, progress=show)
        except KeyboardInterrupt:
            if args.out is not None:
                print(f"\nwhat is done is kept: the same command goes on from {out}", file=sys.stderr)
            raise
        finally:
            close()


def _solver(mode: Mode, client: ChatClient, text: TextGenerator, sampling: Sampling) -> Solver:
    if mode == "raw":
        return by_completion(text, sampling)
    return (by_chat if mode == "chat" else by_prefill)(client, sampling)


def _ours(args: argparse.Namespace, model: Path, sampling: Sampling) -> tuple[Solver, Callable[[], Any]]:
    llm = open_llm(model, args)

    def text(prompt: str, sampling: Sampling) -> tuple[str, FinishReason, int]:
        params = llm.sampling_params(
            temperature=sampling.temperature, stop=sampling.stop, max_tokens=sampling.max_tokens
        )
        completion = llm.generate(prompt, params)
        return completion.text, completion.finish_reason, completion.usage.completion_tokens

    return _solver(
        cast(Mode, args.mode), InProcessClient(llm, template_flags=template_flags(args)), text, sampling
    ), llm.close


def _peer(args: argparse.Namespace, model: Path, sampling: Sampling) -> tuple[Solver, Callable[[], Any]]:
    client = LlamaCppClient(model, context=_CONTEXT, threads=args.threads)
    return _solver(cast(Mode, args.mode), client, client.complete_text, sampling), client.close
