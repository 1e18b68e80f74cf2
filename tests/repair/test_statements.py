"""What reports state outright, and what contradicts them."""

from __future__ import annotations

import pytest

from inhouse.repair.reproduction.statements import Statement, contradicts, statements


@pytest.mark.parametrize(
    ("report", "expression", "actual", "expected"),
    [
        ("list(evens(5)) gives [0, 2] instead of [0, 2, 4]", "list(evens(5))", "[0, 2]", "[0, 2, 4]"),
        ('`slugify("a b")` returns "a_b" instead of "a-b".', 'slugify("a b")', '"a_b"', '"a-b"'),
        ("median([1, 2, 3, 4]) should be 2.5 but is 2", "median([1, 2, 3, 4])", "2", "2.5"),
        ('parse("1") returns None, expected 1', 'parse("1")', "None", "1"),
        ("The result of `a.b(1).c` is 3, not 4.", "a.b(1).c", "3", "4"),
        ("expected 3 for f(2), got 4", "f(2)", "4", "3"),
        ("round_up(2.5) -> 2, expected 3", "round_up(2.5)", "2", "3"),
        ("get({}, 'a.b') raises KeyError instead of returning None", "get({}, 'a.b')", "", "None"),
        ("assert add(1, -2) == -1", "add(1, -2)", "", "-1"),
        ("Sum('1.1').up() is Dec('1') but should be Dec('2')", "Sum('1.1').up()", "Dec('1')", "Dec('2')"),
        ("x(1)['k'] should equal (1, {'a': [2]})", "x(1)['k']", "", "(1, {'a': [2]})"),
        ("wrap('x)') gives '(x))' instead of '(x)'", "wrap('x)')", "'(x))'", "'(x)'"),
    ],
)  # fmt: skip
def test_an_expression_and_its_values_are_taken_word_for_word(
    report: str, expression: str, actual: str, expected: str
) -> None:
    assert statements(f"Since the last release {report}") == [Statement(expression, expected, actual)]


@pytest.mark.parametrize(
    "report",
    [
        "f(x) gives 3 instead of 4",  # nobody knows x
        "f(1) is wrong",
        "f(1) gives one instead of two",
        "total( gives 1 instead of 2",
        "the list gives 1 instead of 2",
    ],
)
def test_what_is_not_said_in_python_is_left_alone(report: str) -> None:
    assert statements(report) == []


def test_an_exception_that_should_come() -> None:
    (one,) = statements("f(-1) returns 3 instead of raising a ValueError.")
    assert one.assertion == "with pytest.raises(ValueError):\n    f(-1)"
    assert statements("f(-1) should raise `ValueError`")[0].raises == "ValueError"


def test_values_without_equality_are_compared_by_identity() -> None:
    assert Statement("f(1)", "None").assertion == "assert f(1) is None"
    assert Statement("f(1)", "[None]").assertion == "assert f(1) == [None]"


def test_an_assertion_of_the_faulty_value_contradicts_the_report() -> None:
    stated = statements("list(evens(5)) gives [0, 2] instead of [0, 2, 4]")
    assert "wrong" in contradicts("list(evens(5)) == [0,2]", stated)
    assert "should be [0, 2, 4]" in contradicts("list(evens(5)) == [0, 2, 4, 6]", stated)
    assert contradicts("list(evens(5)) == [0, 2, 4]", stated) == ""
    assert contradicts("list(evens(7)) == [0, 2]", stated) == ""
