from datetime import date

import pytest
from ledger import Money, Posting, Schedule, Transaction, expand
from ledger.dates import Period
from ledger.recurring import merge

RENT = Transaction(
    date(2024, 1, 31), "Rent", (Posting("Expenses:Rent", Money(95000)), Posting("Assets:Bank", Money(-95000)))
)


def test_weeks_and_days():
    january = Period.parse("2024-01")
    fortnight = Schedule(date(2024, 1, 5), 2, "weeks")
    assert list(fortnight.occurrences(january)) == [date(2024, 1, 5), date(2024, 1, 19)]
    tenth_days = Schedule(date(2023, 12, 30), 10, "days")
    assert list(tenth_days.occurrences(january)) == [date(2024, 1, 9), date(2024, 1, 19), date(2024, 1, 29)]


def test_months():
    schedule = Schedule(date(2024, 1, 15), 3, "months")
    assert list(schedule.occurrences(Period.parse("2024"))) == [
        date(2024, 1, 15),
        date(2024, 4, 15),
        date(2024, 7, 15),
        date(2024, 10, 15),
    ]


def test_rent_on_the_last_day_of_every_month():
    rent = Schedule(date(2024, 1, 31), 1, "months")
    assert list(rent.occurrences(Period.parse("2024-Q2"))) == [date(2024, 4, 30), date(2024, 5, 31), date(2024, 6, 30)]


def test_until_is_included():
    schedule = Schedule(date(2024, 1, 1), 1, "days", until=date(2024, 1, 3))
    assert len(list(schedule.occurrences(Period.parse("2024")))) == 3


def test_expand_copies_the_transaction():
    schedule = Schedule(date(2024, 2, 1), 1, "weeks")
    copies = expand(RENT, schedule, Period.parse("2024-02"))
    assert [copy.day.day for copy in copies] == [1, 8, 15, 22, 29]
    assert {copy.description for copy in copies} == {"Rent"}


def test_merge_is_stable():
    one = Transaction(date(2024, 1, 2), "one", ())
    two = Transaction(date(2024, 1, 2), "two", ())
    zero = Transaction(date(2024, 1, 1), "zero", ())
    assert [transaction.description for transaction in merge([one], [two, zero])] == ["zero", "one", "two"]


@pytest.mark.parametrize(("every", "unit"), [(0, "days"), (1, "years")])
def test_schedules_are_checked(every, unit):
    with pytest.raises(ValueError, match=r"unit|forward"):
        Schedule(date(2024, 1, 1), every, unit)
