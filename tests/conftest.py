"""Fixtures shared by all rooms."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell's background job inherits an ignored SIGINT and hands it on: no Ctrl-C would ever arrive.
signal.signal(signal.SIGINT, signal.default_int_handler)

STARTER = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"


@pytest.fixture(scope="session", autouse=True)
def packed_root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where models that tests open are packed to: not into the user's own folder."""
    root = tmp_path_factory.mktemp("packed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("inhouse.engine.open.default_copies", lambda: root)
        yield root


@pytest.fixture(scope="session", autouse=True)
def few_plugins() -> Iterator[None]:
    """The tests of little repositories, which tests run, do without the plugins that ours need: they take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Reference data that lies beside a development checkout; tests that need it are skipped elsewhere."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no reference data beside this checkout")
    return folder


@pytest.fixture(scope="session")
def starter() -> Path:
    """The starter model of this user's store (`inhouse pull starter`)."""
    path = Path.home() / ".local/share/inhouse/models/starter" / STARTER
    if not path.is_file():
        pytest.skip("no starter model here: run `inhouse pull starter`")
    return path


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary copies are made during the test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder
