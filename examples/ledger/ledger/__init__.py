"""Plain-text, double-entry accounting."""

from ledger.journal import JournalError, Posting, Transaction, parse_journal
from ledger.money import Money
from ledger.recurring import Schedule, expand

__all__ = ["JournalError", "Money", "Posting", "Schedule", "Transaction", "expand", "parse_journal"]
