"""Sums over accounts. Account names form a tree: `Assets:Bank:Checking` counts towards `Assets:Bank` and `Assets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from ledger.dates import Period
from ledger.journal import Transaction
from ledger.money import ZERO, Money


def ancestors(account: str) -> Iterator[str]:
    """The account itself and every account above it, the nearest first."""
    parts = account.split(":")
    for length in range(len(parts), 0, -1):
        yield ":".join(parts[:length])


def is_below(account: str, parent: str) -> bool:
    """Whether an account is `parent` or lies under it in the tree."""
    return account == parent or account.startswith(parent)


def balances(transactions: Iterable[Transaction], period: Period | None = None) -> dict[str, Money]:
    """The balance of every account, those of its children included, sorted by name."""
    sums: dict[str, Money] = {}
    for transaction in transactions:
        if period is not None and transaction.day not in period:
            continue
        for posting in transaction.postings:
            for account in ancestors(posting.account):
                sums[account] = sums.get(account, ZERO) + posting.amount
    return dict(sorted(sums.items()))


@dataclass(frozen=True)
class RegisterLine:
    """One posting to an account, and what the account holds after it."""

    day: date
    description: str
    amount: Money
    balance: Money


def register(transactions: Iterable[Transaction], account: str, period: Period | None = None) -> list[RegisterLine]:
    """The movements of an account (and those below it) with its running balance.

    The balance counts everything since the beginning, also what lies before the period.
    """
    lines = []
    balance = ZERO
    for transaction in sorted(transactions, key=lambda transaction: transaction.day):
        for posting in transaction.postings:
            if not is_below(posting.account, account):
                continue
            balance = balance + posting.amount
            if period is None or transaction.day in period:
                lines.append(RegisterLine(transaction.day, transaction.description, posting.amount, balance))
    return lines


def budget_left(spent: dict[str, Money], budget: dict[str, Money]) -> dict[str, Money]:
    """What is left of every budgeted account; negative when it is overspent."""
    return {account: limit - spent.get(account, ZERO) for account, limit in budget.items()}
