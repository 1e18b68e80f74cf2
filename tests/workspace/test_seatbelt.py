"""The text of the macOS profile. What it does can only be tried on macOS."""

from __future__ import annotations

import re
from pathlib import Path

from inhouse.workspace import Limits
from inhouse.workspace.confinement.protected import NAMES
from inhouse.workspace.confinement.seatbelt import command, profile

ROOT = Path('/Users/me/my "quoted" work')
TEXT = profile(ROOT, readable=[Path("/opt/python")], home=Path("/Users/me"), writable=True)


def test_denies_first_and_balances() -> None:
    assert TEXT.startswith("(version 1)\n(deny default)\n")
    assert "(deny network*)" in TEXT
    assert "allow network" not in TEXT
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', "", TEXT)
    assert bare.count("(") == bare.count(")")


def test_later_rules_win_where_they_must() -> None:
    workspace = r'(subpath "/Users/me/my \"quoted\" work")'
    home = TEXT.index('(deny file-read* (subpath "/Users/me"))')
    assert home < TEXT.index(f"(allow file-read* {workspace})")
    assert home < TEXT.index('(allow file-read* (subpath "/opt/python"))')
    write = TEXT.index(f"(allow file-write* {workspace})")
    for name in NAMES:
        assert write < TEXT.index(rf'(deny file-write* (subpath "/Users/me/my \"quoted\" work/{name}"))')


def test_planted_repositories_at_any_depth() -> None:
    patterns = [re.compile(p.replace('\\"', '"')) for p in re.findall(r'\(regex #"(.*)"\)\)', TEXT)]
    assert len(patterns) == 2

    def denied(path: str) -> bool:
        return any(pattern.search(f"{ROOT}/{path}") for pattern in patterns)

    assert all(map(denied, ("a/b/.git", "a/.git/config", "a/hooks/pre-commit", "x.git/config")))
    assert not any(map(denied, ("a/b.py", "a/.github/x", "a/config", "git/config")))


def test_read_only() -> None:
    text = profile(ROOT, readable=[], home=Path("/Users/me"), writable=False)
    assert text.count("(allow file-write*") == 1  # /dev/null and its like


def test_command_has_a_private_folder_and_limits() -> None:
    argv = command("/usr/bin/sandbox-exec", TEXT, ["echo", "a b"], Limits(processes=9), ROOT)
    assert argv[:2] == ["/bin/sh", "-c"]
    assert argv[-2:] == ["echo", "a b"]
    assert "ulimit -u 9" in argv[2]
    assert 'HOME="$scratch/home"' in argv[2]
