"""`inhouse fix` as a user meets it; what finds no repair is a random model."""

from __future__ import annotations

import argparse
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import refusing
from command_line import Inhouse
from confined import needs_sandbox

from inhouse.cli import fix as module
from inhouse.errors import WorkspaceError
from inhouse.repair import RepairResult
from inhouse.workspace.confinement.launcher import landlock_abi
from needed import git_program
from scripted_server import Server

pytestmark = needs_sandbox

BROKEN = "def one():\n    return 2\n"
TEST = "import unittest\nfrom m import one\n\nclass One(unittest.TestCase):\n    def test_one(self):\n"
RESULT = RepairResult("verified", "it passes", "t", {"m.py": "new\n"}, "--- a/m.py\n+++ b/m.py\n", {"m.py": b"old\n"})


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "m.py").write_text(BROKEN)
    (root / "test_m.py").write_text(TEST + "        self.assertEqual(one(), 1)\n")
    return root


def without_a_test(root: Path) -> None:
    """Makes the tests pass."""
    (root / "test_m.py").write_text("import m\n\n\ndef test_it_is_there():\n    assert m.one\n")


def arguments(root: Path, **given: object) -> argparse.Namespace:
    return argparse.Namespace(**{"repo": root, "yes": False, "json": False, **given})


def test_a_model_that_finds_nothing_is_said_and_changes_nothing(inhouse: Inhouse, repository: Path, tiny: Path) -> None:
    args = ("fix", "--repo", repository, "one is 2", "--model", tiny, "--attempts", 1, "--yes")
    done = inhouse(*args, "--test", "python3 -m unittest")
    assert (done.returncode, done.stdout) == (3, "")
    assert "1 of 1 tests fail" in done.stderr
    assert "no patch made all tests pass" in done.stderr
    assert (repository / "m.py").read_text() == BROKEN


def test_a_server_is_asked_instead_within_a_limit_of_tokens(inhouse: Inhouse, repository: Path) -> None:
    server = Server(*["    return 3\n```", "    return 4\n```"])
    args = ("fix", "--repo", repository, "one is 2", "--url", server.url, "--yes", "--test", "python3 -m unittest")
    done = inhouse(*args, "--max-tokens", 1)
    assert done.returncode == 3
    assert "every token is used up after 1 attempts" in done.stderr
    assert len(server.asked) == 1
    server.close()
    server = Server("    return 1\n```")
    done = inhouse(*args[:5], server.url, *args[6:])
    assert (done.returncode, len(server.asked)) == (0, 1)
    assert (repository / "m.py").read_text() == BROKEN.replace("2", "1")
    server.close()


def test_events_as_json_lines(inhouse: Inhouse, repository: Path, tiny: Path) -> None:
    args = ("fix", "--repo", repository, "-", "--model", tiny, "--attempts", 1, "--json")
    done = inhouse(*args, "--test", "python3 -m unittest", input="one is 2\n")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 3
    assert [event["event"] for event in events[:4]] == ["prepared", "tested", "loading", "located"]
    assert events[3]["suspects"] == ["m.py::one"]
    assert (events[-1]["event"], events[-1]["status"], events[-1]["applied"]) == ("result", "no_patch", False)


def test_nothing_fails(inhouse: Inhouse, repository: Path, tiny: Path) -> None:
    (repository / "m.py").write_text(BROKEN.replace("2", "1"))
    done = inhouse("fix", "--repo", repository, "slow", "--model", tiny, "--test", "python3 -m unittest")
    assert done.returncode == 4
    assert "add a test that shows the problem" in done.stderr


def test_where_nothing_fails_a_test_is_written_first_and_comes_with_the_patch(
    inhouse: Inhouse, repository: Path
) -> None:
    without_a_test(repository)
    drafts = ["one():\n    assert one() == 1\n```"] * 2
    server = Server(*drafts, "    return 1\n```")
    args = ("fix", "--repo", repository, "one is 2 and should be 1", "--url", server.url, "--yes")
    done = inhouse(*args)
    assert done.returncode == 6, done.stderr
    assert "reproduction, written by the model (2 of 2 drafts agree): test_one_reproduction.py" in done.stderr
    assert "applied to m.py, test_one_reproduction.py" in done.stderr
    assert (repository / "m.py").read_text() == BROKEN.replace("2", "1")
    assert "assert one() == 1" in (repository / "test_one_reproduction.py").read_text()
    server.close()
    server = Server()
    done = inhouse(*args[:5], server.url, "--no-reproduce")
    assert (done.returncode, server.asked) == (4, [])
    server.close()


def test_a_test_without_a_patch_is_shown(inhouse: Inhouse, repository: Path) -> None:
    without_a_test(repository)
    server = Server(*["one():\n    assert one() == 1\n```"] * 2, "    return 3\n```")
    args = (
        "fix",
        "--repo",
        repository,
        "one is 2 and should be 1",
        "--url",
        server.url,
        "--attempts",
        3,
        "--json",
    )
    done = inhouse(*args)
    result = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, result["status"], result["files"]) == (3, "no_patch", [])
    assert result["reproduction"]["path"] == "test_one_reproduction.py"
    assert not (repository / "test_one_reproduction.py").exists()
    server.close()


def test_what_a_report_states_is_tested_without_asking_for_a_test(inhouse: Inhouse, repository: Path) -> None:
    without_a_test(repository)
    server = Server("    return 1\n```")
    done = inhouse("fix", "--repo", repository, "one() gives 2 instead of 1", "--url", server.url, "--yes")
    assert done.returncode == 6, done.stderr
    assert "reproduction, what the report states: test_one_reproduction.py" in done.stderr
    assert "assert one() == 1" in (repository / "test_one_reproduction.py").read_text()
    server.close()


def test_no_sandbox_is_said_and_never_passed_over(environment: dict[str, str], repository: Path, tiny: Path) -> None:
    machine = [sys.executable, refusing.__file__, "namespaces", "landlock", "--"]
    args = ("fix", "--repo", repository, "one is 2", "--model", tiny, "--attempts", 1, "--test", "python3 -m unittest")

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [*machine, sys.executable, "-m", "inhouse", *map(str, args), *more]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    refused = run("--yes")
    assert refused.returncode == 1
    assert "commands cannot be confined on this machine (bubblewrap" in refused.stderr
    assert "--unconfined" in refused.stderr
    allowed = run("--unconfined")
    assert allowed.returncode == 3
    assert "with your own rights" in allowed.stderr


@pytest.mark.skipif(landlock_abi() == 0, reason="the kernel has no Landlock")
def test_where_namespaces_are_refused_tests_run_under_landlock(
    environment: dict[str, str], repository: Path, tiny: Path
) -> None:
    subprocess.run([git_program(), "init", "-q", str(repository)], check=True)
    machine = [sys.executable, refusing.__file__, "namespaces", "--"]
    args = ("fix", "--repo", repository, "one is 2", "--model", tiny, "--attempts", 1, "--yes")
    command = [*machine, sys.executable, "-m", "inhouse", *map(str, args), "--test", "python3 -m unittest"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 3, done.stderr
    assert "1 of 1 tests fail" in done.stderr
    assert sorted(path.name for path in repository.iterdir()) == [".git", "m.py", "test_m.py"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("fix", "  "), "the problem is empty"),
        (("fix", "x"), "no model is on this machine yet"),
        (("fix", "x", "--model", "nothing"), "no file and no model named 'nothing'"),
    ],
)
def test_errors_are_one_line(inhouse: Inhouse, args: tuple[str, ...], says: str) -> None:
    done = inhouse(*args)
    assert (done.returncode, done.stdout) == (1, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("option", [("--minutes", "0"), ("--minutes", "x"), ("--attempts", "0"), ("--seed", "x")])
def test_wrong_usage(inhouse: Inhouse, option: tuple[str, str]) -> None:
    assert inhouse("fix", "x", *option).returncode == 2


def test_yes_applies(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "m.py").write_text("old\n")
    assert module._report(arguments(repository, yes=True), RESULT) == 0
    assert (repository / "m.py").read_text() == "new\n"
    out, errors = capsys.readouterr()
    assert out == RESULT.diff
    assert "applied to m.py" in errors


def test_without_yes_and_terminal_the_patch_is_shown_only(
    repository: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "m.py").write_text("old\n")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert module._report(arguments(repository), RESULT) == 0
    assert (repository / "m.py").read_text() == "old\n"
    out, errors = capsys.readouterr()
    assert out == RESULT.diff
    assert "not applied" in errors


def test_json_applies_with_yes_and_says_so(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (repository / "m.py").write_text("old\n")
    assert module._report(arguments(repository, yes=True, json=True), RESULT) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["applied"], said["files"], said["diff"]) == (True, ["m.py"], RESULT.diff)


def test_a_file_that_changed_meanwhile_is_left_alone(repository: Path) -> None:
    (repository / "m.py").write_text("mine\n")
    with pytest.raises(WorkspaceError, match="changed since the work began"):
        module._report(arguments(repository, yes=True), RESULT)
    assert (repository / "m.py").read_text() == "mine\n"


@pytest.mark.parametrize("testing", [False, True], ids=["early", "while the tests run"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_it_leaves_nothing_behind(
    environment: dict[str, str],
    repository: Path,
    tiny: Path,
    tmp_path: Path,
    number: signal.Signals,
    code: int,
    testing: bool,
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (repository / "test_m.py").write_text(TEST + "        import time\n        time.sleep(600)\n")
    args = ["fix", "--repo", str(repository), "slow", "--model", str(tiny), "--json", "--test", "python3 -m unittest"]
    with subprocess.Popen(
        [sys.executable, "-m", "inhouse", *args],
        env={**environment, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            while json.loads(process.stdout.readline())["event"] != "prepared":
                pass
            while testing and not list(scratch.glob("inhouse-locks-*/*")):  # held only while a command runs
                assert process.poll() is None
                time.sleep(0.01)
            own = ("inhouse-locks-", "inhouse-tmp-")  # of a command that runs
            copies = [path for path in scratch.iterdir() if not path.name.startswith(own)]
            assert [path.name.startswith("inhouse-work-") for path in copies] == [True]
            process.send_signal(number)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, errors) == (code, "")
    assert list(scratch.iterdir()) == []
    assert (repository / "m.py").read_text() == BROKEN
