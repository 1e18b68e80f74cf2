"""Amounts of money as whole cents, so that sums are exact."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_AMOUNT = re.compile(r"(?P<sign>-)?(?P<whole>\d{1,3}(?:,\d{3})+|\d+)(?:\.(?P<cents>\d{1,2}))?")


@dataclass(frozen=True, order=True)
class Money:
    cents: int

    @classmethod
    def parse(cls, text: str) -> Money:
        """Read "1,234.50", "-12" or "0.5". Raises ValueError for anything else."""
        match = _AMOUNT.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"not an amount: {text!r}")
        whole = int(match["whole"].replace(",", ""))
        cents = int((match["cents"] or "0").ljust(2, "0"))
        total = whole * 100 + cents
        return cls(-total if match["sign"] else total)

    def __add__(self, other: Money) -> Money:
        return Money(self.cents + other.cents)

    def __sub__(self, other: Money) -> Money:
        return Money(self.cents - other.cents)

    def __neg__(self) -> Money:
        return Money(-self.cents)

    def __bool__(self) -> bool:
        return self.cents != 0

    def __str__(self) -> str:
        sign = "-" if self.cents < 0 else ""
        whole, cents = divmod(abs(self.cents), 100)
        return f"{sign}{whole:,}.{cents:02d}"


ZERO = Money(0)


def total(amounts: Sequence[Money]) -> Money:
    """The sum of amounts; zero for none."""
    return sum(amounts, ZERO)


def allocate(amount: Money, weights: Sequence[int]) -> list[Money]:
    """Split an amount in proportion to weights without losing a cent.

    Every share is rounded down first; the cents that are left go to the first shares, one each.
    Raises ValueError when there are no weights or their sum is zero.
    """
    whole = sum(weights)
    if whole <= 0:
        raise ValueError("the weights must add up to more than zero")
    shares = [amount.cents * weight // whole for weight in weights]
    left = amount.cents - sum(shares)
    for index in range(left):
        shares[index] += 1
    return [Money(share) for share in shares]
