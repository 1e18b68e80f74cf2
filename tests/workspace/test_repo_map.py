# ruff: noqa: E501 (programs stand on one line)
"""The map of a repository: what it finds in each language, how it ranks, and that a second look is cheap."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from inhouse.workspace.lexical import name_hash, names
from inhouse.workspace.repo_map import RepoMap
from inhouse.workspace.symbols import definitions_in, references_in
from needed import git_program

SOURCES = {
    "a.py": ("class Box:\n    def lid(self): pass\nLIMIT = 3\n", ["Box", "lid", "LIMIT"]),
    "a.js": ("function one() {}\nconst two = () => 1\nclass Three { four() {} }\n", ["one", "two", "Three", "four"]),
    "a.ts": (
        "interface Shape { x: number }\ntype Id = string\nenum E { A }\nfunction f2() {}",
        ["Shape", "Id", "E", "f2"],
    ),
    "a.tsx": ("export const View = () => <b/>\n", ["View"]),
    "a.go": ("package p\ntype T struct{}\nfunc (t T) Do() {}\nfunc Run() {}\n", ["T", "Do", "Run"]),
    "a.rs": ("struct S;\ntrait Tr {}\nfn go() {}\nconst K: u8 = 1;\n", ["S", "Tr", "go", "K"]),
    "a.c": ("struct node { int x; };\nint *find(int a) { return 0; }\n#define MAX(a) a\n", ["node", "find", "MAX"]),
    "a.cpp": ("namespace n { class C { void in() {} }; }\nvoid C::out() {}\n", ["n", "C", "in", "out"]),
    "A.java": ("class A { A() {} void run() {} }\ninterface I {}\n", ["A", "A", "run", "I"]),
}


def count(text: str) -> int:
    return len(text.split())


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "pkg").mkdir(parents=True)
    (root / "pkg" / "core.py").write_text(
        "class Engine:\n    def start(self):\n        return 1\n\n\ndef helper():\n    return 2\n"
    )
    for index in range(8):
        (root / "pkg" / f"user{index}.py").write_text(
            f"from pkg.core import Engine\n\n\ndef use{index}():\n    # Engine in a comment\n    return Engine().start()\n"
        )
    (root / "pkg" / "lonely.py").write_text("def forgotten():\n    return 'Engine'\n")
    (root / "notes.txt").write_text("Engine\n")
    return root


@pytest.mark.parametrize("path", SOURCES)
def test_definitions_of_every_language(path: str) -> None:
    text, names = SOURCES[path]
    assert [d.name for d in definitions_in(path, text.encode())] == names


@pytest.mark.parametrize("path", SOURCES)
def test_letters_tell_what_a_parser_does(path: str) -> None:
    text, found = SOURCES[path]
    defined, used = names(path, text.encode())
    assert {name_hash(name) for name in found} <= set(defined.tolist())
    assert {name_hash(name) for name in found if len(name) > 2} <= set(used.tolist())


def test_broken_and_foreign_files() -> None:
    assert [d.name for d in definitions_in("a.py", b"def good(): pass\ndef bad(:\n\xff\xfe")][:1] == ["good"]
    assert definitions_in("a.txt", b"def f(): pass") == ()


def test_references_leave_out_comments_and_strings() -> None:
    code = b"from m import thing\n# thing\nx = 'thing'\nthing()\ndef thing(): pass\nthings = 1\n"
    assert [line for line, _ in references_in("a.py", code, "thing")] == [1, 4]


def repo_map(root: Path, mentioned: Sequence[str], budget: int, cache: Path | None = None) -> str:
    with RepoMap(root, cache) as index:
        return index.text(mentioned, budget, count)


def test_what_is_used_most_comes_first(repository: Path) -> None:
    text = repo_map(repository, [], 7)
    assert text.startswith("pkg/core.py:\n    1 class Engine:\n")
    assert count(text) <= 7
    assert "forgotten" not in text
    assert "forgotten" in repo_map(repository, ["lonely.py"], 7)
    assert "forgotten" in repo_map(repository, ["forgotten"], 7)
    assert repo_map(repository, [], 1) == ""


def test_budget_is_used(repository: Path) -> None:
    sizes = [count(repo_map(repository, [], budget)) for budget in (10, 20, 40, 1000)]
    assert sizes == sorted(sizes)
    assert sizes[-1] > sizes[0]


def test_symbols(repository: Path) -> None:
    with RepoMap(repository) as index:
        assert [(p.path, p.line, p.kind) for p in index.definitions("Engine")] == [("pkg/core.py", 1, "class")]
        assert [(p.path, p.line) for p in index.references("Engine")][:2] == [("pkg/user0.py", 1), ("pkg/user0.py", 6)]
        assert len(index.references("Engine")) == 16
        assert index.definitions("nothing_here") == []
        assert index.definitions("Engine", "pkg/core.py") == index.definitions("Engine", "pkg") != []
        assert index.definitions("Engine", "pkg/user1.py") == index.definitions("Engine", "pk") == []
        assert {p.path for p in index.references("Engine", "pkg/user1.py")} == {"pkg/user1.py"}
        assert len(index.references("Engine", limit=3)) == 3


def test_a_definition_that_only_a_parser_tells(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("int *find_it\n(int a,\n int b)\n/* { */\n{ return 0; }\n")
    with RepoMap(tmp_path) as index:
        assert [(p.path, p.line) for p in index.definitions("find_it")] == [("a.c", 1)]


def test_few_changes_are_known_at_once_and_many_draw_the_map_anew(repository: Path, tmp_path: Path) -> None:
    for number in range(200):
        (repository / f"more{number}.py").write_text(f"def more{number}():\n    return {number}\n")
    with RepoMap(repository, tmp_path / "cache") as index:
        assert index.count() == 210
        drawn = index.refresh().graph
        (repository / "late.py").write_text("from pkg.core import Engine\n\n\ndef late():\n    return Engine\n")
        (repository / "more7.py").unlink()
        assert [p.path for p in index.definitions("late")] == ["late.py"]
        assert "late.py" in {p.path for p in index.references("Engine")}
        assert index.definitions("more7") == []
        assert index.refresh().graph is drawn
        for number in range(100, 110):
            (repository / f"more{number}.py").write_text(f"def other{number}():\n    return {number}\n")
        assert index.refresh().graph is not drawn
        assert "other105" in index.text(["other105"], 8, count)


def test_a_file_that_was_only_touched_changes_nothing(repository: Path) -> None:
    with RepoMap(repository) as index:
        drawn = index.refresh().graph
        for path in (repository / "pkg").iterdir():
            os.utime(path, (1, 1))
        assert index.refresh().graph is drawn
        assert index.read_files == 10


def test_a_damaged_cache_begins_anew(repository: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    text = repo_map(repository, [], 50, cache)
    (place,) = cache.glob("*.sqlite")
    place.write_bytes(b"no database at all" * 100)
    assert repo_map(repository, [], 50, cache) == text


def test_several_processes_read_a_large_tree(tmp_path: Path) -> None:
    for number in range(2100):
        (tmp_path / f"f{number}.py").write_text(f"def name{number}():\n    return name{number // 2}()\n")
    with RepoMap(tmp_path) as index:
        assert index.count() == 2100
        assert [p.path for p in index.definitions("name2099")] == ["f2099.py"]
        assert [p.path for p in index.references("name1049")] == ["f2098.py", "f2099.py"]


def test_only_changes_are_read_again(repository: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with RepoMap(repository, cache) as index:
        index.refresh()
        assert index.read_files == 10
    (repository / "pkg" / "lonely.py").write_text("def found_again():\n    return 1\n")
    (repository / "pkg" / "user7.py").unlink()
    with RepoMap(repository, cache) as index:
        assert [p.path for p in index.definitions("found_again")] == ["pkg/lonely.py"]
        assert index.read_files == 1
        assert index.definitions("use7") == index.definitions("forgotten") == []
        index.refresh()
        assert index.read_files == 0


def test_ignored_files_and_links_stay_out(repository: Path, tmp_path: Path) -> None:
    subprocess.run([git_program(), "init", "-q", str(repository)], check=True)
    (repository / ".gitignore").write_text("lonely.py\n")
    outside = tmp_path / "outside.py"
    outside.write_text("def secret(): pass\n")
    (repository / "link.py").symlink_to(outside)
    with RepoMap(repository) as index:
        assert index.definitions("forgotten") == index.definitions("secret") == []
        assert len(index.definitions("Engine")) == 1


def test_command(repository: Path, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "inhouse", "map", "--repo", str(repository), *arguments]
        environment = {"INHOUSE_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert "class Engine" in run("--budget", "50")
    assert json.loads(run("--json"))["read_files"] == 0
    assert "pkg/core.py:1: [class] class Engine:" in run("--symbol", "Engine")
    assert len(json.loads(run("--symbol", "Engine", "--json"))) == 17
