"""Replaying a recorded session: what was read once is not read again, also after a restart and among others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from inhouse.cli.main import main
from inhouse.errors import ParameterError
from inhouse.evals.replay import read_trace, replay
from inhouse.weights.synthetic import synthesize

TURNS = 5


@pytest.fixture(scope="module")
def hybrid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random model with recurrent layers, whose state cannot be trimmed."""
    path = tmp_path_factory.mktemp("model") / "hybrid.gguf"
    synthesize("tiny-qwen35", path)
    return path


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session of an agent: instructions, then questions and results."""
    messages = [{"role": "system", "content": "You repair programs. " * 8}]
    for turn in range(TURNS):
        messages += [
            {"role": "user", "content": f"Result {turn}: " + f"line {turn} of a log " * 12},
            {"role": "assistant", "content": f"Then I look at file {turn}."},
        ]
    path = tmp_path_factory.mktemp("trace") / "session.json"
    path.write_text(json.dumps({"messages": messages}))
    return path


@pytest.mark.parametrize(("restart", "sessions"), [(False, 1), (True, 1), (True, 2)])
def test_nothing_is_read_twice(hybrid: Path, trace: Path, restart: bool, sessions: int) -> None:
    result = replay(hybrid, read_trace(trace), threads=1, restart=restart, sessions=sessions)
    assert len(result.turns) == TURNS * sessions
    assert result.ratio <= 1.02
    for turn in result.turns:
        assert turn.new <= turn.prefilled < turn.prompt or turn.prefilled == turn.prompt == turn.new


def test_the_command_tells_every_turn(
    hybrid: Path, trace: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    packed_root: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("INHOUSE_HOME", str(tmp_path))
    before = sorted(packed_root.iterdir())
    command = ["bench", str(hybrid), "--trace", str(trace), "--turns", "2", "--json"]
    assert main([*command, "--no-pack"]) == 0
    assert not (tmp_path / "packed").exists()
    told = json.loads(capsys.readouterr().out)
    assert [turn["session"] for turn in told["turns"]] == [0, 0]
    assert told["turns"][1]["prompt"] > told["turns"][1]["new"] > 0
    assert main(command) == 0
    assert list((tmp_path / "packed").glob("*/*.safetensors"))
    assert sorted(packed_root.iterdir()) == before  # nowhere else


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"messages": [{"role": "user", "content": "Hi"}]}'])
def test_what_is_no_session_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(ParameterError, match=str(path)):
        read_trace(path)
