"""Test commands that tell nothing of the program: each is explained, with what to do next, and no model is asked."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from shop import Repository

from inhouse.errors import BaselineError
from inhouse.repair.events import Diagnosed

TEST = "def test_one():\n    assert True\n"
PYTEST = "python3 -m pytest -q"


@dataclass(frozen=True)
class Broken:
    """A repository and a command; `kind` is the diagnosis, `says` and `next` are words of its two sentences."""

    files: dict[str, str]
    test: str
    kind: str
    says: str
    next: str
    needs: str = ""
    options: dict[str, object] = field(default_factory=dict)


BROKEN = {
    "command not found": Broken({}, "nonsense-command -a", "command_not_found", "nonsense-command is not", "install"),
    "a script's program not found": Broken(
        {"run.sh": "set -e\ngulp test\n"}, "sh run.sh", "command_not_found", "gulp is not found", "install gulp"
    ),
    "not executable": Broken({"run.sh": "true\n"}, "./run.sh", "permission", "may not be executed", "chmod +x"),
    "no such module of the command": Broken(
        {"nothing.py": ""}, "python3 -m nothing_here", "module_not_found", "no module named nothing_here", "pip install"
    ),
    "an interpreter without pytest": Broken(
        {"tests/test_a.py": TEST},
        ".venv/bin/python -m pytest", "module_not_found", "no module named pytest", "pip install",
    ),
    "a test file that is not there": Broken(
        {"tests/test_a.py": TEST}, f"{PYTEST} tests/test_b.py", "usage", "there is no", "files that are there"
    ),
    "an option of a plugin that is missing": Broken(
        {"tests/test_a.py": TEST, "pytest.ini": "[pytest]\naddopts = --disable-socket\n"},
        PYTEST, "plugin_missing", "--disable-socket", "install pytest-socket",
    ),
    "an option that nobody has": Broken(
        {"tests/test_a.py": TEST}, f"{PYTEST} --no-such-option", "usage", "--no-such-option", "leave it out"
    ),
    "a plugin that cannot be imported": Broken(
        {"tests/test_a.py": TEST, "pytest.ini": "[pytest]\naddopts = -p no_such_plugin\n"},
        PYTEST, "plugin_missing", "no_such_plugin", "install no_such_plugin",
    ),
    "a conftest that needs a missing module": Broken(
        {"tests/test_a.py": TEST, "tests/conftest.py": "import no_such_library\n"},
        PYTEST, "conftest", "tests/conftest.py cannot be imported", "install no_such_library",
    ),
    "a conftest with a syntax error": Broken(
        {"tests/test_a.py": TEST, "conftest.py": "def broken(:\n"},
        PYTEST, "conftest", "SyntaxError", "put conftest.py right",
    ),
    "no tests": Broken({"tests/test_a.py": "x = 1\n"}, PYTEST, "no_tests", "ran no tests", "--test"),
    "no tests of unittest": Broken({"a.py": "x = 1\n"}, "python3 -m unittest", "no_tests", "ran no tests", "--test"),
    "out of time": Broken(
        {}, "sleep 600", "timeout", "was stopped after 2 s", "--test-timeout", options={"test_timeout": 2.0}
    ),
    "out of memory": Broken(
        {}, "python3 -c 'bytearray(9 << 30)'", "memory", "more memory", "fewer tests"
    ),
    "killed": Broken({}, "sh -c 'kill -9 $$'", "memory", "more memory", "fewer tests"),
    "a file system that is read-only": Broken({}, "sh -c 'echo x > /usr/x'", "read_only", "outside of", "$TMPDIR"),
    "no network": Broken(
        {}, "python3 -c 'import socket; socket.getaddrinfo(\"example.com\", 80)'",
        "network", "needs the network", "--test",
    ),
    "another Python": Broken(
        {"check.py": "raise SystemExit(\"shop requires Python '>=3.99' but the running Python is older\")\n"},
        "python3 check.py", "python_version", "needs Python 3.99 or newer", "environment with that Python",
    ),
    "node_modules not installed": Broken(
        {"package.json": '{"scripts": {"test": "jest"}}', "a.test.js": "test('a', () => {})\n"},
        "npm test --silent", "dependencies", "node_modules is not installed", "npm ci", "npm",
    ),
    "a package that is required and not installed": Broken(
        {"package.json": '{"scripts": {"test": "node a.js"}}', "a.js": "require('left-pad')\n"},
        "npm test --silent", "dependencies", "left-pad", "npm ci", "npm",
    ),
    "no script of npm": Broken({"package.json": "{}"}, "npm test", "no_rule", "no script test", "--test", "npm"),
    "no rule of make": Broken(
        {"Makefile": "all:\n\ttrue\n"}, "make check", "no_rule", "no rule to make check", "--test", "make"
    ),
    "a module of Go that is not on the machine": Broken(
        {
            "go.mod": "module example.com/a\n\ngo 1.18\n",
            "a_test.go": 'package a\n\nimport _ "example.com/missing/b"\n',
        },
        "go test ./...", "dependencies", "a dependency is not on this machine", "go mod download", "go",
    ),
    "a fixture that all tests need": Broken(
        {"tests/test_a.py": "def test_speed(no_such_fixture):\n    pass\n"},
        PYTEST, "fixture", "fixture 'no_such_fixture' not found", "install the plugin",
    ),
    "a library that all tests need": Broken(
        {"tests/test_a.py": f"import no_such_library\n\n\n{TEST}"},
        PYTEST, "dependencies", "needs the module no_such_library", "install it",
    ),
    "a marker that is not declared": Broken(
        {
            "tests/test_a.py": f"import pytest\n\n\n@pytest.mark.slow\n{TEST}",
            "pytest.ini": "[pytest]\naddopts = --strict-markers\n",
        },
        PYTEST, "usage", "marker", "declare it",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_baseline_that_tells_nothing_is_explained(tmp_path: Path, name: str) -> None:
    broken = BROKEN[name]
    if shutil.which("bwrap") is None or (broken.needs and shutil.which(broken.needs) is None):
        pytest.skip(f"{broken.needs or 'bubblewrap'} is not installed")
    repository = Repository(tmp_path / "repository")
    repository.write("readme.txt", "\n")
    for path, text in broken.files.items():
        repository.write(path, text)
    if broken.test.startswith(".venv/"):
        repository.write(".gitignore", ".venv/\n")
        command = [sys.executable, "-m", "venv", "--without-pip", str(repository.root / ".venv")]
        subprocess.run(command, check=True)
    repository.git("init", "--quiet")
    repository.git("add", ".")
    repository.git("commit", "--quiet", "-m", "first")
    started = time.monotonic()
    with pytest.raises(BaselineError) as raised:
        repository.fix([], test=broken.test, attempts=5, **broken.options)
    assert time.monotonic() - started < 120  # on a machine that has much else to do
    (told,) = [event for event in repository.events if isinstance(event, Diagnosed)]
    assert (told.kind, raised.value.kind) == (broken.kind, broken.kind)
    assert broken.says in told.reason
    assert broken.next in told.next_step
    assert told.evidence or not broken.files
    assert f"{told.reason}; {told.next_step}" == str(raised.value)
    assert "\n" not in str(raised.value)
    assert repository.requests == []
