"""A file is what it was or what it is to be, and nothing lies beside it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from inhouse.weights.atomic import replacing


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as file:
        file.write(b"old")

    def broken_off() -> None:
        with replacing(path) as file:
            file.write(b"half of the n")
            file.flush()
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert path.read_bytes() == b"old"
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["file"]


def test_secrets_are_nobody_elses_from_the_first_moment(tmp_path: Path) -> None:
    with replacing(tmp_path / "key", 0o600):
        (temporary,) = tmp_path.iterdir()
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
