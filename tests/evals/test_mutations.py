"""Mutations: one small fault each, of the kinds we name, and nothing else of the text touched."""

from __future__ import annotations

import ast

import pytest

from inhouse.evals.humaneval import load_problems
from inhouse.evals.mutations import KINDS, Mutation, mutations

TEXT = '''\
from typing import List


def pick(items: List[int], low: int = 1 + 1) -> str:
    """The largest - but 1 < 2 stays."""
    # a comment, 1 + 1
    best = max(items[0], items[low - 1])
    best += 1
    if best > low and not items:
        return f"{best + 1}"
    return "%d" % sum(x * 2 for x in sorted(items) if x != 3)


def other(a):
    return a + 1
'''


def changed(kind: str) -> list[str]:
    return [f"{m.before} -> {m.after}" for m in mutations(TEXT, "pick") if m.kind == kind]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("operator", "best += 1 -> best -= 1"),
        ("operator", "low - 1 -> low + 1"),
        ("operator", "best > low and (not items) -> best > low or not items"),
        ("comparison", "best > low -> best >= low"),
        ("comparison", "x != 3 -> x == 3"),
        ("index", "items[0] -> items[1]"),
        ("index", "items[low - 1] -> items[low]"),
        ("branch", "x != 3 -> not x != 3"),
        ("branch", "best > low and (not items) -> not (best > low and (not items))"),
        ("call", "max(items[0], items[low - 1]) -> min(items[0], items[low - 1])"),
        ("call", "sorted(items) -> sorted(items, reverse=True)"),
    ],
)
def test_each_kind_of_fault_is_made(kind: str, expected: str) -> None:
    assert expected in changed(kind)


def test_what_a_mutation_does_not_concern_stays_to_the_letter() -> None:
    for mutation in mutations(TEXT, "pick"):
        lines = zip(TEXT.splitlines(), mutation.text.splitlines(), strict=True)
        assert [number for number, (old, new) in enumerate(lines, 1) if old != new] == [mutation.line]
        assert 7 <= mutation.line <= 11


def test_formats_f_strings_and_defaults_are_left_alone() -> None:
    said = "\n".join(f"{m.before} -> {m.after}" for m in mutations(TEXT, "pick"))
    assert "best + 1" not in said
    assert "1 + 1" not in said
    assert "'%d' // " not in said


def test_an_expression_keeps_its_meaning_among_its_neighbours() -> None:
    text = "def f(a, b, c):\n    return a - b * c\n"
    made = {m.text.splitlines()[1].strip() for m in mutations(text, "f")}
    assert made == {"return a + b * c", "return a - (b + c)"}


def test_characters_before_the_fault_may_take_several_bytes() -> None:
    text = "def f(a):\n    return 'äöü€' * a[0] + 'x'\n"
    assert text.replace("a[0]", "a[1]") in {m.text for m in mutations(text, "f")}


def test_mutations_of_all_solutions_are_other_programs() -> None:
    found: list[tuple[str, Mutation]] = []
    for problem in load_problems():
        text = problem.prompt + problem.canonical_solution
        tree = ast.dump(ast.parse(text))
        for mutation in mutations(text, problem.entry_point):
            assert ast.dump(ast.parse(mutation.text)) != tree
            found.append((problem.task_id, mutation))
    assert {mutation.kind for _, mutation in found} == set(KINDS)
    assert len({task for task, _ in found}) > 150
