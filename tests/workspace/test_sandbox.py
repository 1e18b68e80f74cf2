"""What a confined command can and cannot do, under each kind of confinement that the machine offers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from kinds import BUBBLEWRAP, FREE, LANDLOCK_COPY, LANDLOCK_OWN, Kind

from inhouse.errors import SandboxError
from inhouse.workspace import Limits, Sandbox, Unconfined, python_paths
from inhouse.workspace.confinement import mechanisms
from inhouse.workspace.confinement.bubblewrap import Bubblewrap
from inhouse.workspace.confinement.landlock import Landlock
from needed import git_program

PYTHON = Path(sys.executable)


@pytest.fixture(params=FREE)
def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    root = tmp_path / "workspace"
    root.mkdir()
    kind: Kind = request.param
    return kind.sandbox(root, readable=python_paths(PYTHON))


def alive_with(marker: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if marker in " ".join(p.info["cmdline"] or ())]


def gone(marker: str) -> bool:
    deadline = time.monotonic() + 5
    while alive_with(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive_with(marker)


class TestConfinement:
    def test_commands_run_and_report(self, sandbox: Sandbox) -> None:
        sandbox.probe()
        result = sandbox.run("echo out; echo err >&2; exit 3", timeout=10)
        assert (result.exit_code, result.output, result.ok) == (3, "out\nerr\n", False)
        assert sandbox.run([str(PYTHON), "-c", "import pytest; print(1 + 1)"], timeout=20).output == "2\n"

    def test_no_network(self, sandbox: Sandbox) -> None:
        # A server on this machine that would answer: a confined command cannot reach even that.
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 3); print('reached')"
            script = [str(PYTHON), "-c", connect]
            assert "reached" in Unconfined(sandbox.root).run(script, timeout=20).output
            result = sandbox.run(script, timeout=20)
        assert result.exit_code == 1
        denied = isinstance(sandbox.confinement, Landlock)
        assert ("PermissionError" if denied else "ConnectionRefusedError") in result.output
        outside = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"
        assert ("denied" if denied else "unreachable") in sandbox.run([str(PYTHON), "-c", outside], timeout=20).output

    def test_writes_only_to_workspace_and_scratch(self, sandbox: Sandbox, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.write_text("mine")
        for target in ("/usr/x", "/etc/x", "/x", "/dev/x", str(PYTHON.parent / "x")):
            assert not sandbox.run(["touch", target], timeout=10).ok, target
        assert not sandbox.run(["cat", str(outside)], timeout=10).ok
        sandbox.run(f"echo stolen > {outside}; echo yes > inside; echo no > /tmp/private", timeout=10)
        assert outside.read_text() == "mine"
        assert (sandbox.root / "inside").read_text() == "yes\n"
        assert not Path("/tmp/private").exists()

    def test_symlinks_do_not_lead_out(self, sandbox: Sandbox, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("mine")
        (sandbox.root / "door").symlink_to(secret)
        (sandbox.root / "gate").symlink_to(tmp_path)
        assert "mine" not in sandbox.run("cat door gate/secret", timeout=10).output
        sandbox.run("echo changed > door; echo changed > gate/secret", timeout=10)
        assert secret.read_text() == "mine"

    def test_home_is_private(self, sandbox: Sandbox) -> None:
        home = str(Path.home())
        result = sandbox.run(
            f"echo $HOME; ls -A $HOME; cat {home}/.ssh/none {home}/.bash_history {home}/.bashrc", timeout=10
        )
        place, *rest = result.output.splitlines()
        assert place.startswith("/tmp/")
        assert place.endswith("/home")
        assert not Path(place).exists()
        assert len(rest) == 3
        assert all("No such file" in line or "Permission denied" in line for line in rest)

    def test_environment_is_scrubbed(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("API_TOKEN", "hunter2")
        assert "hunter2" not in sandbox.run(["env"], timeout=10).output
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "yes")
        assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD=yes" in sandbox.run(["env"], timeout=10).output
        assert "GIVEN=1" in sandbox.run(["env"], timeout=10, environment={"GIVEN": "1"}).output

    def test_git_directory_is_read_only(self, sandbox: Sandbox) -> None:
        hooks = sandbox.root / ".git" / "hooks"
        hooks.mkdir(parents=True)
        done = sandbox.run("echo evil > .git/hooks/pre-commit || mv .git x", timeout=10).ok
        assert not done or isinstance(sandbox.confinement, Landlock)  # which has a copy there
        assert list(hooks.iterdir()) == []

    def test_no_privileges(self, sandbox: Sandbox) -> None:
        if not isinstance(sandbox.confinement, Landlock):  # which shows no processes
            status = sandbox.run(["grep", "CapEff", "/proc/self/status"], timeout=10).output
            assert int(status.split()[1], 16) == 0
        assert not sandbox.run(["mount", "-t", "tmpfs", "none", "/tmp"], timeout=10).ok
        processes = [int(name) for name in sandbox.run(["ls", "/proc"], timeout=10).output.split() if name.isdigit()]
        assert max(processes, default=0) < 10  # its own few, not the machine's

    @pytest.mark.parametrize("sandbox", BUBBLEWRAP, indirect=True)
    def test_workspace_seen_elsewhere(self, sandbox: Sandbox, tmp_path: Path) -> None:
        original = tmp_path / "original"
        original.mkdir()
        venv = tmp_path / "venv"
        venv.mkdir()
        (venv / "marker").write_text("environment")
        there = replace(sandbox, seen_as=original, mounts={venv: original / ".venv"})
        result = there.run("pwd; cat .venv/marker; echo x > new; echo y > .venv/new", timeout=10)
        assert result.output.startswith(f"{original}\nenvironment")
        assert (sandbox.root / "new").exists()
        assert not (original / "new").exists()
        assert not (venv / "new").exists()

    @pytest.mark.parametrize("sandbox", LANDLOCK_COPY, indirect=True)
    def test_mounts_where_nothing_can_be_seen_elsewhere(self, sandbox: Sandbox, tmp_path: Path) -> None:
        venv = tmp_path / "venv"
        venv.mkdir()
        (venv / "marker").write_text("environment")
        there = replace(sandbox, seen_as=tmp_path / "original", mounts={venv: tmp_path / "original" / ".venv"})
        assert there.place == sandbox.root
        result = there.run("pwd; cat .venv/marker; echo x > new; echo y > .venv/new", timeout=10)
        assert result.output.startswith(f"{sandbox.root}\nenvironment")
        assert [path.name for path in sandbox.root.iterdir()] == ["new"]
        assert not (venv / "new").exists()

    def test_other_folders_may_be_written(self, sandbox: Sandbox, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        cache.mkdir()
        given = replace(sandbox, also_writable=(cache,))
        line = f"cd {cache}; echo x > new && chmod 600 new && echo fine; echo evil > .bashrc; mkdir .git"
        assert given.run(line, timeout=10).output.startswith("fine")
        assert (cache / "new").stat().st_mode & 0o777 == 0o600
        assert not (cache / ".bashrc").exists()
        assert not (cache / ".git").exists()


@pytest.mark.parametrize("sandbox", LANDLOCK_COPY, indirect=True)
class TestLandlock:
    """What goes another way where there are no namespaces."""

    def test_modes_owners_and_times(self, sandbox: Sandbox) -> None:
        script = (
            "import os, stat\nos.mkdir('d')\nopen('d/f', 'w').close()\nos.symlink('f', 'd/l')\n"
            "here = os.open('d', os.O_RDONLY)\nfile = os.open('d/f', os.O_RDWR)\n"
            "def mode(): return oct(stat.S_IMODE(os.stat('d/f').st_mode))\n"
            "os.chmod('d/f', 0o640); print(mode())\n"
            "os.chmod('f', 0o600, dir_fd=here); print(mode())\n"
            "os.fchmod(file, 0o700); print(mode())\n"
            "os.chmod(f'/proc/self/fd/{file}', 0o444); print(mode())\n"
            "os.chown('d/f', os.getuid(), os.getgid()); os.lchown('d/l', -1, -1); os.fchown(file, -1, -1)\n"
            "os.utime('d/f', ns=(10**9, 2 * 10**9 + 5)); print(os.stat('d/f').st_mtime_ns)\n"
            "os.utime(file, (3, 4)); print(os.stat('d/f').st_atime, os.stat('d/f').st_mtime)\n"
            "os.utime('d/l', (5, 6), follow_symlinks=False); print(os.lstat('d/l').st_mtime, os.stat('d/f').st_mtime)\n"
            "os.utime('d/f'); print(os.stat('d/f').st_mtime > 10**9)\n"
            "for call in (lambda: os.chmod('none', 0), lambda: os.chmod('', 0), lambda: os.chmod('d/f/x', 0)):\n"
            "    try: call()\n    except OSError as error: print(error.strerror)\n"
        )
        assert sandbox.run([str(PYTHON), "-c", script], timeout=20).output.splitlines() == [
            "0o640", "0o600", "0o700", "0o444", "2000000005", "3.0 4.0", "6.0 4.0", "True",
            "No such file or directory", "No such file or directory", "Not a directory",
        ]  # fmt: skip

    def test_signals_among_the_command_s_own_processes(self, sandbox: Sandbox) -> None:
        result = sandbox.run("sleep 60 & kill -9 $! && wait $!; echo $?", timeout=20)
        assert result.output.splitlines()[-1] == "137"
        assert sandbox.run("setsid sleep 60 & kill $! && echo sent", timeout=20).output == "sent\n"
        assert sandbox.run("kill -TERM 0; sleep 20", timeout=20).exit_code == 143
        abort = sandbox.run([str(PYTHON), "-c", "import os; os.abort()"], timeout=20)
        assert abort.exit_code == 134

    def test_a_broken_pipe_ends_a_command(self, sandbox: Sandbox) -> None:
        assert "rror" not in sandbox.run("yes | head -1", timeout=20).output

    @pytest.mark.parametrize(
        "line",
        ["import multiprocessing; multiprocessing.Lock()", "import socket; socket.create_server(('127.0.0.1', 0))",
         "open('/proc/self/status')", "import os; os.setxattr('.', 'user.x', b'')", "open('/tmp/inhouse-x', 'w')",
         "import os; os.openpty()"],
    )  # fmt: skip
    def test_what_programs_have_to_do_without(self, sandbox: Sandbox, line: str) -> None:
        """Listed in docs/safety.md: tests that need it fail under Landlock."""
        assert Unconfined(sandbox.root).run([str(PYTHON), "-c", line], timeout=20).ok
        Path("/tmp/inhouse-x").unlink(missing_ok=True)
        result = sandbox.run([str(PYTHON), "-c", line], timeout=20)
        assert result.exit_code == 1
        assert "PermissionError" in result.output or "Operation not supported" in result.output, result.output

    def test_pairs_of_sockets_and_pipes(self, sandbox: Sandbox) -> None:
        script = "import asyncio\nasync def f(): return 7\nprint(asyncio.run(f()))"
        assert sandbox.run([str(PYTHON), "-c", script], timeout=20).output == "7\n"

    def test_the_repository_is_put_back(self, sandbox: Sandbox) -> None:
        subprocess.run([git_program(), "init", "-q", str(sandbox.root)], check=True)
        (sandbox.root / ".envrc").write_text("mine")
        result = sandbox.run("git status -s; git log; cat .envrc; rm -rf .git .envrc; mkdir .git .vscode", timeout=20)
        assert "does not have any commits yet" in result.output
        assert sorted(path.name for path in sandbox.root.iterdir()) == [".envrc", ".git"]
        assert (sandbox.root / ".git" / "HEAD").is_file()
        assert [path.name for path in sandbox.root.parent.iterdir()] == ["workspace"]

    def test_the_end_of_the_caller_ends_the_command(self, sandbox: Sandbox) -> None:
        marker = f"55331.{os.getpid()}"
        assert isinstance(sandbox.confinement, Landlock)
        abi = sandbox.confinement.abi
        script = (
            "import os, signal, subprocess; from pathlib import Path; from inhouse.workspace import Sandbox\n"
            "from inhouse.workspace.confinement.landlock import Landlock\n"
            f"box = Sandbox(Path({str(sandbox.root)!r}), mechanism=Landlock({abi}), disposable=True)\n"
            f"with box.launch('setsid sleep {marker} & echo up; sleep {marker}') as start:\n"
            "    p = subprocess.Popen(start.argv, env=dict(start.environment), pass_fds=start.pass_fds,"
            " stdout=subprocess.PIPE, start_new_session=True)\n"
            "    p.stdout.readline()\n    p.kill()\n    p.wait()\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True)
        assert gone(marker)


@pytest.mark.parametrize("sandbox", LANDLOCK_OWN, indirect=True)
class TestOwnRepositoryUnderLandlock:
    def test_what_is_there_can_be_changed_and_nothing_made_beside_it(self, sandbox: Sandbox) -> None:
        (sandbox.root / "src").mkdir()
        (sandbox.root / "a.py").write_text("old\n")
        result = sandbox.run("echo new > a.py; echo x > src/b.py; mkdir src/d; echo y > c.py; rm a.py", timeout=20)
        assert (sandbox.root / "a.py").read_text() == "new\n"
        assert (sandbox.root / "src" / "b.py").read_text() == "x\n"
        assert result.output.count("Permission denied") == 2
        assert sorted(path.name for path in sandbox.root.iterdir()) == ["a.py", "src"]


class TestLimits:
    def test_timeout_kills_the_whole_tree(self, sandbox: Sandbox) -> None:
        marker = f"97531.{os.getpid()}"
        result = sandbox.run(f"setsid sleep {marker} & sleep {marker}", timeout=0.5)
        assert result.timed_out
        assert not result.ok
        assert result.duration < 5
        assert gone(marker)

    def test_children_do_not_outlive_the_command(self, sandbox: Sandbox) -> None:
        marker = f"86420.{os.getpid()}"
        started = time.monotonic()
        assert sandbox.run(f"sleep {marker} & echo done", timeout=20).ok
        assert time.monotonic() - started < 10
        assert gone(marker)

    def test_output_is_capped_while_reading(self, sandbox: Sandbox) -> None:
        result = sandbox.run("echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo last", timeout=60)
        assert result.output.startswith("first")
        assert result.output.endswith("last\n")
        assert "bytes left out" in result.output
        assert len(result.output) < 200_000

    def test_memory(self, sandbox: Sandbox) -> None:
        limits = Limits(memory=256 << 20)
        big = sandbox.run([str(PYTHON), "-c", "x = bytearray(1 << 29)"], timeout=20, limits=limits)
        assert "MemoryError" in big.output
        many = "import os, time\nfor _ in range(2): os.fork()\nx = b'1' * (120 << 20); time.sleep(20)"
        assert sandbox.run([str(PYTHON), "-c", many], timeout=19, limits=limits).stopped == "memory"

    def test_fork_bomb(self, sandbox: Sandbox) -> None:
        bomb = [str(PYTHON), "-c", "import os, time\nfor _ in range(200): os.fork() or time.sleep(60)\ntime.sleep(60)"]
        result = sandbox.run(bomb, timeout=30, limits=Limits(processes=50))
        assert result.stopped == "processes"


class TestChoice:
    """Which kind confines commands: the first that a real command finds to work."""

    def test_fails_closed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mechanisms, "candidates", lambda: (Landlock(abi=0),))
        for attempt in (Sandbox(tmp_path).probe, lambda: Sandbox(tmp_path).run("touch ran", timeout=5)):
            with pytest.raises(SandboxError, match=r"Landlock: the kernel has no Landlock.*apt install bubblewrap"):
                attempt()
        assert not (tmp_path / "ran").exists()

    def test_broken_bubblewrap_gives_way_to_the_next(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = tmp_path / "bin" / "bwrap"
        fake.parent.mkdir()
        fake.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
        fake.chmod(0o755)
        with pytest.raises(SandboxError, match="No permissions to create new namespace"):
            Sandbox(tmp_path, mechanism=Bubblewrap(fake)).probe()
        monkeypatch.setattr(mechanisms, "candidates", lambda: (Bubblewrap(fake), Landlock()))
        if mechanisms.trial(Landlock()).problem:
            pytest.skip("the kernel has no Landlock")
        assert Sandbox(tmp_path).confinement == Landlock()

    def test_prefers_what_holds_most(self) -> None:
        kinds = mechanisms.candidates()
        works = [kind for kind in kinds if not mechanisms.trial(kind).problem]
        assert mechanisms.best() == works[0]
        if sys.platform == "linux":
            assert isinstance(kinds[-1], Landlock)


class TestUnconfined:
    def test_unconfined_is_still_limited(self, tmp_path: Path) -> None:
        marker = f"75319.{os.getpid()}"
        runner = Unconfined(tmp_path)
        result = runner.run(f"sleep {marker} & echo started; sleep {marker}", timeout=2)
        assert (result.timed_out, result.output) == (True, "started\n")
        assert gone(marker)
        assert "HOME" not in runner.run(["env"], timeout=10).output

    def test_interrupt_kills_the_command(self, tmp_path: Path) -> None:
        import _thread

        marker = f"64208.{os.getpid()}"
        timer = threading.Timer(0.5, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            Unconfined(tmp_path).run(["sleep", marker], timeout=30)
        timer.join()
        assert gone(marker)
