from datetime import date

import pytest
from ledger import JournalError, Money, parse_journal

JOURNAL = """\
; household
2024-01-05 Groceries #food
  Expenses:Food  82.40
  Assets:Bank:Checking

2024-01-01 Opening
  Assets:Bank:Checking  1,000.00
  Equity:Opening  -1,000.00
"""


def test_transactions_come_in_order_of_their_days():
    assert [transaction.day for transaction in parse_journal(JOURNAL)] == [date(2024, 1, 1), date(2024, 1, 5)]


def test_the_open_posting_balances_the_others():
    groceries = parse_journal(JOURNAL)[1]
    assert groceries.postings[1].account == "Assets:Bank:Checking"
    assert groceries.postings[1].amount == Money(-8240)
    assert groceries.balance() == Money(0)


def test_tags_are_not_part_of_the_description():
    groceries = parse_journal(JOURNAL)[1]
    assert groceries.description == "Groceries"
    assert groceries.tags == {"food"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2024-13-01 No such month\n  A  1\n  B\n", "line 1: not a date"),
        ("\n2024-01-01 Off\n  A  1.00\n  B  -0.99\n", "line 2: the postings are off by 0.01"),
        ("2024-01-01 Open\n  A\n  B\n", "line 3: two postings without an amount"),
        ("2024-01-01 Words\n  A  ten\n", "line 2: not an amount"),
    ],
)
def test_errors_name_the_line(text, message):
    with pytest.raises(JournalError, match=message):
        parse_journal(text)
