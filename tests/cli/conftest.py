"""The command line as a user meets it: processes of its own, in an empty home."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import Inhouse

from inhouse.weights.synthetic import synthesize


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of a machine without network, a home or settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {
        **kept,
        "HOME": str(tmp_path),
        "INHOUSE_HOME": str(tmp_path / "inhouse"),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "TERM": "dumb",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }


@pytest.fixture
def inhouse(environment: dict[str, str]) -> Inhouse:
    """Runs `python -m inhouse ARGUMENTS` with `input` on stdin."""

    def run(*args: object, input: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "inhouse", *map(str, args)]
        return subprocess.run(
            command, input=input, env={**environment, **variables}, capture_output=True, text=True, timeout=120
        )

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with experts and recurrent layers, in GGUF."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    synthesize("tiny-qwen35moe", path, layers=4)
    return path
