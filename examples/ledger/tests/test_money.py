import pytest
from ledger.money import Money, allocate, total


@pytest.mark.parametrize(
    ("text", "cents"), [("12", 1200), ("0.5", 50), ("1,234.56", 123456), ("-3.07", -307), (" 7.10 ", 710)]
)
def test_parse(text, cents):
    assert Money.parse(text) == Money(cents)


@pytest.mark.parametrize("text", ["", "1,23", "1.234", "--1", "ten"])
def test_parse_refuses(text):
    with pytest.raises(ValueError, match="not an amount"):
        Money.parse(text)


def test_str():
    assert [str(Money(cents)) for cents in (0, 5, -1250, 123456789)] == ["0.00", "0.05", "-12.50", "1,234,567.89"]


def test_total_of_nothing_is_zero():
    assert total([]) == Money(0)


def test_allocate_keeps_every_cent():
    assert allocate(Money(1000), [1, 1, 1]) == [Money(334), Money(333), Money(333)]
    assert allocate(Money(100), [3, 1]) == [Money(75), Money(25)]


def test_allocate_refuses_no_weights():
    with pytest.raises(ValueError, match="weights"):
        allocate(Money(100), [])
