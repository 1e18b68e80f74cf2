"""Where the fault is looked for, by each kind of evidence."""

from __future__ import annotations

from inhouse.repair import prompts
from inhouse.repair.localise import MAX_SUSPECTS, Evidence, suspects
from inhouse.workspace.testing.calls import Call, Calls
from inhouse.workspace.testing.report import Failure, Place

TEXTS = {
    "a.py": "LIMIT = 3\n\n\ndef first(x):\n    return second(x) + LIMIT\n\n\ndef second(x):\n    return x\n",
    "b.py": "class Cart:\n    def total(self):\n        return 0\n\n    def rebate(self):\n        return 1\n",
}
TEST = "def test_first():\n    assert first(1) == 5\n"


def evidence(
    problem: str = "", places: tuple[Place, ...] = (), tests: tuple[str, ...] = (), calls: Calls | None = None
) -> Evidence:
    failure = Failure("t.py::test_first", "test_first", "assert 4 == 5", places)
    return Evidence(problem, [failure], TEXTS, tests, calls or Calls())


def labels(found: Evidence) -> list[str]:
    return [suspect.label for suspect in suspects(found)]


def test_what_only_failing_tests_run_comes_before_what_all_run() -> None:
    covered = {
        "t.py::test_first": frozenset({("a.py", 4), ("a.py", 8)}),
        "t.py::test_second": frozenset({("a.py", 8)}),
        "t.py::test_cart": frozenset({("b.py", 2)}),
    }
    found = labels(evidence(calls=Calls(covered)))
    assert found[:2] == ["a.py::first", "a.py::second"]
    assert not [label for label in found if label.startswith("b.py")]


def test_the_innermost_frame_comes_first() -> None:
    found = labels(evidence(places=(Place("a.py", 5), Place("a.py", 9))))
    assert found[:2] == ["a.py::second", "a.py::first"]


def test_what_the_problem_names() -> None:
    assert labels(evidence("Cart.total is always zero"))[0] == "b.py::Cart.total"


def test_without_a_recording_the_failing_tests_lead_along_the_calls() -> None:
    found = [label for label in labels(evidence(tests=(TEST,))) if "LIMIT" not in label]
    assert found == ["a.py::first", "a.py::second"]


def test_constants_that_a_suspect_uses_are_suspects_too() -> None:
    assert "a.py::LIMIT" in labels(evidence(tests=(TEST,)))


def test_nothing_points_anywhere() -> None:
    assert labels(evidence("it is broken")) == []


def test_files_that_are_not_python_are_suspected_by_named_lines_and_by_words() -> None:
    text = "\n".join(f"line {number}" for number in range(1, 101)) + "\n"
    failure = Failure("", "", "main.c:50: the discount is wrong", (Place("main.c", 50),))
    (piece,) = suspects(Evidence("", [failure], {"main.c": text}, [], Calls()))
    assert (piece.kind, piece.first <= 50 <= piece.last) == ("lines", True)
    by_words = suspects(Evidence("discount", [Failure("", "", "", ())], {"x.js": "discount = 1\n"}, [], Calls()))
    assert [suspect.path for suspect in by_words] == ["x.js"]


def test_there_are_never_many() -> None:
    text = "".join(f"def f{number}():\n    return g()\n\n\n" for number in range(50))
    tests = [" ".join(f"f{number}" for number in range(50))]
    found = suspects(Evidence("", [Failure("", "t", "", ())], {"m.py": text}, tests, Calls()))
    assert len(found) == MAX_SUSPECTS


def test_calls_and_a_classs_outline_are_shown_and_the_signature_is_given() -> None:
    call = Call("b.py", 2, "total", {"self": "<Cart>"}, (), "0")
    calls = Calls({"t.py::test_first": frozenset({("b.py", 2)})}, {"t.py::test_first": (call,)})
    suspect = suspects(evidence(calls=calls))[0]
    prompt = prompts.for_suspect("COMMON", suspect, TEXTS, [], explain=False)
    asked = prompt.messages[-1].content
    assert asked.startswith("COMMON")
    assert "total(self=<Cart>) returned 0" in asked
    assert "def rebate(self): ..." in asked
    assert prompt.prefill == "```python\ndef total(self):\n"
    assert prompts.for_suspect("COMMON", suspect, TEXTS, [], explain=True).prefill == ""


def test_long_functions_are_edited_in_place() -> None:
    text = "def long(x):\n" + "    x += 1\n" * 100 + "    return x\n"
    suspect = suspects(Evidence("long", [Failure("", "t", "", ())], {"m.py": text}, ["long(1)"], Calls()))[0]
    prompt = prompts.for_suspect("", suspect, {"m.py": text}, [], explain=False)
    assert prompt.prefill == "<<<<<<< SEARCH\n"


def test_a_problem_without_end_is_cut() -> None:
    assert len(prompts.shared("x" * 100_000, [])) < 5000


def test_what_an_object_lacks_should_have_been_set_where_its_class_or_a_base_of_it_makes_objects() -> None:
    text = (
        "import abc\n\n\nclass Base(abc.ABC):\n    def __init__(self, x):\n        pass\n\n\n"
        "class Point(Base):\n    def size(self):\n        return abs(self.x)\n\n\n"
        "class Other:\n    def __init__(self):\n        self.y = 1\n"
    )
    failure = Failure(
        "t.py::test_size", "test_size", "AttributeError: 'Point' object has no attribute 'x'",
        (Place("t.py", 4), Place("m.py", 11)),
    )  # fmt: skip
    ran = frozenset({("m.py", 5), ("m.py", 10), ("m.py", 15)})
    lines = frozenset({("m.py", 6), ("m.py", 11), ("m.py", 16)})
    calls = Calls({"t.py::test_size": ran}, {}, {"t.py::test_size": lines})
    ranked = suspects(Evidence("", (failure,), {"m.py": text}, (), calls))
    names = [suspect.name for suspect in ranked]
    assert names.index("Base.__init__") < names.index("Other.__init__")
    assert names[:2] in (["Base.__init__", "Point.size"], ["Point.size", "Base.__init__"])


def test_what_a_long_function_holds_is_suspected_for_itself() -> None:
    body = "".join(f"  step({n});\n" for n in range(60))
    inner_one = "  function inner(x) {\n    return x - 1;\n  }\n"
    text = f"function outer(args) {{\n{body}{inner_one}  return args.map(inner);\n}}\n"
    inner, outer = (62, 63, 64), (1, 2, 65, 66)
    where = frozenset(("a.js", line) for line in (*inner, *outer))
    failure = Failure("adds", "adds", "1 !== 2", (Place("test/a.js", 1),))
    shares = {("a.js", line): 0.9 if line in inner else 0.2 for _, line in where}
    calls = Calls({"adds::adds": frozenset({("a.js", 1), ("a.js", 62)})}, {}, {"adds::adds": where}, shares)
    first, second = suspects(Evidence("", (failure,), {"a.js": text}, (), calls))
    assert (first.name, first.lines) == ("outer.inner", (63, 64))
    assert (second.name, second.lines) == ("outer", (2, 65, 66))
