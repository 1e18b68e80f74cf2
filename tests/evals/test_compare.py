"""The comparison: who runs when, what a stop leaves, what is made of the numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from inhouse.errors import InhouseError, ParameterError
from inhouse.evals.bench_engines import EngineProcess, Kind
from inhouse.evals.compare import Plan, compare, summarise
from inhouse.evals.compare_report import to_markdown, to_svg
from inhouse.evals.profile import Roofs, profile
from inhouse.weights.synthetic import synthesize

PLAN = Plan(runs=2, prompts=(16, 32), depth=64, after=8, decode_after=8, decode_tokens=4)


class Lab:
    """Engines that answer at once; ours takes one second for everything, the peer four."""

    def __init__(self, fail_at: int = 1000) -> None:
        self.opened: list[Kind] = []
        self.prompts: dict[Kind, list[tuple[int, ...]]] = {"inhouse": [], "llama.cpp": []}
        self._left = fail_at

    @contextmanager
    def open(self, kind: Kind) -> Iterator[FakeEngine]:
        self._left -= 1
        if self._left < 0:
            raise InhouseError("the machine went down")
        self.opened.append(kind)
        yield FakeEngine(kind, self.prompts[kind])


class FakeEngine:
    load_seconds = 0.1

    def __init__(self, kind: Kind, prompts: list[tuple[int, ...]]) -> None:
        self.name: str = kind
        self._seconds = 1.0 if kind == "inhouse" else 4.0
        self._prompts = prompts

    def prefill(self, ids: Sequence[int]) -> float:
        self._prompts.append(tuple(ids))
        return self._seconds

    def prefill_at(self, ids: Sequence[int], depth: int) -> float:
        self._prompts.append((*ids, depth))
        return self._seconds

    def decode(self, ids: Sequence[int], count: int) -> float:
        self._prompts.append((*ids, count))
        return self._seconds

    def peak_memory(self) -> int:
        return 1 << 30


def run(folder: Path, lab: Lab, plan: Plan = PLAN) -> list[dict[str, Any]]:
    files: dict[Kind, Path] = {}
    kinds: tuple[Kind, ...] = ("inhouse", "llama.cpp")
    for kind in kinds:
        files[kind] = folder.parent / f"{kind}.model"
        files[kind].write_bytes(b"weights")
    return compare(
        files, folder, plan, threads=1, vocabulary=1000, memory=0, opener=lab.open, bandwidth=lambda threads: 1e9
    )


def test_engines_alternate_over_the_same_prompts(tmp_path: Path) -> None:
    lab = Lab()
    results = run(tmp_path / "out", lab)
    assert lab.opened == ["inhouse", "llama.cpp", "llama.cpp", "inhouse"]
    assert lab.prompts["inhouse"] == lab.prompts["llama.cpp"]
    assert len(set(lab.prompts["inhouse"])) == len(lab.prompts["inhouse"])
    assert len(results) == 4


def test_goes_on_where_it_stopped(tmp_path: Path) -> None:
    with pytest.raises(InhouseError, match="went down"):
        run(tmp_path / "out", Lab(fail_at=3))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("run-*.json")}
    assert len(kept) == 3
    lab = Lab()
    assert len(run(tmp_path / "out", lab)) == 4
    assert lab.opened == ["inhouse"]
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    more = Lab()
    run(tmp_path / "out", more, Plan(**{**PLAN.__dict__, "runs": 3}))
    assert more.opened == ["inhouse", "llama.cpp"]


def test_refuses_to_mix_plans(tmp_path: Path) -> None:
    run(tmp_path / "out", Lab())
    with pytest.raises(ParameterError, match="choose a new folder"):
        run(tmp_path / "out", Lab(), Plan(**{**PLAN.__dict__, "prompts": (16,)}))


def test_summary_table_and_picture(tmp_path: Path) -> None:
    summary = summarise(run(tmp_path / "out", Lab()), PLAN, bytes_per_token=25_000_000)
    assert summary["ratios"] == {"prefill 16": 4, "prefill 32": 4, "prefill 8 at 64": 4, "decode": 4}
    assert summary["engines"]["inhouse"]["tokens_per_second"]["decode"] == 4
    assert summary["engines"]["inhouse"]["bandwidth_share"] == pytest.approx(0.1)
    json.dumps(summary)
    table = to_markdown(summary, "tiny")
    assert "| prefill 32 | 32.0 tok/s | 8.0 tok/s | 4.00 × |" in table
    picture = ElementTree.fromstring(to_svg(summary, "a < b"))
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert "a < b, tokens per second" in texts
    assert "32.0" in texts


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "tiny.gguf"
    synthesize("tiny-qwen35moe", path, layers=4)
    return path


def test_a_real_engine_reads_at_depth(tiny: Path) -> None:
    ids = list(range(200, 900))
    with EngineProcess("inhouse", tiny, 1, 1024) as engine:
        whole = engine.prefill(ids)
        assert 0 < engine.prefill_at(ids, 512) < 10 * whole


def test_profile_accounts_for_every_op(tiny: Path) -> None:
    report = profile(tiny, prompt=40, decode=4, threads=1, roofs=lambda cpu: Roofs(1e10, 1e11)).to_json()
    prefill, decode = report["phases"]
    assert (prefill["name"], prefill["tokens"]) == ("prefill", 40)
    assert (decode["name"], decode["tokens"]) == ("decode", 4)
    for phase in (prefill, decode):
        assert {"embed", "project", "attention", "gated_delta_net", "moe"} <= phase["ops"].keys()
        assert sum(op["share"] for op in phase["ops"].values()) == pytest.approx(1, abs=0.01)
    assert decode["ops"]["moe"]["calls"] == 4 * 4
