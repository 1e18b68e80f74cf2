"""The measurement of speed: who is measured when, what is made of it, and real engines in their processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from inhouse.errors import InhouseError, ParameterError, PeerError
from inhouse.evals import bench as module
from inhouse.evals.bench import Engine, Figures, Measured, Plan, Report, bench, measure
from inhouse.evals.bench_engines import EngineProcess, Kind
from inhouse.weights.synthetic import synthesize

PLAN = Plan(prompts=(16, 32), decode_after=8, decode_tokens=4, repeats=3)


@pytest.fixture(autouse=True)
def without_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REST", 0.0)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "tiny.gguf"
    synthesize("tiny-qwen2", path, layers=2)
    return path


class Lab:
    """Engines whose every measurement takes as long as we say, and what happened to them, in order."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.log: list[str] = []
        self.prompts: dict[str, list[tuple[int, ...]]] = {}
        self.seconds = seconds

    @contextmanager
    def open(self, kind: Kind) -> Iterator[Engine]:
        self.log.append(f"open {kind}")
        yield FakeEngine(kind, self)
        self.log.append(f"close {kind}")


class FakeEngine:
    load_seconds = 0.5

    def __init__(self, kind: Kind, lab: Lab) -> None:
        self.name: str = kind
        self._lab = lab

    def prefill(self, ids: Sequence[int]) -> float:
        self._lab.log.append(f"{self.name} {len(ids)}")
        self._lab.prompts.setdefault(self.name, []).append(tuple(ids))
        return self._lab.seconds

    def decode(self, ids: Sequence[int], count: int) -> float:
        self._lab.log.append(f"{self.name} decode {count} after {len(ids)}")
        return self._lab.seconds

    def peak_memory(self) -> int:
        return 7


def test_engines_take_turns_and_get_the_same_prompts() -> None:
    lab = Lab()
    ours, peer = measure(("inhouse", "llama.cpp"), lab.open, PLAN, 1000, True, lambda *_: None)
    measured = [line for line in lab.log if " 16" in line or " 32" in line or "decode" in line][2:]
    assert measured == 3 * ["inhouse 16", "llama.cpp 16"] + 3 * ["inhouse 32", "llama.cpp 32"] + 3 * [
        "inhouse decode 4 after 8",
        "llama.cpp decode 4 after 8",
    ]
    assert lab.prompts["inhouse"] == lab.prompts["llama.cpp"]
    assert len(set(lab.prompts["inhouse"])) == len(lab.prompts["inhouse"])  # none seen before
    assert all(0 <= id < 1000 for prompt in lab.prompts["inhouse"] for id in prompt)
    assert (ours.engine, peer.engine) == ("inhouse", "llama.cpp")


def test_engines_that_do_not_fit_together_are_never_open_together() -> None:
    lab = Lab()
    figures = measure(("inhouse", "llama.cpp"), lab.open, PLAN, 1000, False, lambda *_: None)
    doors = [line for line in lab.log if line.startswith(("open", "close"))]
    assert doors == ["open inhouse", "close inhouse", "open llama.cpp", "close llama.cpp"]
    assert [len(f.prefill) for f in figures] == [2, 2]


def test_a_slow_engine_is_measured_less_often() -> None:
    lab = Lab(seconds=25.0)
    (figures,) = measure(("inhouse",), lab.open, PLAN, 1000, True, lambda *_: None)
    assert [len(measured.seconds) for measured in (*figures.prefill, figures.decode)] == [2, 2, 2]
    lab = Lab(seconds=100.0)
    (figures,) = measure(("inhouse",), lab.open, PLAN, 1000, True, lambda *_: None)
    assert [len(measured.seconds) for measured in (*figures.prefill, figures.decode)] == [1, 1, 1]


def test_progress_runs_from_nothing_to_nearly_all() -> None:
    seen: list[tuple[int, int]] = []
    kinds: tuple[Kind, ...] = ("inhouse", "llama.cpp")
    for alternating in (True, False):
        seen.clear()
        measure(kinds, Lab().open, PLAN, 1000, alternating, lambda what, done, total: seen.append((done, total)))
        assert seen == sorted(seen)
        assert seen[0] == (0, 8)
        assert seen[-1][0] < 8


def test_rates_shares_and_ratios() -> None:
    ours = Figures("inhouse", 0.1, (Measured(100, (1.0, 9.0, 2.0)),), Measured(10, (1.0,)), 5)
    peer = Figures("llama.cpp", 0.1, (Measured(100, (4.0,)),), Measured(10, (0.5,)), 6)
    report = Report("m.gguf", 2, 1000.0, 40, True, ours, peer)
    assert ours.prefill[0].rate == 50.0
    assert report.bandwidth_share(ours) == pytest.approx(0.4)
    assert report.ratios == {"prefill_100": 2.0, "decode": 0.5}
    out = report.to_json()
    assert [engine["bandwidth_share"] for engine in out["engines"]] == [0.4, 0.8]
    assert out["engines"][0]["prefill"][0]["first_token_seconds"] == 2.0


def test_a_real_model_is_measured(tiny: Path) -> None:
    asked: list[int] = []

    def bandwidth(threads: int) -> float:
        asked.append(threads)
        return 1e9

    report = bench(tiny, plan=PLAN, threads=1, bandwidth=bandwidth)
    assert (asked, report.threads, report.bandwidth, report.peer) == ([1], 1, 1e9, None)
    assert [measured.tokens for measured in report.ours.prefill] == [16, 32]
    assert all(len(m.seconds) == 3 and min(m.seconds) > 0 for m in (*report.ours.prefill, report.ours.decode))
    assert report.ours.peak_memory > 10 << 20
    assert report.bandwidth_share(report.ours) > 0


def test_the_bytes_of_a_token_are_weights_and_the_context_so_far(tiny: Path) -> None:
    near = bench(tiny, plan=Plan((16,), 8, 4, 1), threads=1, bandwidth=lambda threads: 1e9)
    far = bench(tiny, plan=Plan((16,), 108, 4, 1), threads=1, bandwidth=lambda threads: 1e9)
    assert far.bytes_per_token - near.bytes_per_token == 100 * 2 * (2 * 2 * 64) * 2  # layers, k and v, heads, halves


def test_what_cannot_be_measured_is_said_before(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"context of 4096 tokens, 5002 are needed.*--prompts"):
        bench(tiny, plan=Plan(prompts=(5000,)))
    with pytest.raises(ParameterError, match="at least 1"):
        Plan(prompts=(0,))


def test_an_engine_that_cannot_open_the_model_says_why(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    with pytest.raises(InhouseError, match=r"bad\.gguf: "):
        EngineProcess("inhouse", tmp_path / "bad.gguf", 1, 64)


@pytest.mark.parametrize(("kind", "error"), [("inhouse", InhouseError), ("llama.cpp", PeerError)])
def test_an_engine_that_dies_is_an_error_and_not_a_wait(
    kind: Kind, error: type[InhouseError], tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with EngineProcess("inhouse", tiny, 1, 64) as engine:
        monkeypatch.setattr(engine, "_kind", kind)
        pid = engine._process.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(error, match="ended with code -9"):
            engine.prefill([1, 2, 3])


@pytest.mark.model
def test_llama_cpp_is_measured_in_turn(tiny: Path) -> None:
    pytest.importorskip("llama_cpp")
    report = bench(tiny, plan=PLAN, threads=1, peer=True, bandwidth=lambda threads: 1e9)
    assert report.alternating
    assert report.peer is not None
    assert report.peer.engine.startswith("llama.cpp (llama-cpp-python")
    assert set(report.ratios) == {"prefill_16", "prefill_32", "decode"}
    assert all(ratio > 0 for ratio in report.ratios.values())
