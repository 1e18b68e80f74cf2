"""Time is up while the tests of a right patch run: they are finished where that takes little, or it is shown so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shop import OURS

from inhouse.repair import harness as harnesses
from inhouse.repair.harness import Harness, is_better, is_repaired, is_unfinished, open_harness, repaired_tests
from inhouse.workspace.checkout import Checkout

WRONG, RIGHT = "def double(x):\n    return x + x + 1\n", "def double(x):\n    return x + x\n"
TESTS = "import time\n\nimport m\n\n\ndef test_double():\n    assert m.double(2) == 4\n" + "".join(
    f"\n\ndef test_slow_{n}():\n    time.sleep(0.4)\n" for n in range(6)
)


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    (tmp_path / "m.py").write_text(WRONG)
    (tmp_path / "test_m.py").write_text(TESTS)
    with Checkout(tmp_path) as checkout:
        yield open_harness(checkout, None, sandboxed=False, user=OURS, timeout=60)


def test_a_patch_that_needs_a_little_longer_gets_it(harness: Harness) -> None:
    before = harness.run(harness.command, time.monotonic() + 60)
    after = harness.test({"m.py": RIGHT}, before, time.monotonic() + 1.5)
    assert is_repaired(after, before)


def test_what_cannot_be_finished_is_told_from_what_fails(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    before = harness.run(harness.command, time.monotonic() + 60)
    monkeypatch.setattr(harnesses, "_LONGER", 0.0)
    after = harness.test({"m.py": RIGHT}, before, time.monotonic() + 2.4)
    assert not is_repaired(after, before)
    assert not is_better(after, before)
    assert is_unfinished(after, before)
    assert repaired_tests(after, before) == {"test_m.py::test_double"}
    other = harness.test({"m.py": WRONG.replace("1", "2")}, before, time.monotonic() + 2.4)
    assert not is_unfinished(other, before)
