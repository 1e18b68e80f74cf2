"""The journal: transactions, and the text format they are written in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from ledger.money import ZERO, Money, total


class JournalError(ValueError):
    """A journal that cannot be read; the message begins with the line number."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line


@dataclass(frozen=True)
class Posting:
    """One leg of a transaction."""

    account: str
    amount: Money


@dataclass(frozen=True)
class Transaction:
    """Postings that add up to zero, on one day."""

    day: date
    description: str
    postings: tuple[Posting, ...]
    tags: frozenset[str] = field(default_factory=frozenset)

    def balance(self) -> Money:
        return total([posting.amount for posting in self.postings])


def parse_journal(text: str) -> list[Transaction]:
    """Read a whole journal. Transactions are separated by blank lines; `;` starts a comment."""
    transactions = []
    for start, block in _blocks(text):
        transactions.append(_parse_transaction(start, block))
    return sorted(transactions, key=lambda transaction: transaction.day)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Groups of non-blank lines, each with the number of its first line. Comments are gone."""
    block: list[str] = []
    start = 0
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.split(";", 1)[0].rstrip()
        if line:
            if not block:
                start = number
            block.append(line)
        elif block:
            yield start, block
            block = []
    if block:
        yield start, block


def _parse_transaction(start: int, lines: list[str]) -> Transaction:
    head, *rest = lines
    day_text, _, description = head.partition(" ")
    try:
        day = date.fromisoformat(day_text)
    except ValueError:
        raise JournalError(start, f"not a date: {day_text!r}") from None
    words = description.split()
    tags = frozenset(word[1:] for word in words if word.startswith("#"))
    title = " ".join(word for word in words if not word.startswith("#"))
    postings = _parse_postings(start, rest)
    return Transaction(day, title, postings, tags)


def _parse_postings(start: int, lines: list[str]) -> tuple[Posting, ...]:
    """The postings of one transaction. At most one may leave out its amount: it takes what balances the others."""
    postings: list[Posting] = []
    open_account: str | None = None
    for number, line in enumerate(lines, start=start + 1):
        account, _, amount = line.strip().partition("  ")
        if amount.strip():
            try:
                postings.append(Posting(account, Money.parse(amount)))
            except ValueError as error:
                raise JournalError(number, str(error)) from None
        elif open_account is None:
            open_account = account
        else:
            raise JournalError(number, "two postings without an amount")
    left = total([posting.amount for posting in postings])
    if open_account is not None:
        postings.append(Posting(open_account, -left))
    elif left != ZERO:
        raise JournalError(start, f"the postings are off by {left}")
    return tuple(postings)
