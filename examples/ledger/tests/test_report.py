from datetime import date

from ledger.balances import RegisterLine
from ledger.money import Money
from ledger.report import balance_report, register_report, shorten, table


def test_shorten():
    assert shorten("Groceries", 9) == "Groceries"
    assert shorten("Groceries", 6) == "Groce…"


def test_table_aligns():
    assert table([("a", "1"), ("long", "100")], right=frozenset({1})) == "a       1\nlong  100"
    assert table([]) == ""


def test_balance_report_is_a_tree():
    sums = {"Assets": Money(150), "Assets:Bank": Money(150), "Assets:Cash": Money(0), "Equity": Money(-150)}
    assert balance_report(sums) == "Assets   1.50\n  Bank   1.50\nEquity  -1.50"
    assert balance_report(sums, depth=1) == "Assets   1.50\nEquity  -1.50"


def test_register_report():
    lines = [RegisterLine(date(2024, 1, 2), "A very long description indeed", Money(100), Money(1100))]
    assert register_report(lines, width=10) == "2024-01-02  A very lo…  1.00  11.00"
