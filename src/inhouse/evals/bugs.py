"""Bugs to repair: HumanEval's solutions with one seeded mutation each, inside small repositories of several files.

A repository is a package of four modules of three functions, the tests of all of them, a README and settings. What a
repairer is told is what a user would have seen: a call, what came of it, and what should have. Everything is drawn from
one seed; that the right program passes its tests and the wrong one does not is found out by running both, confined.
"""

from __future__ import annotations

import ast
import random
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inhouse.evals.humaneval import Problem
from inhouse.evals.mutations import KINDS, Kind, Mutation, mutations
from inhouse.evals.symptoms import Symptom, Test, split_tests

PACKAGE = "toolbox"
_MODULES = 4
_FUNCTIONS = 3  # in each
_TRIES = 12  # mutations of one solution, until one is found that the tests notice
# Plugins that a development environment may hold; loading them takes longer than the tests.
_PLUGINS = ("anyio", "asyncio", "benchmark", "cov", "hypothesispytest", "schemathesis", "timeout", "xdist")
_SETTINGS = f"[pytest]\naddopts = {' '.join(f'-p no:{plugin}' for plugin in _PLUGINS)}\n"
_README = """\
# Toolbox

Small functions for everyday programs, one module for each kind of thing:

{modules}

Run the tests with `python -m pytest`.
"""


@dataclass(frozen=True)
class Bug:
    """One bug. `path` is the file that holds it, `files` the repository, `tests` those of them that are tests.

    `right` is the file as it should be; nobody who repairs may see it.
    """

    name: str
    task_id: str
    function: str
    kind: Kind
    change: str
    path: str
    issue: str
    files: Mapping[str, str]
    right: str

    @property
    def tests(self) -> dict[str, str]:
        """The test files."""
        return {path: text for path, text in self.files.items() if path.startswith("tests/")}

    def write(self, root: Path) -> None:
        """The repository's files under `root`."""
        write_files(root, self.files)


Examine = Callable[[str, Sequence[Test], str], Symptom | None]
"""(module, tests, function) -> what a failing test shows; None when all pass, or nothing can be said of it."""


def write_files(root: Path, files: Mapping[str, str]) -> None:
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def usable(problems: Sequence[Problem]) -> list[Problem]:
    """Problems whose tests are single asserts and whose beginning holds imports only, each name once."""
    found: dict[str, Problem] = {}
    for problem in problems:
        alone = all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(problem.preamble).body)
        if alone and split_tests(problem):
            found.setdefault(problem.entry_point, problem)
    return list(found.values())


def make_bugs(problems: Sequence[Problem], count: int, seed: int, examine: Examine) -> Iterator[Bug]:
    """`count` bugs, or as many as there are, each of another problem; the kinds take turns as far as they can."""
    draw = random.Random(seed)
    pool = usable(problems)
    order = draw.sample(pool, len(pool))
    made = 0
    for problem in order:
        if made == count:
            return
        wanted = KINDS[made % len(KINDS)]
        others = draw.sample([other for other in pool if other is not problem], _MODULES * _FUNCTIONS - 1)
        found = _mutated(problem, wanted, draw, examine)
        if found is None:
            continue
        made += 1
        members = sorted([problem, *others], key=lambda member: (_topic(member), member.entry_point))
        yield _bug(f"bug-{made:02d}", problem, members, *found)


def _mutated(problem: Problem, wanted: Kind, draw: random.Random, examine: Examine) -> tuple[Mutation, Symptom] | None:
    """A mutation that the tests notice, of the wanted kind if there is one."""
    text = _source(problem)
    tests = split_tests(problem)
    module = "\n\n".join([*_imports([problem]), text])
    if examine(module, tests, problem.entry_point) is not None:  # a solution that does not pass its own tests
        return None
    candidates = mutations(text, problem.entry_point)
    draw.shuffle(candidates)
    candidates.sort(key=lambda candidate: candidate.kind != wanted)
    for candidate in candidates[:_TRIES]:
        symptom = examine("\n\n".join([*_imports([problem]), candidate.text]), tests, problem.entry_point)
        if symptom is not None:
            return candidate, symptom
    return None


def _bug(name: str, problem: Problem, members: Sequence[Problem], mutation: Mutation, symptom: Symptom) -> Bug:
    files: dict[str, str] = {f"{PACKAGE}/__init__.py": '"""Small functions for everyday programs."""\n'}
    path = right = ""
    topics: dict[str, str] = {}
    for index in range(_MODULES):
        group = members[index * _FUNCTIONS : (index + 1) * _FUNCTIONS]
        module = _name_of(group, topics)
        topics[module] = ", ".join(f"`{member.entry_point}`" for member in group)
        text = _module(module, [_source(member) for member in group], group)
        if problem in group:
            path, right = f"{PACKAGE}/{module}.py", text
            wrong = [mutation.text if member is problem else _source(member) for member in group]
            text = _module(module, wrong, group)
        files[f"{PACKAGE}/{module}.py"] = text
        files[f"tests/test_{module}.py"] = _test_module(module, group)
    lines = [f"- `{PACKAGE}/{module}.py`: {functions}" for module, functions in topics.items()]
    files["README.md"] = _README.format(modules="\n".join(lines))
    files["pytest.ini"] = _SETTINGS
    change = f"line {mutation.line}: {mutation.before} -> {mutation.after}"
    issue = symptom.issue(problem.entry_point)
    return Bug(name, problem.task_id, problem.entry_point, mutation.kind, change, path, issue, files, right)


def _name_of(group: Sequence[Problem], taken: Mapping[str, str]) -> str:
    """What a module is called: after what most of its functions work on."""
    topics = [_topic(problem) for problem in group]
    best = max(topics, key=topics.count)
    return next(name for name in (best, *(f"{best}{number}" for number in range(2, 9))) if name not in taken)


def _topic(problem: Problem) -> str:
    definition = next(n for n in ast.parse(_source(problem)).body if isinstance(n, ast.FunctionDef))
    first = definition.args.args[0] if definition.args.args else None
    said = ast.unparse(first.annotation) if first is not None and first.annotation is not None else ""
    said = said.lower() or (first.arg if first is not None else "")
    if said.startswith("list") or any(word in said for word in ("lst", "arr", "nums", "lists")):
        return "sequences"
    if any(word in said for word in ("str", "text", "word", "sentence", "txt")) or said == "s":
        return "texts"
    return "figures" if said in ("int", "float", "n", "a", "x", "y", "num", "number") else "records"


def _source(problem: Problem) -> str:
    """The function alone."""
    return (problem.prompt[len(problem.preamble) :] + problem.canonical_solution).strip() + "\n"


def _imports(group: Sequence[Problem]) -> list[str]:
    """The import statements of problems, each once, as one paragraph; none where there are none."""
    lines = [ast.unparse(node) for problem in group for node in ast.parse(problem.preamble).body]
    return ["\n".join(dict.fromkeys(lines)) + "\n"] if lines else []


def _module(name: str, sources: Sequence[str], group: Sequence[Problem]) -> str:
    head = f'"""Functions for {name.rstrip("23456789")}."""\n'
    return "\n".join([head, *_imports(group), "\n\n".join(sources)])


def _test_module(module: str, group: Sequence[Problem]) -> str:
    names = ", ".join(problem.entry_point for problem in group)
    parts = [f"from {PACKAGE}.{module} import {names}\n"]
    for problem in group:
        for number, test in enumerate(split_tests(problem), 1):
            name = f"test_{problem.entry_point}_{number}"
            parts.append(f"def {name}():\n{textwrap.indent(test.text, '    ')}\n")
    return "\n\n".join(parts)
