"""What a confined command can and cannot do. Skipped only where bubblewrap is not installed."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from inhouse.errors import SandboxError
from inhouse.workspace import Limits, Sandbox, Unconfined, python_paths

needs_bubblewrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
PYTHON = Path(sys.executable)


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    root = tmp_path / "workspace"
    root.mkdir()
    return Sandbox(root, readable=python_paths(PYTHON))


def alive_with(marker: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if marker in " ".join(p.info["cmdline"] or ())]


def gone(marker: str) -> bool:
    deadline = time.monotonic() + 5
    while alive_with(marker) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive_with(marker)


@needs_bubblewrap
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
        assert "ConnectionRefusedError" in result.output
        outside = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"
        assert "unreachable" in sandbox.run([str(PYTHON), "-c", outside], timeout=20).output

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
            f"echo $HOME; ls -A $HOME; ls -A {home}/.ssh {home}/.bash_history {home}/.bashrc", timeout=10
        )
        assert result.output.startswith("/tmp/home\n")
        assert result.output.count("No such file or directory") == 3

    def test_environment_is_scrubbed(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("API_TOKEN", "hunter2")
        assert "hunter2" not in sandbox.run(["env"], timeout=10).output
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "yes")
        assert "PYTEST_DISABLE_PLUGIN_AUTOLOAD=yes" in sandbox.run(["env"], timeout=10).output
        assert "GIVEN=1" in sandbox.run(["env"], timeout=10, environment={"GIVEN": "1"}).output

    def test_git_directory_is_read_only(self, sandbox: Sandbox) -> None:
        hooks = sandbox.root / ".git" / "hooks"
        hooks.mkdir(parents=True)
        assert not sandbox.run("echo evil > .git/hooks/pre-commit || mv .git x", timeout=10).ok
        assert list(hooks.iterdir()) == []

    def test_no_privileges(self, sandbox: Sandbox) -> None:
        status = sandbox.run(["grep", "CapEff", "/proc/self/status"], timeout=10).output
        assert int(status.split()[1], 16) == 0
        assert not sandbox.run(["mount", "-t", "tmpfs", "none", "/tmp"], timeout=10).ok
        processes = [int(name) for name in sandbox.run(["ls", "/proc"], timeout=10).output.split() if name.isdigit()]
        assert max(processes) < 10  # its own few, not the machine's

    def test_workspace_seen_elsewhere(self, sandbox: Sandbox, tmp_path: Path) -> None:
        original = tmp_path / "original"
        original.mkdir()
        venv = tmp_path / "venv"
        venv.mkdir()
        (venv / "marker").write_text("environment")
        there = Sandbox(sandbox.root, seen_as=original, mounts={venv: original / ".venv"})
        result = there.run("pwd; cat .venv/marker; echo x > new; echo y > .venv/new", timeout=10)
        assert result.output.startswith(f"{original}\nenvironment")
        assert (sandbox.root / "new").exists()
        assert not (original / "new").exists()
        assert not (venv / "new").exists()


@needs_bubblewrap
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


class TestWithoutBubblewrap:
    def test_fails_closed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        for attempt in (Sandbox(tmp_path).probe, lambda: Sandbox(tmp_path).run("touch ran", timeout=5)):
            with pytest.raises(SandboxError, match="apt install bubblewrap"):
                attempt()
        assert not (tmp_path / "ran").exists()

    def test_broken_bubblewrap_is_reported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fake = tmp_path / "bin" / "bwrap"
        fake.parent.mkdir()
        fake.write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
        with pytest.raises(SandboxError, match="No permissions to create new namespace"):
            Sandbox(tmp_path).probe()

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
