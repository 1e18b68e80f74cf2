from datetime import date

from ledger.balances import ancestors, balances, budget_left, is_below, register
from ledger.dates import Period
from ledger.journal import parse_journal
from ledger.money import Money

JOURNAL = parse_journal("""\
2024-01-01 Opening
  Assets:Bank:Checking  500.00
  Equity:Opening

2024-01-10 Bread
  Expenses:Food:Bakery  4.20
  Assets:Bank:Checking

2024-02-03 To the savings
  Assets:Bank:Savings  100.00
  Assets:Bank:Checking

2024-02-05 Cinema
  Expenses:Fun  11.00
  Assets:Cash
""")


def test_ancestors():
    assert list(ancestors("Assets:Bank:Savings")) == ["Assets:Bank:Savings", "Assets:Bank", "Assets"]


def test_a_longer_name_is_not_a_child():
    assert is_below("Assets:Bank", "Assets")
    assert not is_below("Assets:Banknotes", "Assets:Bank")


def test_parents_include_their_children():
    sums = balances(JOURNAL)
    assert sums["Assets:Bank:Checking"] == Money(39580)
    assert sums["Assets:Bank"] == Money(49580)
    assert sums["Assets"] == Money(48480)
    assert list(sums) == sorted(sums)


def test_balances_of_a_period():
    assert balances(JOURNAL, Period.parse("2024-02"))["Expenses"] == Money(1100)


def test_register_runs_from_the_beginning():
    lines = register(JOURNAL, "Assets:Bank", Period.parse("2024-02"))
    assert [line.day for line in lines] == [date(2024, 2, 3)] * 2
    assert [line.balance for line in lines] == [Money(59580), Money(49580)]


def test_budget():
    spent = balances(JOURNAL)
    left = budget_left(spent, {"Expenses:Food": Money(400), "Expenses:Travel": Money(5000)})
    assert left == {"Expenses:Food": Money(-20), "Expenses:Travel": Money(5000)}
