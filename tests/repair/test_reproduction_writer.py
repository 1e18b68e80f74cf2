"""A test that shows the problem is written where none fails: real repositories and runs, only the model is scripted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shop import PROGRAM, RIGHT, WRONG, Repository, text_of

from inhouse.repair import as_json, events
from inhouse.repair.localise import Suspect, described
from inhouse.repair.reproduction.test_file import assertion, drafted, example, new_path, quoted_call, told
from inhouse.workspace.checkout import apply
from inhouse.workspace.edits import EditError

DISCOUNT = "from shop.prices import discount\n\n\ndef test_discount():\n    assert discount(200) == 20\n"
SHOWS = "total():\n    assert total([1, 2]) == 3\n"  # goes on from the beginning that the request gives
ALIKE = "more():\n    prices = [1, 2]\n    assert total(prices) == 3\n"
OTHER = "other():\n    assert total([4, 4]) == 8\n"
PASSES = "less():\n    assert total([1, 2]) == 2\n"
ISSUE = "The sum of total is too small."
STATED = "total([1, 2]) gives 2 instead of 3."
QUOTED = "total([1, 2]) is wrong: 1 and 2 are 3."


@pytest.fixture
def shop(tmp_path: Path, scratch: Path) -> Repository:
    """A repository with one bug that no test shows."""
    return Repository.made(tmp_path, DISCOUNT)


def verdicts(shop: Repository) -> list[str]:
    return [event.verdict for event in shop.events if isinstance(event, events.Drafted)]


def test_a_test_is_written_and_a_patch_found_that_it_and_all_others_verify(shop: Repository, scratch: Path) -> None:
    before = shop.snapshot()
    result = shop.fix([SHOWS, ALIKE, RIGHT], problem=ISSUE, drafts=2)
    assert (result.status, result.attempts) == ("reproduced", 3)
    assert sorted(result.patch) == ["shop/prices.py", "tests/test_total_reproduction.py"]
    assert result.patch["tests/test_total_reproduction.py"] == (
        "from shop.prices import total\n\n\ndef test_total():\n    assert total([1, 2]) == 3\n"
    )
    assert "tests/test_total_reproduction.py" in result.reason
    assert "+    assert total([1, 2]) == 3" in result.diff
    assert "+    return sum(prices)\n" in result.diff
    assert shop.snapshot() == before
    assert list(scratch.iterdir()) == []
    apply(shop.root, result.patch, result.originals)
    assert shop.fix([], attempts=1).status == "nothing_fails"


def test_what_the_verdict_rests_on_is_an_event_and_part_of_the_result(shop: Repository) -> None:
    result = shop.fix([SHOWS, PASSES, ALIKE, RIGHT], problem=ISSUE, drafts=3)
    lines = [json.loads(json.dumps(as_json(event))) for event in shop.events]
    assert [line["event"] for line in lines] == [
        "prepared", "tested", "located", *["asked", "drafted"] * 3, "reproduction", "located",
        "asked", "judged", "tried",
    ]  # fmt: skip
    shown = next(line for line in lines if line["event"] == "reproduction")
    assert (shown["path"], shown["agreed"], shown["drafts"]) == ("tests/test_total_reproduction.py", 2, 3)
    assert "assert 2 == 3" in shown["says"]
    assert result.reproduction is not None
    assert result.reproduction.path == shown["path"]


def test_the_search_is_told_of_that_test(shop: Repository) -> None:
    shop.fix([SHOWS, ALIKE, WRONG, RIGHT], problem=ISSUE, drafts=2)
    asked = text_of(shop.requests[2].messages)
    assert "assert total([1, 2]) == 3" in asked
    assert "total(prices=[1, 2]) returned 2" in asked


def test_the_question_holds_problem_code_and_a_test_of_the_users_and_its_answer_is_begun(shop: Repository) -> None:
    shop.write("tests/test_prices.py", f"{DISCOUNT}\n\ndef test_none():\n    assert total([]) == -1\n".replace("discount\n", "discount, total\n", 1))  # fmt: skip # noqa: E501
    shop.fix([SHOWS, ALIKE, RIGHT], problem=ISSUE, drafts=2)
    first, second, _ = shop.requests
    asked = text_of(first.messages)
    for part in (ISSUE, "return sum(prices) - 1", "assert total([]) == -1", "`total`"):
        assert part in asked
    assert first.prefill == "```python\nfrom shop.prices import total\n\n\ndef test_"
    assert first.messages == second.messages
    assert (first.sampling.temperature, second.sampling.temperature > 0) == (0.0, True)


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("x():\n    assert totl([1]) == 1 and total\n", "NameError"),
        ("x():\n    assert total([1], 2) == 1\n", "TypeError"),
        ("x():\n    assert total([1]).value == 1\n", "AttributeError"),
        ("x(nothing):\n    assert total([1]) == 1\n", "fixture 'nothing' not found"),
        ("x():\n    assert total(['a']) == 'a'\n", "the problem speaks of no error"),
        ("x():\n    with pytest.raises(ValueError):\n        total([])\n", "the problem speaks of no error"),
        ("x():\n    while total([1]) == 0: pass\n    assert total([1]) == 1\n", "it was stopped"),
    ],
)
def test_a_draft_that_goes_wrong_itself_shows_nothing(shop: Repository, mistake: str, says: str) -> None:
    result = shop.fix([mistake, mistake], problem=ISSUE, drafts=2, test_timeout=6.0 if "while" in mistake else 60.0)
    assert (result.status, result.reproduction) == ("nothing_fails", None)
    assert verdicts(shop) == ["mistaken"] * 2
    assert says in next(event.detail for event in shop.events if isinstance(event, events.Drafted))


@pytest.mark.parametrize(
    "useless", ["x():\n    total([1])\n", "x():\n    assert 1 == 2\n", "x(:\n", "\nNo.", "x():\n    assert total("]
)
def test_an_answer_that_is_no_test_of_the_suspect_is_not_run(shop: Repository, useless: str) -> None:
    assert shop.fix([useless, useless], problem=ISSUE, drafts=2).status == "nothing_fails"
    assert verdicts(shop) == ["unusable"] * 2


def test_an_exception_out_of_the_program_shows_a_problem_that_speaks_of_it(shop: Repository) -> None:
    shop.write("shop/prices.py", PROGRAM.replace("sum(prices) - 1", "prices[0] + sum(prices[1:])"))
    shows, alike = "none():\n    assert total([]) == 0\n", "no_prices():\n    assert total([]) == 0\n"
    result = shop.fix(
        [shows, alike, "    return sum(prices)\n"], problem="total raises an IndexError on no prices", drafts=2
    )
    assert result.status == "reproduced"
    assert result.reproduction is not None
    assert "IndexError" in result.reproduction.says


def test_one_draft_alone_is_not_believed(shop: Repository) -> None:
    result = shop.fix([SHOWS, PASSES, PASSES], problem=ISSUE, drafts=3)
    assert (result.status, result.patch) == ("nothing_fails", {})
    assert "of 3 drafts no two agree on a test that shows the problem" in result.reason
    assert "add a test that shows the problem" in result.reason


def test_drafts_that_expect_different_things_do_not_agree(shop: Repository) -> None:
    assert shop.fix([SHOWS, OTHER], problem=ISSUE, drafts=2).status == "nothing_fails"


def test_what_most_drafts_agree_on_comes_first(shop: Repository) -> None:
    result = shop.fix([SHOWS, OTHER, SHOWS, OTHER, OTHER, RIGHT], problem=ISSUE, drafts=5)
    assert result.reproduction is not None
    assert "total([4, 4]) == 8" in result.reproduction.text
    assert (result.reproduction.agreed, result.reproduction.drafts) == (3, 5)


def test_what_the_report_states_is_the_test_word_for_word_and_no_model_is_asked_for_one(shop: Repository) -> None:
    result = shop.fix([WRONG, RIGHT], problem=STATED, drafts=8)
    assert (result.status, result.attempts) == ("reproduced", 2)
    assert result.reproduction is not None
    assert "    assert total([1, 2]) == 3\n" in result.reproduction.text
    assert (result.reproduction.source, result.reproduction.drafts) == ("report", 0)
    assert "what the report states" in result.reason


EVENS = """\
def evens(n):
    \"\"\"The even numbers below n.\"\"\"
    for i in range(n - 2):
        if i % 2 == 0:
            yield i
"""
NO_EVENS = "from shop.prices import evens\n\n\ndef test_evens():\n    assert list(evens(1)) == []\n"


def test_a_generator_is_listed_as_in_the_report_and_stays_a_generator(shop: Repository) -> None:
    shop.write("shop/prices.py", EVENS)
    shop.write("tests/test_prices.py", NO_EVENS)
    listed, right = "    return [0, 2, 4][: n // 2]\n", "    if n > 1:\n        yield from range(0, n, 2)\n"
    result = shop.fix([listed, right], problem="list(evens(5)) gives [0, 2] instead of [0, 2, 4]", drafts=8)
    assert result.reproduction is not None
    assert "assert list(evens(5)) == [0, 2, 4]\n" in result.reproduction.text
    assert shop.tried() == ["failed", "verified"]
    first = next(event for event in shop.events if isinstance(event, events.Tried))
    assert "no longer be a generator" in first.detail


def test_a_draft_that_fails_for_every_patch_is_refused(shop: Repository) -> None:
    shop.write("shop/prices.py", EVENS)
    shop.write("tests/test_prices.py", NO_EVENS)
    shop.fix([" == [0, 2, 4]\n", " == [0, 2]\n"], problem="evens(5) is wrong, 4 is left out of 0, 2, 4", drafts=2)
    assert verdicts(shop) == ["mistaken", "mistaken"]
    assert "every patch" in next(event.detail for event in shop.events if isinstance(event, events.Drafted))


def test_a_call_that_the_problem_quotes_begins_the_test_and_its_words_need_no_second_draft(shop: Repository) -> None:
    result = shop.fix([" == 4\n", " == 3\n", " == 2\n", RIGHT], problem=QUOTED, drafts=3)
    assert shop.requests[0].prefill.endswith("def test_total():\n    assert total([1, 2])")
    assert result.status == "reproduced"
    assert result.reproduction is not None
    assert "assert total([1, 2]) == 3\n" in result.reproduction.text
    assert (result.reproduction.agreed, result.reproduction.drafts) == (1, 3)


def test_two_drafts_in_the_problems_own_words_are_enough(shop: Repository) -> None:
    assert shop.fix([" == 3\n", " == 3\n", RIGHT], problem=QUOTED, drafts=8).attempts == 3


def test_a_reproduction_without_a_patch_is_handed_out(shop: Repository) -> None:
    result = shop.fix([SHOWS, ALIKE, WRONG], problem=ISSUE, drafts=2)
    assert (result.status, result.patch) == ("no_patch", {})
    assert result.failing == ("tests/test_total_reproduction.py::test_total",)
    assert result.reproduction is not None


def test_without_a_reproduction_a_majority_decides_as_before(shop: Repository) -> None:
    result = shop.fix([PASSES, PASSES, RIGHT, WRONG, RIGHT], problem=ISSUE, drafts=2, voters=3)
    assert result.status == "agreed"
    assert sorted(result.patch) == ["shop/prices.py"]


def test_where_a_test_fails_none_is_written(shop: Repository) -> None:
    shop.write("tests/test_prices.py", DISCOUNT.replace("== 20", "== 21"))
    shop.fix([WRONG], problem=ISSUE, drafts=2)
    assert verdicts(shop) == []


def test_a_command_for_some_tests_runs_the_new_one_as_well(shop: Repository) -> None:
    line = "python3 -m pytest -q -p no:cacheprovider tests/test_prices.py"
    result = shop.fix([SHOWS, ALIKE, RIGHT], test=line, problem=ISSUE, drafts=2)
    assert result.status == "reproduced"


def test_a_command_that_is_not_pytests_writes_none(shop: Repository) -> None:
    result = shop.fix([], test="true", problem=ISSUE, drafts=2, attempts=9)
    assert (result.status, result.attempts) == ("nothing_fails", 0)


TOTAL = Suspect("src/shop/prices.py", "total", "function", 6, 8, 1.0)


class TestDrafts:
    def test_imports_are_those_that_the_program_and_the_library_explain(self) -> None:
        texts = {
            "src/shop/prices.py": f"from decimal import Decimal\n{PROGRAM}",
            "src/shop/tax.py": "class Tax:\n    pass\n",
        }
        code = (
            "```python\nfrom shop.prices import total\nimport os\n\n\ndef test_x():\n"
            "    with pytest.raises(ValueError):\n        total([Decimal(1), Tax(), math.pi, RATE])\n```"
        )
        assert drafted(TOTAL, code, texts, {}).startswith(
            "import math\nimport pytest\nfrom decimal import Decimal\n\n"
            "from shop.prices import RATE, total\nfrom shop.tax import Tax\n\n\ndef test_x():\n"
        )

    def test_only_the_first_test_counts(self) -> None:
        code = "```python\ndef test_x():\n    assert total([]) == 0\n\n\ndef test_y():\n    assert False\n"
        assert "test_y" not in drafted(TOTAL, code, {TOTAL.path: PROGRAM}, {})
        with pytest.raises(EditError, match="does not use total"):
            drafted(TOTAL, "```python\ndef test_y():\n    assert False\n", {}, {})

    def test_an_assertion_is_read_with_the_values_in_it(self) -> None:
        text = "def test_x():\n    prices = [1, 2]\n    got = total(prices)\n    assert got\n    assert got == 3\n"
        assert assertion(text, 5) == "total([1, 2]) == 3"

    @pytest.mark.parametrize(
        ("problem", "call"),
        [
            (QUOTED, "total([1, 2])"),
            ("prices.total((1, (2)), now=3) is wrong", "prices.total((1, 2), now=3)"),
            ("total() is wrong, and so is total(Money(3))", "total(Money(3))"),
            ("total(prices) is wrong", ""),
            ("subtotal([1]), other.total([1]) and total([1", ""),
        ],
    )
    def test_a_call_is_quoted_where_its_arguments_are_values(self, problem: str, call: str) -> None:
        assert quoted_call(TOTAL, problem) == call

    def test_a_method_is_quoted_with_its_class(self) -> None:
        parse = Suspect("money.py", "Money.parse", "function", 1, 2, 1.0)
        assert quoted_call(parse, "Money.parse('0.5') is wrong") == "Money.parse('0.5')"
        assert quoted_call(parse, "Period.parse('0.5') and parse('1') are wrong") == ""

    def test_which_values_are_the_problems_own(self) -> None:
        said = "Money.parse('0.5') gives 5 cents instead of 50"
        assert told("Money.parse('0.5') == Money(50)", said) == 1.0
        assert told("Money.parse('0.5') == Money(-50)", said) == 0.5
        assert told("Money.parse('0') is True", said) == 0.0
        assert told("total(None)", said) == 0.0

    def test_a_new_file_is_named_as_its_neighbours_and_never_one_that_is_there(self) -> None:
        assert new_path("tests/prices_test.py", [], TOTAL) == "tests/total_reproduction_test.py"
        taken = ["other/test_total_reproduction.py"]
        assert new_path("tests/test_prices.py", taken, TOTAL) == "tests/test_total_reproduction_2.py"
        assert new_path("", [], TOTAL) == "test_total_reproduction.py"

    def test_examples_are_tests_that_use_the_suspect_else_the_file_of_its_module(self) -> None:
        uses = "from shop.prices import total\n\n\ndef test_none():\n    assert total([]) == 0\n"
        tests = {"tests/test_a.py": DISCOUNT, "tests/test_b.py": uses}
        assert example(TOTAL, tests).tests == ("def test_none():\n    assert total([]) == 0",)
        assert example(TOTAL, {"tests/test_a.py": "", "tests/test_prices.py": ""}).path == "tests/test_prices.py"


def test_functions_are_found_by_the_words_of_the_problem() -> None:
    texts = {"shop/prices.py": PROGRAM, "shop/tax.py": "def rates():\n    return [19, 7]\n"}
    assert described("The sum of prices is one too small", texts)[0].name == "total"
    assert described("discount(0) is wrong", texts)[0].name == "discount"
    assert described("Nothing at all", texts) == []
