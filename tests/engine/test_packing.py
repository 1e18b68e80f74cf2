"""Packing on first use: once, found again, the same answers, and never in the way."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inhouse.engine import LLM
from inhouse.engine.packing import convert, packed_or_not
from inhouse.errors import ParameterError
from inhouse.store.packed import PackedCopies
from inhouse.weights.checkpoint import open_checkpoint
from inhouse.weights.synthetic import synthesize

IDS = [int(id) for id in np.random.default_rng(3).integers(0, 1024, 40)]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    synthesize("tiny-qwen35moe", path, layers=4, mix="Q4_K_M")
    return path


@pytest.fixture
def copies(tmp_path: Path) -> PackedCopies:
    return PackedCopies(tmp_path / "packed")


@pytest.mark.parametrize("mix", ["Q4_K_M", "Q4_0", "Q5_1", "Q6_K", "Q8_0", "IQ4_NL"])
@pytest.mark.parametrize("name", ["tiny-qwen2", "tiny-qwen35moe"])
def test_answers_as_the_unpacked_model_does(tmp_path: Path, copies: PackedCopies, name: str, mix: str) -> None:
    """Logits differ by no more than those of the same weights summed in another order."""
    path = tmp_path / "model.gguf"
    synthesize(name, path, layers=4, mix=mix)
    with LLM(path, pack=False, threads=1) as plain, LLM(path, packed_root=copies.root, threads=1) as packed:
        assert copies.find(path) is not None
        wanted, got = plain.logits(IDS), packed.logits(IDS)
    # Rounding an activation up instead of down is the largest difference that an order of sums can make.
    assert np.sqrt(np.mean((got - wanted) ** 2)) < 0.05 * wanted.std()


def test_packs_once(model: Path, copies: PackedCopies) -> None:
    calls: list[tuple[int, int]] = []
    first = packed_or_not(model, copies, lambda done, total: calls.append((done, total)))
    assert calls
    assert calls[-1][0] <= calls[-1][1]
    calls.clear()
    assert packed_or_not(model, copies, lambda done, total: calls.append((done, total))) == first
    assert calls == []
    assert packed_or_not(first, copies) == first


def test_packs_again_when_the_source_has_changed(model: Path, copies: PackedCopies) -> None:
    first = packed_or_not(model, copies)
    os.utime(model, ns=(1, 1))
    assert copies.find(model) is None
    assert [copy.current for copy in copies.all()] == [False]
    assert packed_or_not(model, copies) == first
    assert [copy.current for copy in copies.all()] == [True]


def test_goes_on_unpacked_where_the_disk_is_full(
    model: Path, copies: PackedCopies, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(PackedCopies, "free", lambda self: 1000)
    with caplog.at_level(logging.WARNING):
        assert packed_or_not(model, copies) == model
    assert "going on without" in caplog.text


def test_goes_on_unpacked_where_nothing_can_be_written(
    model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert packed_or_not(model, PackedCopies(tmp_path / "file" / "packed")) == model
    assert "cannot be packed" in caplog.text


def test_a_killed_packing_leaves_nothing_that_is_found(model: Path, copies: PackedCopies) -> None:
    script = """
import os, signal, sys
from pathlib import Path
from inhouse.engine.packing import packed_or_not
from inhouse.store.packed import PackedCopies
packed_or_not(Path(sys.argv[1]), PackedCopies(Path(sys.argv[2])), lambda *_: os.kill(os.getpid(), signal.SIGKILL))
"""
    process = subprocess.run([sys.executable, "-c", script, str(model), str(copies.root)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert copies.all() == []
    assert list((copies.root / ".partial").rglob("*.tmp"))
    packed_or_not(model, copies)
    assert len(copies.all()) == 1
    assert not list((copies.root / ".partial").rglob("*.tmp"))


def test_removing_a_copy_keeps_the_source(model: Path, copies: PackedCopies) -> None:
    packed = packed_or_not(model, copies)
    assert copies.size(model.parent) == packed.stat().st_size
    copies.remove(model)
    assert copies.all() == []
    assert model.is_file()


def test_converts_to_a_file_of_ones_own(model: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.safetensors"
    convert(model, target)
    with open_checkpoint(target) as opened:
        assert opened.format == "packed"
    with pytest.raises(ParameterError, match="packed already"):
        convert(target, tmp_path / "again.safetensors")
    with pytest.raises(ParameterError, match=r"a \.safetensors file"):
        convert(model, tmp_path / "again.gguf")
