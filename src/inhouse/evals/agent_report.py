"""The table of the agent's measurement: what the model hits alone, what the agent repairs of the rest, and loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from inhouse.evals.agent_bench import Result


@dataclass(frozen=True)
class Row:
    """One seed. `bugs` counts those that both have a result for; sums are over these bugs."""

    seed: int
    bugs: int
    hits: int  # of the model alone
    repaired: int  # of all
    won: int  # that the model alone misses
    missed: int  # by the model alone
    lost: tuple[str, ...]  # that the model alone hits, and the agent does not repair
    turns: int
    read: int
    written: int
    minutes: float
    median_turns: float
    median_seconds: float


def row(seed: int, baseline: Sequence[Result], agent: Sequence[Result]) -> Row:
    """One seed's results against the model's own."""
    hit = {result.name: result.repaired for result in baseline}
    both = [result for result in agent if result.name in hit]
    return Row(
        seed=seed,
        bugs=len(both),
        hits=sum(hit[result.name] for result in both),
        repaired=sum(result.repaired for result in both),
        won=sum(result.repaired and not hit[result.name] for result in both),
        missed=sum(not hit[result.name] for result in both),
        lost=tuple(result.name for result in both if hit[result.name] and not result.repaired),
        turns=sum(result.turns for result in both),
        read=sum(result.read for result in both),
        written=sum(result.written for result in both),
        minutes=round(sum(result.seconds for result in both) / 60, 2),
        median_turns=median([result.turns for result in both] or [0]),
        median_seconds=median([result.seconds for result in both] or [0.0]),
    )


def to_markdown(baseline: Sequence[Result], rows: Sequence[Row], settings: Mapping[str, Any]) -> str:
    """The table, with the baseline first."""
    hits = sum(result.repaired for result in baseline)
    written = sum(result.written for result in baseline)
    minutes = sum(result.seconds for result in baseline) / 60
    lines = [
        f"{settings['model']}: {len(baseline)} bugs, {settings['minutes']:g} minutes each at most",
        "",
        "| | bugs | repaired | of those missed alone | lost | turns (median) | tokens read | written | minutes |",
        "|---|---|---|---|---|---|---|---|---|",
        f"| one greedy answer | {len(baseline)} | {hits} | | | {len(baseline)} (1) "
        f"| {sum(result.read for result in baseline)} | {written} | {minutes:.1f} |",
    ]
    for one in rows:
        lost = f"{len(one.lost)} ({', '.join(one.lost)})" if one.lost else "0"
        lines.append(
            f"| agent, seed {one.seed} | {one.bugs} | {one.repaired} | {one.won} of {one.missed} | {lost} "
            f"| {one.turns} ({one.median_turns:g}) | {one.read} | {one.written} | {one.minutes:.1f} |"
        )
    return "\n".join(lines) + "\n"


def to_json(baseline: Sequence[Result], rows: Sequence[Row], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with all that the table leaves out."""
    return {
        **settings,
        "baseline": {result.name: result.repaired for result in baseline},
        "seeds": [asdict(one) for one in rows],
    }
