"""`inhouse key`."""

from __future__ import annotations

import json
from pathlib import Path

from command_line import Inhouse


def test_a_key_from_its_making_to_its_end(inhouse: Inhouse, tmp_path: Path) -> None:
    made = inhouse("key", "add", "laptop", "--per-minute", 60)
    secret = made.stdout.strip()
    assert made.returncode == 0
    assert secret.startswith("ih-")
    assert secret not in (tmp_path / "inhouse" / "keys.json").read_text()
    (shown,) = json.loads(inhouse("key", "list", "--json").stdout)
    assert (shown["name"], shown["per_minute"], shown["concurrent"]) == ("laptop", 60, None)
    assert "hash" not in shown
    assert "laptop" in inhouse("key", "list").stdout
    assert inhouse("key", "add", "laptop").returncode == 1
    assert inhouse("key", "revoke", "laptop").returncode == 0
    assert inhouse("key", "list").stdout == ""


def test_says_what_is_missing(inhouse: Inhouse) -> None:
    assert "inhouse key add NAME" in inhouse("key", "add").stderr
    nobody = inhouse("key", "revoke", "nobody")
    assert nobody.returncode == 1
    assert "nobody" in nobody.stderr
