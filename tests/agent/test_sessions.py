"""Sessions: what is kept, kill -9 at every step, undo, fork, checkpoints."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from agent_kit import FINISH, PROGRAM, REPAIR, Bench, MakeBench, answer, call, do, shop

from inhouse.agent.briefing import SYSTEM
from inhouse.agent.session import Session, find, read, sessions
from inhouse.agent.state import INTERRUPTED, state_of
from inhouse.errors import WorkspaceError
from inhouse.workspace.shadow import Shadow
from needed import git_program

STEPS = [do("view", path="shop.py"), do("str_replace", **REPAIR), do("bash", command="echo x > made"), FINISH, FINISH]

# Runs a turn and dies, as by the power switch, with the record of a number: before it is written, or after.
KILLED = """
import os, signal, sys
sys.path[:0] = {tests!r}
from pathlib import Path
from agent_kit import Bench
from test_sessions import STEPS
from inhouse.agent.session import Session

root, folder, at, when = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
append, count = Session.append, 0

def dying(self, kind, **fields):
    global count
    count += 1
    if count == at and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if count == at and when == "torn":
        os.write(self._file, b'{{"kind":"message","mess')
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, kind, **fields)
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)

Session.append = dying
Bench(root, STEPS, session=Session(folder)).turn()
print("whole", count)
"""


def made(tmp_path: Path, root: Path) -> Path:
    with Session.create(tmp_path / "sessions", root, "scripted", SYSTEM) as session:
        return session.folder


def run_killed(root: Path, folder: Path, at: int, when: str) -> subprocess.CompletedProcess[str]:
    script = KILLED.format(tests=[str(folder) for folder in Path(__file__).parents[:2]])
    return subprocess.run(
        [sys.executable, "-c", script, str(root), str(folder), str(at), when],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def test_the_script_writes_this_many_records(tmp_path: Path, root: Path) -> None:
    done = run_killed(root, made(tmp_path, root), 999, "never")
    assert done.stdout.strip() == "whole 20", done.stderr


@pytest.mark.parametrize("when", ["before", "after", "torn"])
@pytest.mark.parametrize("at", list(range(1, 21)))
def test_kill_9_loses_at_most_the_step_in_flight(tmp_path: Path, root: Path, at: int, when: str) -> None:
    folder = made(tmp_path, root)
    done = run_killed(root, folder, at, when)
    assert done.returncode == -signal.SIGKILL, done.stderr
    _, records = read(folder)
    assert len(records) == (at if when == "after" else at - 1)
    with Session(folder) as session:
        one = Bench(root, ["Back again.", "Really."], session=session)
        known = one.agent.messages
        calls = [call.id for message in known for call in message.tool_calls]
        results = [message.tool_call_id for message in known if message.role == "tool"]
        assert sorted(calls) == sorted(results)  # a conversation that any model can go on with
        assert one.turn("Go on.").reason == "answered"
        assert one.client.requests[0].messages[: len(known)] == known
        one.agent.close()
    # Whatever the files are now, undoing what is recorded brings back what was there.
    with Session(folder) as session:
        again = Bench(root, [], session=session)
        while again.agent.journal.state.changes:
            again.agent.undo()
        steps_lost = ("made" if (root / "made").exists() else "", (root / "shop.py").read_text() != PROGRAM)
        recorded = sum(record["kind"] == "checkpoint" and bool(record["call"]) for record in records)
        assert sum(map(bool, steps_lost)) <= 1  # at most the step in flight stays, as somebody else's change
        assert recorded <= 2
        again.agent.close()


def test_calls_that_were_under_way_are_said_to_be(tmp_path: Path, root: Path) -> None:
    folder = made(tmp_path, root)
    with Session(folder) as session:
        session.append("message", message={"role": "user", "content": "Go."}, prompt="Go.")
        calls = [{"id": f"c{n}", "type": "function", "function": {"name": "bash", "arguments": "{}"}} for n in (1, 2)]
        session.append("message", message={"role": "assistant", "content": "", "tool_calls": calls})
        session.append("message", message={"role": "tool", "content": "one", "tool_call_id": "c1"})
    with Session(folder) as session:
        one = Bench(root, ["On."], session=session)
        assert one.agent.messages[-1].content == INTERRUPTED
        assert one.agent.messages[-1].tool_call_id == "c2"
        assert one.turn(None).text == "On."
        one.agent.close()


def test_everything_is_on_the_disk_before_the_next_step(bench: MakeBench) -> None:
    sizes: list[int] = []

    def look(request: object) -> str:
        sizes.append(len(read(one.session.folder)[1]))
        return "Done."

    one = bench(do("view", path="shop.py"), look)
    one.turn()
    kinds = [record["kind"] for record in one.session.records]
    assert kinds == ["checkpoint", "message", "answer", "message", "message", "answer", "message", "turn"]
    assert sizes == [5]


class TestUndo:
    def test_the_last_change(self, bench: MakeBench, root: Path) -> None:
        one = bench(do("str_replace", **REPAIR), do("create", path="d/new.py", content="x = 1\n"), FINISH, FINISH)
        one.turn()
        assert [change.path for change in one.agent.undo()] == ["d/new.py"]
        assert not (root / "d").exists()
        assert "+= price" in (root / "shop.py").read_text()
        one.agent.undo()
        assert (root / "shop.py").read_text() == PROGRAM
        with pytest.raises(WorkspaceError, match="nothing to undo"):
            one.agent.undo()

    def test_several_at_once_and_what_commands_did(self, bench: MakeBench, root: Path) -> None:
        (root / "run.sh").write_text("#!/bin/sh\n")
        (root / "run.sh").chmod(0o755)
        one = bench(do("bash", command="rm run.sh; mkdir e; echo 1 > e/f"), do("str_replace", **REPAIR), FINISH, FINISH)
        one.turn()
        one.agent.undo(2)
        assert (root / "run.sh").stat().st_mode & 0o111
        assert not (root / "e").exists()
        assert (root / "shop.py").read_text() == PROGRAM

    def test_what_the_user_changed_meanwhile_stays(self, bench: MakeBench, root: Path) -> None:
        one = bench(do("str_replace", **REPAIR), FINISH, FINISH)
        one.turn()
        (root / "test_shop.py").write_text("mine\n")
        one.agent.undo()
        assert (root / "test_shop.py").read_text() == "mine\n"

    def test_not_over_the_users_own_change(self, bench: MakeBench, root: Path) -> None:
        one = bench(do("str_replace", **REPAIR), FINISH, FINISH)
        one.turn()
        (root / "shop.py").write_text("mine\n")
        with pytest.raises(WorkspaceError, match=r"shop\.py: changed since; nothing was undone"):
            one.agent.undo()
        assert (root / "shop.py").read_text() == "mine\n"

    def test_the_model_is_told(self, bench: MakeBench) -> None:
        one = bench(do("str_replace", **REPAIR), FINISH, FINISH, "Ah.")
        one.turn()
        one.agent.undo()
        one.turn("Why?")
        assert any("took back your last change of: shop.py" in m.content for m in one.client.requests[-1].messages)

    def test_line_ends_come_back_byte_for_byte(self, bench: MakeBench, root: Path) -> None:
        (root / ".gitattributes").write_text("* text=auto\n")
        (root / "dos.txt").write_bytes(b"a\r\nb\r\n")
        one = bench(do("create", path="dos.txt", content="x\n", overwrite=True), FINISH, FINISH)
        one.turn()
        one.agent.undo()
        assert (root / "dos.txt").read_bytes() == b"a\r\nb\r\n"

    def test_the_users_git_is_never_touched(self, bench: MakeBench, root: Path) -> None:
        def state() -> str:
            return subprocess.run(
                [git_program(), "status", "--porcelain=v2", "--branch"],
                cwd=root,
                capture_output=True,
                text=True,
                check=True,
            ).stdout

        before, index = state(), (root / ".git" / "index").read_bytes()
        one = bench(do("str_replace", **REPAIR), FINISH, FINISH)
        one.turn()
        one.agent.undo()
        assert (root / ".git" / "index").read_bytes() == index
        assert state() == before


def test_diff_is_from_the_beginning_of_the_session(bench: MakeBench, root: Path) -> None:
    (root / "before.txt").write_text("uncommitted\n")
    one = bench(do("str_replace", **REPAIR), FINISH, FINISH)
    one.turn()
    diff = one.agent.diff()
    assert "-        result -= price\n+        result += price" in diff
    assert "before.txt" not in diff


def test_a_folder_without_git_works_as_well(tmp_path: Path) -> None:
    git_program()  # which keeps its checkpoints
    root = shop(tmp_path, git=False)
    one = Bench(root, [do("str_replace", **REPAIR), do("search", pattern="total"), FINISH, FINISH])
    one.turn()
    assert "shop.py:1:def total" in one.results()[1]
    one.agent.undo()
    assert (root / "shop.py").read_text() == PROGRAM
    one.close()


class TestStore:
    def test_a_fork_goes_its_own_way(self, bench: MakeBench, root: Path) -> None:
        one = bench(do("str_replace", **REPAIR), FINISH, FINISH)
        one.turn()
        with one.session.fork(root.parent / "sessions") as copy:
            assert copy.header.forked_from == one.session.id
            other = Bench(root, ["Yes."], session=copy)
            assert other.agent.messages == one.agent.messages
            other.turn("Are you a copy?")
            other.agent.undo()
            assert (root / "shop.py").read_text() == PROGRAM
            other.agent.close()
        assert len(one.session.records) < len(read(copy.folder)[1])

    def test_a_session_is_open_once(self, bench: MakeBench) -> None:
        one = bench()
        with pytest.raises(WorkspaceError, match="open in another process"):
            Session(one.session.folder)

    def test_finding(self, tmp_path: Path, root: Path) -> None:
        folder = made(tmp_path, root)
        home = tmp_path / "sessions"
        for name in ("last", folder.name, folder.name[:12], folder.name[-4:]):
            assert find(home, name, root) == folder
        with pytest.raises(WorkspaceError, match="there is no session"):
            find(home, "last", tmp_path)
        assert list(sessions(home)) == [folder]

    def test_damage_in_the_middle_is_named(self, tmp_path: Path, root: Path) -> None:
        folder = made(tmp_path, root)
        with (folder / "session.jsonl").open("a") as file:
            file.write('{"kind": nonsense}\n' + json.dumps({"kind": "turn", "reason": "x", "text": ""}) + "\n")
        with pytest.raises(WorkspaceError, match="line 2 is damaged"):
            read(folder)

    def test_it_is_private(self, tmp_path: Path, root: Path) -> None:
        assert made(tmp_path, root).stat().st_mode & 0o077 == 0

    def test_a_compacted_conversation_is_resumed_as_it_was(self, bench: MakeBench, root: Path) -> None:
        one = bench(do("view", path="shop.py"), "Seen.", "Notes.")
        one.turn()
        one.agent.compact()
        assert state_of(one.session.records).messages == one.agent.messages[1:]


class TestShadow:
    def test_large_new_files_are_left_out(self, tmp_path: Path, root: Path) -> None:
        shadow = Shadow(root, tmp_path / "shadow")
        before = shadow.checkpoint()
        with (root / "big file.bin").open("wb") as file:
            file.truncate(17 << 20)
        (root / "small").write_text("x")
        assert [change.path for change in shadow.changes(before, shadow.checkpoint())] == ["small"]

    def test_a_lock_that_a_killed_process_left_is_no_hindrance(self, tmp_path: Path, root: Path) -> None:
        Shadow(root, tmp_path / "shadow").checkpoint()
        (tmp_path / "shadow" / "index.lock").write_text("")
        assert Shadow(root, tmp_path / "shadow").checkpoint()


def test_two_calls_of_one_answer_are_two_changes(bench: MakeBench) -> None:
    both = answer(call("create", path="a", content="1\n"), call("create", path="b", content="1\n"))
    one = bench(both, FINISH, FINISH)
    one.turn()
    assert [step.title for step in one.agent.journal.state.changes] == ["create a", "create b"]
