"""`inhouse agent` and `inhouse sessions` as processes, with a server on loopback that answers from a script."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Inhouse, Terminal
from confined import needs_sandbox

from needed import git_program
from scripted_server import Server


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    root.mkdir()
    (root / "app.py").write_text("x = 1\n")
    subprocess.run([git_program(), "init", "-q"], cwd=root, check=True)
    return root


@pytest.fixture
def server() -> Iterator[Server]:
    edit = {"path": "app.py", "old_str": "x = 1", "new_str": "x = 2"}
    one = Server(
        ("str_replace", edit), ("bash", {"command": "python3 -c 'import app; print(app.x)'"}),
        ("finish", {"summary": "x is 2 now."}), "Still here.",
    )  # fmt: skip
    yield one
    one.close()


@needs_sandbox
def test_one_task_with_json_then_resumed_listed_shown_and_exported(
    inhouse: Inhouse, repo: Path, server: Server
) -> None:
    done = inhouse("agent", "--repo", repo, "--url", server.url, "--json", "Make x 2.")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events if event["event"] in ("called", "ended")] == ["called"] * 3 + ["ended"]
    assert (events[-1]["event"], events[-1]["status"], events[-1]["exit_code"]) == ("result", "verified", 0)
    assert events[-1]["changed"] == ["app.py"]
    assert [(run["exit_code"], run["tests"]) for run in events[-1]["runs"]] == [(0, False)]
    assert events[-1]["text"] == "x is 2 now."
    assert (events[-1]["prompt_tokens"], events[-1]["cached_tokens"]) == (270, 180)
    assert (repo / "app.py").read_text() == "x = 2\n"
    assert [e["text"] for e in events if e["event"] == "called" and e["tool"] == "bash"] == ["2"]

    again = inhouse("agent", "--repo", repo, "--url", server.url, "--resume", "last", "--json", "Are you there?")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["text"] == "Still here."
    earlier = server.asked[2]["messages"]
    assert server.asked[3]["messages"][: len(earlier)] == earlier  # the prompt is only added to, across processes too

    (session,) = json.loads(inhouse("sessions", "--json").stdout)
    assert (session["title"], session["prompts"]) == ("Make x 2.", 2)
    listed = inhouse("sessions").stdout
    assert session["id"] in listed
    shown = inhouse("sessions", "show", session["id"]).stdout
    assert "> str_replace" in shown
    assert "Still here." in shown
    exported = json.loads(inhouse("sessions", "export", "last").stdout)
    assert [message["role"] for message in exported["messages"]][:3] == ["system", "user", "assistant"]


@needs_sandbox
def test_a_task_that_meets_a_limit_says_so_by_its_exit_code(inhouse: Inhouse, repo: Path, server: Server) -> None:
    done = inhouse("agent", "--repo", repo, "--url", server.url, "--max-turns", 1, "Make x 2.")
    assert done.returncode == 3
    assert "the limit of answers is reached" in done.stdout


@needs_sandbox
@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("cat app.py", 4, "changed app.py; nothing was run after the last change"),
        ("python3 -m unittest nowhere_at_all", 5, "changed app.py; the last test run failed"),
        ("python3 -c 'import app'", 0, "changed app.py; `python3 -c 'import app'` ended with exit code 0 after"),
    ],
)
def test_the_last_line_and_the_exit_code_say_what_shows_that_it_works(
    inhouse: Inhouse, repo: Path, command: str, code: int, says: str
) -> None:
    edit = {"path": "app.py", "old_str": "x = 1", "new_str": "x = 2"}
    server = Server(("str_replace", edit), ("bash", {"command": command}), "All done.", "Really.")
    done = inhouse("agent", "--repo", repo, "--url", server.url, "Make x 2.")
    server.close()
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1].startswith(says)


@needs_sandbox
def test_the_commands_of_a_terminal(environment: dict[str, str], repo: Path, server: Server) -> None:
    end = Terminal(environment, "agent", "--repo", str(repo), "--url", server.url, "--mode", "auto", "Make x 2.")
    asked = (
        ("/help", r"/undo \[N\] .*/fork .*/exit "),
        ("/diff", r"\+x = 2"),
        ("/undo", r"undone: app\.py"),
        ("/undo x", r"'x' is no number"),
        ("/diff", r"nothing changed"),
        ("/plan", r"there is no plan"),
        ("/mode plan", r"mode plan"),
        ("/fork", r"session \S+ is a copy"),
        ("/nothing", r"there is no command /nothing"),
        ("/continue", r"Still here\."),
    )
    try:
        end.wait_for(r"x is 2 now\.", 60)
        for line, answer in asked:
            end.wait_for(r"> ")
            end.type(f"{line}\n")
            end.wait_for(f"(?s){answer}")
    finally:
        end.close()
    assert len(server.asked) == 4


def test_a_server_that_is_not_there(inhouse: Inhouse, repo: Path) -> None:
    done = inhouse("agent", "--repo", repo, "--url", "http://127.0.0.1:9/v1", "Hi.")
    assert done.returncode == 1
    assert "see that the server runs there" in done.stderr


def test_without_a_terminal_there_must_be_a_prompt(inhouse: Inhouse, repo: Path) -> None:
    done = inhouse("agent", "--repo", repo)
    assert done.returncode == 1
    assert "say what to do as PROMPT" in done.stderr
