"""What `inhouse doctor` tells of a machine, also of one that refuses namespaces, or Landlock as well."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import refusing
from command_line import Inhouse
from confined import needs_sandbox

from inhouse.workspace.confinement.launcher import landlock_abi

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="system-call filters are Linux's")


def doctor(environment: dict[str, str], *refused: str, json_wanted: bool = True) -> subprocess.CompletedProcess[str]:
    wrapper = [sys.executable, refusing.__file__, *refused, "--"] if refused else []
    command = [*wrapper, sys.executable, "-m", "inhouse", "doctor", *(["--json"] if json_wanted else [])]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def told(environment: dict[str, str], *refused: str) -> tuple[int, dict[str, Any]]:
    done = doctor(environment, *refused)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@needs_sandbox
def test_a_machine_that_can_confine_commands(environment: dict[str, str]) -> None:
    code, facts = told(environment)
    assert code == 0
    confinement = facts["confinement"]
    assert confinement["in_use"] == next(kind["name"] for kind in confinement["tried"] if kind["works"])
    assert {"network", "writing outside the workspace", "reading your home directory"} <= {
        one["subject"] for one in confinement["holds"]
    }
    assert confinement["landlock"] == landlock_abi()
    assert facts["processor"]["instruction_set"] in ("scalar", "avx2", "avxvnni", "avx512", "neon")
    assert facts["memory"]["bytes"] > 1 << 28
    assert facts["versions"]["inhouse"]


@needs_linux
@pytest.mark.skipif(landlock_abi() == 0, reason="the kernel has no Landlock")
def test_refused_namespaces_leave_landlock(environment: dict[str, str]) -> None:
    code, facts = told(environment, "namespaces")
    confinement = facts["confinement"]
    assert (code, confinement["in_use"]) == (0, "Landlock")
    problems = [kind["problem"] for kind in confinement["tried"] if kind["name"].startswith("bubblewrap")]
    assert all("namespace" in problem or "not permitted" in problem for problem in problems)
    assert ("network", "yes") in [(one["subject"], one["held"]) for one in confinement["holds"]]


@needs_linux
def test_a_machine_that_can_confine_nothing(environment: dict[str, str]) -> None:
    code, facts = told(environment, "namespaces", "landlock")
    assert (code, facts["confinement"]["in_use"], facts["confinement"]["holds"]) == (1, None, [])
    shown = doctor(environment, "namespaces", "landlock", json_wanted=False)
    assert shown.returncode == 1
    assert "Commands are confined by: NOTHING" in shown.stdout
    assert "Landlock  " in shown.stdout


def test_it_tells_nothing_of_the_user(inhouse: Inhouse, environment: dict[str, str], tmp_path: Path) -> None:
    home = environment["HOME"]
    for arguments in (("doctor",), ("doctor", "--json")):
        said = inhouse(*arguments, API_TOKEN="the-secret", INHOUSE_API_KEY="the-secret").stdout
        assert "the-secret" not in said
        assert home not in said
