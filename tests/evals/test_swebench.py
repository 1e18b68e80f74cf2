# ruff: noqa: E501 (programs and patches stand on one line)
"""The SWE-bench runner on small repositories with a recorded history, through the command line, in the real sandbox."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from confined import needs_sandbox

from inhouse.cli.swebench_solvers import solver
from inhouse.errors import ParameterError
from inhouse.evals.swebench import grade, load_instances, prepare
from inhouse.weights.synthetic import synthesize
from needed import git_program
from scripted_server import Server

pytestmark = needs_sandbox

BUGS = {
    "pages": (
        "def pages(n, size):\n    return n // size\n",
        "def pages(n, size):\n    return -(-n // size)\n",
        "pages(5, 2) == 3",
        "pages(4, 2) == 2",
    ),
    "median": (
        "def median(v):\n    return v[len(v) // 2]\n",
        "def median(v):\n    return sorted(v)[len(v) // 2]\n",
        "median([3, 1, 2]) == 2",
        "median([1, 2, 3]) == 2",
    ),
    "slug": (
        "def slug(t):\n    return t.replace(' ', '-')\n",
        "def slug(t):\n    return t.strip().replace(' ', '-')\n",
        "slug(' a b ') == 'a-b'",
        "slug('a b') == 'a-b'",
    ),
}


def git(folder: Path, *arguments: str) -> str:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    return subprocess.run(
        [git_program(), *names, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def record(folder: Path, name: str) -> dict[str, Any]:
    """A repository whose history goes on after the fault: the repair, then a secret. Returns the instance."""
    wrong, right, fails, passes = BUGS[name]
    root = folder / f"acme__{name}"
    (root / "tests").mkdir(parents=True)
    git(root, "init", "-q")
    (root / f"{name}.py").write_text(wrong)
    test = root / "tests" / f"test_{name}.py"
    test.write_text(f"from {name} import {name}\n\n\ndef test_plain():\n    assert {passes}\n")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    base = git(root, "rev-parse", "HEAD").strip()
    (root / f"{name}.py").write_text(right)
    patch = git(root, "diff")
    git(root, "commit", "-qam", "the repair")
    test.write_text(test.read_text() + f"\n\ndef test_edge():\n    assert {fails}\n")
    tests = git(root, "diff")
    git(root, "commit", "-qam", "its test")
    path = f"tests/test_{name}.py"
    return {
        "repo": f"acme/{name}", "instance_id": f"acme__{name}-1", "base_commit": base, "patch": patch,
        "test_patch": tests, "problem_statement": f"{name} is wrong", "hints_text": "", "version": "1",
        "FAIL_TO_PASS": json.dumps([f"{path}::test_edge"]), "PASS_TO_PASS": json.dumps([f"{path}::test_plain"]),
    }  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("bench")
    rows = [record(base / "clones", name) for name in BUGS]
    (base / "set.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return base


def evaluate(bench: Path, predictions: str, *more: str) -> dict[str, Any]:
    command = [
        sys.executable, "-m", "inhouse", "eval", "swebench", "--dataset", str(bench / "set.jsonl"), "--repos",
        str(bench / "clones"), "--predictions", predictions, "--json", "--workers", "2", *more,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_gold_patches_resolve_all_and_empty_ones_none(bench: Path) -> None:
    gold = evaluate(bench, "gold")
    assert (gold["instances"], gold["resolved"], gold["resolved_rate"]) == (3, 3, 1.0)
    assert "local grader" in gold["grader"]
    empty = evaluate(bench, "empty")
    assert (empty["resolved"], empty["classes"]) == (0, {"empty patch": 3})


def test_the_agent_repairs_without_a_failing_test(bench: Path) -> None:
    edit = {"path": "median.py", "old_str": "return v[", "new_str": "return sorted(v)["}
    run = {"command": "python3 -c 'from median import median; assert median([3, 1, 2]) == 2'"}
    server = Server(("bash", run), ("str_replace", edit), ("bash", run), ("finish", {"summary": "It sorts now."}))
    command = [
        sys.executable, "-m", "inhouse", "eval", "swebench", "--dataset", str(bench / "set.jsonl"), "--repos",
        str(bench / "clones"), "--instances", "acme__median-1", "--url", server.url, "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    server.close()
    report = json.loads(done.stdout)
    assert (report["resolved"], report["classes"]) == (1, {"resolved": 1}), (done.stderr, report)
    assert report["tokens"] == 4 * (90 - 60 + 9)
    said = server.asked[0]["messages"]
    assert "median is wrong" in said[-1]["content"]
    assert "the repair" not in json.dumps(said), "what came later is told"


def test_predictions_of_a_file_and_failure_classes(bench: Path, tmp_path: Path) -> None:
    rows = {row["instance_id"]: row for row in map(json.loads, (bench / "set.jsonl").read_text().splitlines())}
    patches = {
        "acme__pages-1": rows["acme__pages-1"]["patch"].replace("+    return -(-n // size)", "+    return 3"),
        "acme__median-1": rows["acme__median-1"]["patch"].replace("sorted(v)", "list(v)"),
        "acme__slug-1": "--- a/nothing.py\n+++ b/nothing.py\n@@ -1 +1 @@\n-a\n+b\n",
    }
    file = tmp_path / "predictions.jsonl"
    file.write_text(
        "".join(
            json.dumps({"instance_id": k, "model_name_or_path": "m", "model_patch": v}) + "\n"
            for k, v in patches.items()
        )
    )
    report = evaluate(bench, str(file), "--out", str(tmp_path / "out.jsonl"))
    assert report["by_instance"] == {
        "acme__pages-1": "breaks tests", "acme__median-1": "still fails", "acme__slug-1": "patch does not apply",
    }  # fmt: skip
    written = [json.loads(line) for line in (tmp_path / "out.predictions.jsonl").read_text().splitlines()]
    assert [set(row) for row in written] == [{"instance_id", "model_name_or_path", "model_patch"}] * 3
    # Again: everything is there already, also when the clones are gone.
    moved = ["--out", str(tmp_path / "out.jsonl"), "--repos", str(tmp_path)]
    assert evaluate(bench, str(file), *moved)["by_instance"] == report["by_instance"]


def test_the_future_is_stripped(bench: Path, tmp_path: Path) -> None:
    instance = load_instances(bench / "set.jsonl", ["acme__slug-1"])[0]
    prepare(instance, bench / "clones" / "acme__slug", tmp_path / "r")
    assert git(tmp_path / "r", "rev-list", "--all").split() == [instance.base_commit]
    kinds = git(tmp_path / "r", "cat-file", "--batch-all-objects", "--batch-check=%(objecttype)").split()
    assert kinds.count("commit") == 1
    assert not (tmp_path / "r" / ".git" / "objects" / "info" / "alternates").exists()
    assert git(tmp_path / "r", "status", "--porcelain") == ""


def test_tests_cannot_be_rewritten_by_a_patch(bench: Path, tmp_path: Path) -> None:
    instance = load_instances(bench / "set.jsonl", ["acme__slug-1"])[0]
    cheat = "--- a/tests/test_slug.py\n+++ b/tests/test_slug.py\n@@ -4,2 +4,2 @@\n def test_plain():\n-    assert slug('a b') == 'a-b'\n+    assert True\n"
    found = grade(instance, cheat, bench / "clones" / "acme__slug", Path(sys.executable), tmp_path, 60)
    assert found.kind == "still fails"


def test_wrong_names_are_said(bench: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="no instance nobody-1"):
        load_instances(bench / "set.jsonl", ["nobody-1"])
    (tmp_path / "x").write_text("{}\n")
    with pytest.raises(ParameterError, match="no SWE-bench instances"):
        load_instances(tmp_path / "x")


def test_published_fields(shared_data: Path) -> None:
    instances = load_instances(shared_data / "eval" / "swe-bench-verified.jsonl")
    assert len(instances) == 100
    assert all(instance.fail_to_pass and instance.patch for instance in instances)


def test_the_model_is_packed_where_the_user_keeps_such_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed_root: Path
) -> None:
    monkeypatch.setenv("INHOUSE_HOME", str(tmp_path))
    synthesize("tiny-qwen2", tmp_path / "tiny.gguf")
    before = sorted(packed_root.iterdir())
    options = argparse.Namespace(
        predictions=None, solver="fix", model=str(tmp_path / "tiny.gguf"), url=None, threads=1, minutes=1.0, context=None,
        no_pack=False, python=None, kv="f16", chat_template=None,
    )  # fmt: skip
    with solver(options):
        assert list((tmp_path / "packed").glob("*/*.safetensors"))
    assert sorted(packed_root.iterdir()) == before
