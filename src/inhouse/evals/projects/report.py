"""The tables of the measurement on real projects: how many are repaired, of which kinds, and why each miss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from inhouse.evals.projects.measure import Measure
from inhouse.evals.projects.seeding import SHORT


def groups(results: Sequence[Measure]) -> dict[str, list[Measure]]:
    """The rows of the table: all, each half, each ecosystem, short and long functions."""
    found = {"all": list(results)}
    for half in dict.fromkeys(one.half for one in results):
        found[half] = [one for one in results if one.half == half]
    for ecosystem in dict.fromkeys(one.ecosystem for one in results):
        found[ecosystem] = [one for one in results if one.ecosystem == ecosystem]
    found[f"functions of at most {SHORT} lines"] = [one for one in results if one.short]
    found[f"functions of more than {SHORT} lines"] = [one for one in results if not one.short]
    return {name: members for name, members in found.items() if members}


def to_markdown(results: Sequence[Measure], settings: Mapping[str, Any]) -> str:
    """The tables as text."""
    lines = [
        f"{settings['model']}: {len(results)} faults in real projects, {settings['minutes']:g} minutes each at most",
        "",
        "| | faults | repaired | | suspect 1 | among 3 | late | seconds (median) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, members in groups(results).items():
        good = sum(one.repaired for one in members)
        first = sum(one.rank == 1 for one in members)
        three = sum(one.rank is not None and one.rank <= 3 for one in members)
        late = sum(one.late for one in members)
        middle = median(one.seconds for one in members)
        share = f"{100 * good / len(members):.0f} %"
        lines.append(f"| {name} | {len(members)} | {good} | {share} | {first} | {three} | {late} | {middle:.0f} |")
    missed = [one for one in results if not one.repaired]
    counts = Counter(one.miss for one in missed)
    lines += ["", "Misses: " + (", ".join(f"{kind} {count}" for kind, count in counts.most_common()) or "none"), ""]
    if missed:
        lines += ["| fault | lines | why missed | rank | asked | seconds | said |", "|---|---|---|---|---|---|---|"]
    for one in missed:
        said = one.reason.replace("|", "\\|").replace("\n", " ")[:160]
        lines.append(
            f"| {one.name} | {one.lines} | {one.miss} | {one.rank or '-'} | {one.asked} | {one.seconds:.0f} "
            f"| {one.status} ({one.exit_code}): {said} |"
        )
    return "\n".join(lines) + "\n"


def to_json(results: Sequence[Measure], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same, with each fault's result but for its events."""
    rows = {
        name: {"faults": len(members), "repaired": sum(one.repaired for one in members)}
        for name, members in groups(results).items()
    }
    left_out = ("events", "diff", "stderr")
    each = [{key: value for key, value in vars(one).items() if key not in left_out} for one in results]
    return {**settings, "groups": rows, "misses": dict(Counter(one.miss for one in results if one.miss)), "each": each}
