"""What is kept on disk outlives the process, however it ends; what is damaged is never used."""

from __future__ import annotations

import errno
import io
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading import Reader
from tiny import recurrent_model

from inhouse.engine.cache import PrefixCache
from inhouse.engine.disk import DiskTier, clear_cache, list_cache
from inhouse.kernels.reference import ReferenceBackend
from inhouse.models import CausalLM

PROMPT = [t * 7 % 60 + 1 for t in range(300)]
TOLERANCE = 5e-3

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_disk import PROMPT, ask, cache_in, recurrent_model, ReferenceBackend
model = recurrent_model(ReferenceBackend())
cache = cache_in(model, Path(sys.argv[2]))
print("ready", flush=True)
for turn in range(1000):
    ask(model, cache, [turn % 60, *PROMPT])
    print(turn, flush=True)
"""


def cache_in(model: CausalLM, folder: Path, identity: str = "model", budget: int = 1 << 30) -> PrefixCache:
    cache = PrefixCache(model.new_layers, 1 << 30)
    cache.attach(DiskTier(folder, identity, budget))
    return cache


def ask(model: CausalLM, cache: PrefixCache, prompt: list[int]) -> int:
    """Reads a prompt, checks its logits, and says how many tokens were known."""
    sequence = cache.acquire(prompt)
    known = len(sequence.ids)
    logits = Reader(model).prefill(sequence, prompt)
    np.testing.assert_allclose(logits, Reader(model).logits(prompt)[-1], atol=TOLERANCE)
    cache.release(sequence)
    return known


def test_a_conversation_goes_on_after_a_restart(model: CausalLM, tmp_path: Path) -> None:
    first = cache_in(model, tmp_path)
    assert ask(model, first, PROMPT) == 0
    first.close()
    second = cache_in(model, tmp_path)
    assert ask(model, second, [*PROMPT, 5, 6]) == len(PROMPT)
    second.close()
    other = cache_in(model, tmp_path, "another model")
    assert ask(model, other, [*PROMPT, 5, 6]) == 0
    other.close()
    assert {entry.identity for entry in list_cache(tmp_path)} == {"model", "another model"}
    assert clear_cache(tmp_path) > 0
    assert list_cache(tmp_path) == []


def test_a_killed_writer_leaves_only_what_is_sound(tmp_path: Path) -> None:
    model = recurrent_model(ReferenceBackend())
    for lines in (2, 5, 9):
        command = [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            for _ in range(lines):
                assert writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        cache = cache_in(model, tmp_path)
        ask(model, cache, [0, *PROMPT])
        assert cache.stats.corrupt == 0  # a file appears whole or not at all
        cache.close()
        assert not list(tmp_path.rglob("*.tmp"))


def test_damaged_files_are_dropped_and_never_used(model: CausalLM, tmp_path: Path) -> None:
    chance = random.Random(0)
    for turn in range(30):
        cache = cache_in(model, tmp_path)
        ask(model, cache, PROMPT)
        cache.close()
        files = sorted(tmp_path.rglob("*.block")) + sorted(tmp_path.rglob("*.states"))
        victim = files[turn % len(files)]
        data = bytearray(victim.read_bytes())
        at = chance.randrange(len(data))
        if turn % 3 == 0:
            del data[at:]
        else:
            data[at] ^= 1 << chance.randrange(8)
        victim.write_bytes(data)
        again = cache_in(model, tmp_path)
        ask(model, again, [*PROMPT, 5, 6])  # compares with a cold run
        again.close()


def test_a_full_disk_is_told_once_and_disturbs_nobody(
    model: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Full(io.BufferedWriter):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cache = cache_in(model, tmp_path)
    with monkeypatch.context() as full:
        full.setattr(os, "fdopen", lambda descriptor, mode: Full(io.FileIO(descriptor, mode)))
        for turn in range(3):
            ask(model, cache, [turn, *PROMPT])
            cache.flush()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert ask(model, cache, [0, *PROMPT, 5]) == len(PROMPT) + 1  # what is in memory is known all the same
    cache.close()
    assert list_cache(tmp_path)  # and there is room again


def test_a_folder_that_became_read_only_does_not_keep_us_from_starting(
    model: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    first = cache_in(model, tmp_path, "another model")
    ask(model, first, PROMPT)
    first.close()
    monkeypatch.setattr(Path, "unlink", refused)
    second = cache_in(model, tmp_path, budget=1)
    assert ask(model, second, PROMPT) == 0
    second.close()


def test_the_disk_keeps_within_its_budget(model: CausalLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def occupied() -> int:
        return sum(entry.nbytes for entry in list_cache(tmp_path))

    cache = cache_in(model, tmp_path)
    ask(model, cache, PROMPT)
    cache.close()
    budget = occupied() * 2
    sizes: list[int] = []
    replace = os.replace

    def replace_and_look(*args: Any, **options: Any) -> None:
        replace(*args, **options)
        sizes.append(occupied())

    monkeypatch.setattr(os, "replace", replace_and_look)
    cache = cache_in(model, tmp_path, budget=budget)
    for turn in range(6):
        ask(model, cache, [turn, *PROMPT])
    cache.close()
    assert len(sizes) > 6
    assert 0 < min(sizes) <= max(sizes) <= budget  # at any time: a process may be killed
    assert 0 < occupied() <= budget
