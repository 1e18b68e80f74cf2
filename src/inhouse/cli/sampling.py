"""The sampling options that `chat` and `generate` share."""

from __future__ import annotations

import argparse

from inhouse.engine.params import SamplingParams


def add_sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--max-tokens", type=int, metavar="N", help="tokens of the answer (default: to the context's end)"
    )
    group.add_argument("--temperature", type=float, default=0.0, metavar="T", help="0, the default, is greedy")
    group.add_argument("--top-k", type=int, default=0, metavar="K", help="of the K likeliest tokens (default 0: all)")
    group.add_argument(
        "--top-p", type=float, default=1.0, metavar="P", help="of the likeliest with that much probability"
    )
    group.add_argument(
        "--min-p", type=float, default=0.0, metavar="P", help="of those P times as likely as the likeliest"
    )
    group.add_argument("--presence-penalty", type=float, default=0.0, metavar="X", help="for tokens already there")
    group.add_argument("--frequency-penalty", type=float, default=0.0, metavar="X", help="for each time they are there")
    group.add_argument("--repetition-penalty", type=float, default=1.0, metavar="X", help="1, the default, is none")
    group.add_argument("--seed", type=int, metavar="N", help="the same seed, the same answer")
    group.add_argument("--stop", action="append", default=[], metavar="TEXT", help="end before this text (repeatable)")


def sampling(args: argparse.Namespace) -> SamplingParams:
    """Raises ParameterError."""
    return SamplingParams(
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        min_p=args.min_p,
        presence_penalty=args.presence_penalty,
        frequency_penalty=args.frequency_penalty,
        repetition_penalty=args.repetition_penalty,
        seed=args.seed,
        stop=tuple(args.stop),
        max_tokens=args.max_tokens,
    )
