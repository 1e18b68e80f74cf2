"""Processes end with us: also where a signal comes in the very moment of their start."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from inhouse.workspace import Unconfined
from inhouse.workspace.git import git
from inhouse.workspace.shell import Shell
from needed import git_program


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[psutil.Process]]:
    """Every process that starts, each followed by a Ctrl-C before its starter gets hold of it."""
    begun: list[psutil.Process] = []

    class Interrupted(subprocess.Popen[Any]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            begun.append(psutil.Process(self.pid))
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    yield begun
    for process in begun:
        if process.is_running():
            process.kill()


def ended(process: psutil.Process) -> bool:
    return not process.is_running()  # not even as a zombie: it has been waited for


def test_a_command_that_has_just_begun_ends(interrupted: list[psutil.Process], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Unconfined(tmp_path).run("sleep 600", timeout=600)
    assert [ended(process) for process in interrupted] == [True]


def test_a_shell_that_has_just_begun_ends(interrupted: list[psutil.Process], tmp_path: Path) -> None:
    shell = Shell(Unconfined(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        shell.run("true", timeout=60)
    assert [ended(process) for process in interrupted] == [True]


def test_git_that_has_just_begun_ends(interrupted: list[psutil.Process], tmp_path: Path) -> None:
    git_program()
    with pytest.raises(KeyboardInterrupt):
        git(tmp_path, "cat-file", "--batch")
    assert [ended(process) for process in interrupted] == [True]


def test_the_handlers_are_those_of_before(interrupted: list[psutil.Process], tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with pytest.raises(KeyboardInterrupt):
        Unconfined(tmp_path).run("true", timeout=60)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
