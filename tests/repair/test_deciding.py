"""Which failing tests decide about a patch: others are named with their reason and never cost a right patch."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shop import PROGRAM, RIGHT, TESTS, WRONG, Repository, text_of

from inhouse.errors import ParameterError
from inhouse.repair import Choice, events

PYTEST = "python3 -m pytest -q"


def report_of(repository: Repository) -> events.Tested:
    return next(event for event in repository.events if isinstance(event, events.Tested))


@pytest.fixture
def shop(tmp_path: Path) -> Repository:
    return Repository.made(tmp_path, TESTS)


def test_a_module_that_cannot_be_collected_does_not_hide_the_rest(shop: Repository) -> None:
    shop.write("tests/test_other.py", "import a_module_that_is_not_installed\n\n\ndef test_other():\n    pass\n")
    result = shop.fix([RIGHT], test=f"{PYTEST} -x")
    assert result.status == "verified", result.reason
    assert report_of(shop).failing == ("tests/test_prices.py::test_total",)
    assert report_of(shop).reasons == ("assert 2 == 3",)
    said = "needs the module a_module_that_is_not_installed, which is not installed"
    assert (dict(report_of(shop).apart), dict(result.apart)) == ({"tests/test_other.py": said},) * 2
    assert f"tests/test_other.py ({said}) still fail, as before" in result.reason


def test_a_test_whose_plugin_is_missing_costs_no_right_patch(shop: Repository) -> None:
    shop.write("tests/test_speed.py", "def test_speed(no_such_benchmark):\n    no_such_benchmark(sum, [])\n")
    result = shop.fix([WRONG, RIGHT])
    assert (result.status, result.attempts) == ("verified", 2)
    assert "no_such_benchmark" in result.apart["tests/test_speed.py::test_speed"]


def test_an_import_of_the_projects_own_is_its_fault(shop: Repository) -> None:
    shop.write("shop/prices.py", PROGRAM.replace("def discount", "def reduction"))
    shop.fix([], attempts=0)
    assert report_of(shop).failing == ("tests/test_prices.py",)
    assert "cannot import name 'discount'" in report_of(shop).reasons[0]
    assert report_of(shop).apart == {}


def test_an_endless_loop_is_one_failing_test_and_its_line_is_shown(shop: Repository) -> None:
    shop.write(
        "shop/prices.py", PROGRAM.replace("    return sum(prices) - 1", "    while prices:\n        pass\n    return 0")
    )
    result = shop.fix([RIGHT])
    assert result.status == "verified", result.reason
    assert (report_of(shop).failing, report_of(shop).ran) == (("tests/test_prices.py::test_total",), 2)
    said = r"the test was still running after \d+ s, at shop/prices.py:[89] in total"
    assert re.fullmatch(said, report_of(shop).reasons[0])
    assert re.search(said, text_of(shop.requests[0].messages))


@pytest.mark.parametrize("state", ["before the patch", "after the patch"])
def test_a_flaky_test_does_not_decide(shop: Repository, tmp_path: Path, state: str) -> None:
    """It fails in the first run of the program, or of the patched one, and never again."""
    unpatched = "'- 1' in pathlib.Path(shop.prices.__file__).read_text()"
    shop.write(
        "tests/test_flaky.py",
        "import pathlib\n\nimport shop.prices\n\n\ndef test_flaky():\n"
        f"    seen = pathlib.Path({str(tmp_path / 'seen')!r})\n"
        f"    if ({unpatched}) == {state == 'before the patch'}:\n"
        "        first = not seen.exists()\n        seen.touch()\n        assert not first\n",
    )
    result = shop.fix([RIGHT], sandboxed=False)
    assert result.status == "verified", result.reason
    assert (tmp_path / "seen").exists()
    if state == "before the patch":
        assert dict(report_of(shop).apart) == {
            "tests/test_flaky.py::test_flaky": "flaky: two runs of the same program end differently"
        }


def test_a_patch_that_repairs_a_part_is_shown_with_what_still_fails(shop: Repository) -> None:
    shop.write(
        "tests/test_more.py", "def test_more():\n    from shop.prices import discount\n\n    assert discount(10) == 5\n"
    )
    result = shop.fix([RIGHT, WRONG, WRONG])
    assert result.status == "partial", result.reason
    assert "+    return sum(prices)\n" in result.diff
    assert result.repaired == ("tests/test_prices.py::test_total",)
    assert (result.failing, result.reasons) == (("tests/test_more.py::test_more",), ("assert 1 == 5",))
    assert "repairs 1 test of 2 and breaks none" in result.reason


def test_tests_that_the_problem_names_decide(shop: Repository) -> None:
    shop.write("tests/test_more.py", "def test_more():\n    assert 0 == 5\n")
    result = shop.fix([RIGHT], problem="test_total fails: the total is one too small")
    assert (result.status, list(result.apart)) == ("verified", ["tests/test_more.py::test_more"])


def test_the_user_says_which_tests_decide(shop: Repository) -> None:
    shop.write("tests/test_more.py", "def test_more():\n    assert 0 == 5\n")
    for choice in (Choice(only=["tests/test_prices.py"]), Choice(ignored=["test_more"])):
        result = shop.fix([RIGHT], choice=choice)
        assert (result.status, list(result.apart)) == ("verified", ["tests/test_more.py::test_more"])
    with pytest.raises(ParameterError, match=r"no such test fails; those that do: tests/test_more.py::test_more, "):
        shop.fix([], attempts=1, choice=Choice(only=["test_discount"]))
