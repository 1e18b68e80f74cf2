from datetime import date

import pytest
from ledger.dates import Period, add_months


def test_add_months_crosses_years():
    assert add_months(date(2023, 11, 15), 3) == date(2024, 2, 15)
    assert add_months(date(2024, 1, 15), -1) == date(2023, 12, 15)


def test_add_months_stops_at_the_end_of_short_months():
    assert add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert add_months(date(2023, 1, 31), 1) == date(2023, 2, 28)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2024", date(2024, 1, 1), date(2024, 12, 31)),
        ("2024-Q1", date(2024, 1, 1), date(2024, 3, 31)),
        ("2024-Q4", date(2024, 10, 1), date(2024, 12, 31)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
    ],
)
def test_period(text, first, last):
    assert Period.parse(text) == Period(first, last)


def test_both_ends_belong_to_a_period():
    march = Period.parse("2024-03")
    assert date(2024, 3, 1) in march
    assert date(2024, 3, 31) in march
    assert date(2024, 4, 1) not in march
    assert march.days() == 31


def test_period_refuses():
    with pytest.raises(ValueError, match="not a period"):
        Period.parse("2024-Q5")
