"""Calendar arithmetic: months of different lengths, and the periods that reports are about."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta

_PERIOD = re.compile(r"(?P<year>\d{4})(?:-(?:Q(?P<quarter>[1-4])|(?P<month>\d{2})))?")


def days_in_month(year: int, month: int) -> int:
    return calendar.monthrange(year, month)[1]


def add_months(day: date, months: int) -> date:
    """The same day `months` later, or the last day of that month when it is too short."""
    index = day.year * 12 + day.month - 1 + months
    year, month = divmod(index, 12)
    month += 1
    return date(year, month, min(day.day, days_in_month(year, month)))


@dataclass(frozen=True)
class Period:
    """A span of days; both ends belong to it."""

    first: date
    last: date

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read "2024", "2024-Q2" or "2024-03". Raises ValueError for anything else."""
        match = _PERIOD.fullmatch(text)
        if match is None:
            raise ValueError(f"not a period: {text!r}")
        year = int(match["year"])
        if match["quarter"]:
            start, length = int(match["quarter"]) * 3 - 2, 3
        elif match["month"]:
            start, length = int(match["month"]), 1
        else:
            start, length = 1, 12
        first = date(year, start, 1)
        return cls(first, add_months(first, length) - timedelta(days=1))

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last

    def days(self) -> int:
        return (self.last - self.first).days + 1
