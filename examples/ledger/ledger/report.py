"""Reports as text: aligned columns, amounts to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ledger.balances import RegisterLine
from ledger.money import Money


def shorten(text: str, width: int) -> str:
    """The text, cut to `width` characters with an ellipsis when it is longer."""
    if len(text) <= width:
        return text
    return text[: width - 1] + "…"


def table(rows: Sequence[Sequence[str]], right: frozenset[int] = frozenset()) -> str:
    """Rows in columns that are as wide as their widest cell; columns in `right` are aligned to the right."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def balance_report(sums: Mapping[str, Money], depth: int | None = None) -> str:
    """The tree of accounts, indented, down to `depth` levels; accounts that hold nothing are left out."""
    rows = []
    for account, amount in sums.items():
        level = account.count(":")
        if not amount or (depth is not None and level >= depth):
            continue
        name = account.rsplit(":", 1)[-1]
        rows.append(("  " * level + name, str(amount)))
    return table(rows, right=frozenset({1}))


def register_report(lines: Sequence[RegisterLine], width: int = 24) -> str:
    """A register with its running balance."""
    rows = [
        (line.day.isoformat(), shorten(line.description, width), str(line.amount), str(line.balance)) for line in lines
    ]
    return table(rows, right=frozenset({2, 3}))
