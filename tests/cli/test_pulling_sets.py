"""`inhouse pull swe-bench-…` as a user has it: from a hub on this machine, and with git's own clones."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from command_line import Inhouse, told
from pyarrow import parquet

from fake_hub import FakeHub
from inhouse.evals.swebench import load_instances
from needed import git_program

SET = "data/test-00000-of-00001.parquet"
ROWS = [
    {
        "repo": f"acme/{name}", "instance_id": f"acme__{name}-1", "base_commit": "1" * 40, "patch": "p",
        "test_patch": "t", "problem_statement": "Lines\u2028that are none\x85, café\n" * 300, "hints_text": None,
        "version": "1.0", "FAIL_TO_PASS": json.dumps(["test_a.py::test_a"]), "PASS_TO_PASS": "[]",
    }
    for name in ("pages", "slug")
]  # fmt: skip


def table(rows: list[dict[str, Any]]) -> bytes:
    """A Parquet file."""
    out = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), out, compression="none", use_dictionary=False)
    return out.getvalue()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    files = {SET: table(ROWS), "data/dev-00000-of-00001.parquet": b"not asked for", "README.md": b"nor this"}
    server = FakeHub(files, "princeton-nlp/SWE-bench_Verified", "datasets")
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    return tmp_path / "inhouse" / "datasets" / "swe-bench-verified.jsonl"


def test_the_rows_are_kept_as_they_are(inhouse: Inhouse, hub: FakeHub, kept: Path) -> None:
    done = inhouse("pull", "swe-bench-verified", HF_ENDPOINT=hub.url)
    assert (done.returncode, told(done)) == (0, f"swe-bench-verified is here: {kept}\n")
    assert [json.loads(line) for line in kept.read_text().splitlines()] == ROWS
    assert [one.problem_statement for one in load_instances(kept)] == [row["problem_statement"] for row in ROWS]
    assert sorted(path.name for path in kept.parent.rglob("*")) == [".partial", kept.name, "swe-bench-verified.lock"]
    again = inhouse("pull", "swe-bench-verified")  # where no hub answers
    assert (again.returncode, told(again)) == (0, f"swe-bench-verified was here already: {kept}\n")
    assert len(hub.ranges) == 1


def test_a_killed_pull_is_gone_on_with(inhouse: Inhouse, environment: dict[str, str], hub: FakeHub, kept: Path) -> None:
    half = len(hub.files[SET]) // 2
    hub.cut = [half]
    hub.stalled = True  # after it, nothing comes any more
    command = [sys.executable, "-m", "inhouse", "pull", "swe-bench-verified"]
    with subprocess.Popen(command, env={**environment, "HF_ENDPOINT": hub.url}) as pulling:
        assert hub.asked_again.wait(60)
        pulling.kill()
    assert not kept.exists()
    hub.stalled = False
    hub.ranges.clear()
    assert inhouse("pull", "swe-bench-verified", HF_ENDPOINT=hub.url).returncode == 0
    assert hub.ranges == [f"bytes={half}-"]
    assert len(load_instances(kept)) == 2


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (table([{name: "" for name in ROWS[0] if name != "base_commit"}]), "there is no column base_commit"),
        (b"PAR1 and then none", "Parquet"),
    ],
    ids=["columns", "no table"],
)  # fmt: skip
def test_another_table_is_refused_and_a_corrected_one_taken(
    inhouse: Inhouse, hub: FakeHub, kept: Path, data: bytes, said: str
) -> None:
    right = hub.files[SET]
    hub.files[SET] = hub.served[SET] = data
    done = inhouse("pull", "swe-bench-verified", HF_ENDPOINT=hub.url)
    assert done.returncode == 1
    assert told(done).startswith(
        "inhouse: princeton-nlp/SWE-bench_Verified is not the data set that this version knows"
    )
    assert said in done.stderr
    assert done.stderr.endswith("or give the data set as JSON lines with --dataset\n")
    assert not kept.exists()
    hub.files[SET] = hub.served[SET] = right
    assert inhouse("pull", "swe-bench-verified", HF_ENDPOINT=hub.url).returncode == 0
    assert len(load_instances(kept)) == 2


def test_a_hub_that_has_no_such_set_or_does_not_answer(inhouse: Inhouse, hub: FakeHub) -> None:
    missing = inhouse("pull", "swe-bench-lite", HF_ENDPOINT=hub.url)
    offline = inhouse("pull", "swe-bench-lite")
    for done in (missing, offline):
        assert done.returncode == 1
        assert told(done).startswith("inhouse: cannot fetch princeton-nlp/SWE-bench_Lite from the model hub (")
        assert done.stderr.endswith("fetch the data set elsewhere and give it as JSON lines with --dataset\n")
    assert "404" in missing.stderr


def test_without_the_reader_of_tables_nothing_is_fetched(inhouse: Inhouse, hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['pyarrow'] = None\n")
    done = inhouse("pull", "swe-bench-verified", HF_ENDPOINT=hub.url, PYTHONPATH=str(tmp_path))
    assert (done.returncode, hub.ranges) == (1, [])
    assert done.stderr.endswith("pip install 'inhouse[eval]'\n")


def test_eval_fetches_nothing_and_says_what_would(inhouse: Inhouse, hub: FakeHub, kept: Path, tmp_path: Path) -> None:
    ask = ("eval", "swebench", "--predictions", "empty", "--repos", tmp_path / "clones")
    done = inhouse(*ask, HF_ENDPOINT=hub.url)
    assert (done.returncode, hub.ranges) == (1, [])
    assert done.stderr == (
        f"inhouse: {kept} is not here yet: run `inhouse pull swe-bench-verified`, or name a file with --dataset\n"
    )
    done = inhouse(*ask, "--split", "mine")
    assert "--split mine cannot be fetched, as verified, lite, full can; give --dataset" in done.stderr


def test_clones_that_are_missing_are_named_with_their_command_and_made_on_demand(
    inhouse: Inhouse, hub: FakeHub, tmp_path: Path
) -> None:
    """git is told, as a user might, that GitHub's repositories are found elsewhere."""
    there, clones = tmp_path / "there", tmp_path / "my clones"
    (tmp_path / ".gitconfig").write_text(f'[url "file://{there}/"]\n\tinsteadOf = https://github.com/\n')
    git = [git_program(), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", there / "acme" / "slug"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], cwd=there / "acme" / "slug", check=True)
    pull = ("pull", "swe-bench-verified", "--repos", clones)
    assert inhouse(*pull, "--instances", "acme__slug-1", HF_ENDPOINT=hub.url).returncode == 0
    assert [path.name for path in clones.iterdir()] == ["acme__slug"]

    ask = ("eval", "swebench", "--predictions", "empty", "--repos", clones)
    done = inhouse(*ask)
    command = f"git clone --bare https://github.com/acme/pages '{clones}/acme__pages'"
    assert (done.returncode, done.stderr) == (
        1, f"inhouse: {clones} has no clone of acme/pages; make 1: {command}\n",
    )  # fmt: skip
    failed = inhouse(*pull)
    assert failed.returncode == 1
    assert "cloning acme/pages (1 of 1)\ninhouse: cannot clone https://github.com/acme/pages (" in failed.stderr
    assert f"put a clone at {clones}/acme__pages in another way" in failed.stderr
    assert [path.name for path in clones.iterdir()] == ["acme__slug"]

    subprocess.run([*git, "clone", "-q", there / "acme" / "slug", there / "acme" / "pages"], check=True)
    subprocess.run(command, shell=True, check=True, env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    assert json.loads(inhouse(*ask, "--json").stdout)["classes"] == {"cannot be graded": 2}  # no such commit
