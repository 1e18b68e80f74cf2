"""`inhouse fix`, start to end, where there is no network but loopback; every socket that it opens is looked at."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_TEST = """\
import unittest
from shop import total


class TestTotal(unittest.TestCase):
    def test_total(self):
        self.assertEqual(total([1, 2]), 3)
"""


@pytest.mark.skipif(
    not all(map(shutil.which, ("bwrap", "strace", "unshare"))), reason="bubblewrap, strace or unshare is not installed"
)
def test_fix_opens_no_socket(tiny: Path, environment: dict[str, str], tmp_path: Path) -> None:
    """With a random model no repair comes of it, but everything runs: model, tests, sandbox, questions, the verdict."""
    repository = tmp_path / "repository"
    repository.mkdir()
    (repository / "shop.py").write_text("def total(prices):\n    return sum(prices) + 1\n")
    (repository / "test_shop.py").write_text(_TEST)
    # The interpreter calls this hook for every socket object (not inside the sandbox: its environment is its own).
    hook, started, opened = tmp_path / "hook", tmp_path / "started", tmp_path / "opened"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        f"import sys\nopen({str(started)!r}, 'a').close()\n"
        f"sys.addaudithook(lambda name, _: name == 'socket.__new__' and open({str(opened)!r}, 'a').close())\n"
    )
    trace = tmp_path / "trace"
    fix = [
        sys.executable, "-m", "inhouse", "fix", "--repo", str(repository), "--model", str(tiny), "--json",
        "--test", "python3 -m unittest", "--attempts", "2", "totals are one too high",
    ]  # fmt: skip
    script = 'cat /proc/net/dev >&2; exec strace -f -qq -e trace=socket,connect,sendto,sendmsg,bind -o "$0" "$@"'
    namespace = ["unshare", "--net"] if os.getuid() == 0 else ["unshare", "--net", "--map-current-user"]
    done = subprocess.run(
        [*namespace, "sh", "-c", script, str(trace), *fix],
        env={**environment, "PYTHONPATH": str(hook)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert re.findall(r"^\s*(\w+):", done.stderr, re.MULTILINE)[:1] == ["lo"]
    result = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, result["status"], result["attempts"]) == (3, "no_patch", 2), done.stderr
    calls = trace.read_text().splitlines()
    families = {match[1] for line in calls if (match := re.search(r"\bsocket\((AF_\w+)", line))}
    # bubblewrap's own: by netlink it switches on each sandbox's loopback, whose number it asks for over an unnamed
    # UNIX socket. They show that the trace sees everything.
    assert families == {"AF_NETLINK", "AF_UNIX"}
    # A version manager's shim is a shell script, and shells look their user up in the C library's cache of names.
    named = [line for line in calls if "connect(" in line and "AF_UNIX" in line]
    assert all('sun_path="/var/run/nscd/socket"' in line for line in named)
    streams = [line for line in calls if "socket(AF_UNIX, SOCK_STREAM" in line]
    assert len(streams) <= len(named)
    reaching = [line for line in calls if re.search(r"\b(connect|bind|sendto|sendmsg)\(", line)]
    assert [line for line in reaching if "AF_NETLINK" not in line and line not in named] == []
    assert started.exists()
    assert not opened.exists()
