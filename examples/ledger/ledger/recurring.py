"""Payments that come again: rent every month, wages every second Friday."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import count

from ledger.dates import Period, add_months
from ledger.journal import Transaction

UNITS = ("days", "weeks", "months")


@dataclass(frozen=True)
class Schedule:
    """Every `every` units from `start` on, until `until` (included) when it is given."""

    start: date
    every: int
    unit: str
    until: date | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"unknown unit {self.unit!r}; use one of {', '.join(UNITS)}")
        if self.every < 1:
            raise ValueError(f"a schedule must move forward, not by {self.every}")

    def occurrences(self, period: Period) -> Iterator[date]:
        """The days of this schedule that lie in a period, in order."""
        last = period.last if self.until is None else min(period.last, self.until)
        for number in count():
            day = self._occurrence(number)
            if day > last:
                return
            if day >= period.first:
                yield day

    def _occurrence(self, number: int) -> date:
        """Counted from the start, so that a short month does not move the days of all later ones."""
        if self.unit == "months":
            return add_months(self.start, self.every * number)
        days = self.every if self.unit == "days" else self.every * 7
        return self.start + timedelta(days=days * number)


def expand(template: Transaction, schedule: Schedule, period: Period) -> list[Transaction]:
    """One copy of a transaction for every day of its schedule in a period."""
    return [replace(template, day=day) for day in schedule.occurrences(period)]


def merge(*sources: Iterable[Transaction]) -> list[Transaction]:
    """Transactions of several sources in the order of their days; those of one day keep their order."""
    together = [transaction for source in sources for transaction in source]
    return sorted(together, key=lambda transaction: transaction.day)
