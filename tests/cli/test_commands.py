"""The commands that look at models and run them, on a tiny random one."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from command_line import Inhouse

from inhouse.cli.common import home
from inhouse.weights.gguf import read_gguf


def _json(inhouse: Inhouse, *args: object) -> Any:
    done = inhouse(*args, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _install(environment: dict[str, str], name: str, model: Path) -> Path:
    target = Path(environment["INHOUSE_HOME"]) / "models" / name / model.name
    target.parent.mkdir(parents=True)
    shutil.copy(model, target)
    return target


def test_models_lists_what_is_here_and_what_is_not(inhouse: Inhouse, environment: dict[str, str], tiny: Path) -> None:
    path = _install(environment, "mine", tiny)
    listed = _json(inhouse, "models")
    assert listed["installed"] == [{"name": "mine", "path": str(path), "bytes": tiny.stat().st_size}]
    starter = listed["available"][0]
    assert (starter["name"], starter["bytes"], starter["license"]) == ("starter", 1_117_320_768, "Apache-2.0")
    text = inhouse("models").stdout
    assert f"  mine  {tiny.stat().st_size / 1e6:.1f} MB  {path}\n" in text
    assert "qwen3.6-35b-a3b" in text


def test_a_model_is_removed_only_if_meant(inhouse: Inhouse, environment: dict[str, str], tiny: Path) -> None:
    path = _install(environment, "mine", tiny)
    asked = inhouse("remove", "mine")
    assert (asked.returncode, path.exists()) == (1, True)
    assert "say --yes" in asked.stderr
    assert inhouse("remove", "mine", "--yes").returncode == 0
    assert not path.parent.exists()


def test_inspect_by_name_and_by_path(inhouse: Inhouse, environment: dict[str, str], tiny: Path) -> None:
    _install(environment, "mine", tiny)
    by_name = _json(inhouse, "inspect", "mine", "--context", 1024)
    by_path = _json(inhouse, "inspect", tiny, "--context", 1024)
    assert {**by_name, "path": ""} == {**by_path, "path": ""}
    assert (by_path["architecture"], by_path["layers"], by_path["format"]) == ("qwen3_5_moe", 4, "gguf")
    assert by_path["parameters"] > by_path["active_parameters"] > 0
    assert sum(by_path["bytes_by_format"].values()) == by_path["weight_bytes"] <= tiny.stat().st_size
    longer = _json(inhouse, "inspect", tiny, "--context", 2048)
    assert longer["kv_bytes"] == 2 * by_path["kv_bytes"]
    assert longer["memory_bytes"] - by_path["memory_bytes"] == by_path["kv_bytes"]
    assert "qwen3_5_moe, 4 layers" in inhouse("inspect", tiny).stdout


def test_synth_writes_the_same_model_for_the_same_seed(inhouse: Inhouse, tmp_path: Path) -> None:
    options = ("synth", "--like", "tiny-qwen2", "--layers", 2, "--mix", "Q8_0")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        done = inhouse(*options, "--seed", seed, "-o", tmp_path / name)
        assert done.returncode == 0
        assert "qwen2, 2 layers" in done.stderr
    a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
    assert a == b != c
    assert read_gguf(tmp_path / "a").metadata["general.architecture"] == "qwen2"


def test_generate_is_the_same_in_text_and_in_json(inhouse: Inhouse, tiny: Path) -> None:
    options = ("generate", tiny, "Hello", "--max-tokens", 8, "--temperature", 1, "--seed", 3)
    whole = _json(inhouse, *options)
    assert len(whole["token_ids"]) == whole["usage"]["completion_tokens"] == 8
    assert whole["finish_reason"] == "length"
    assert whole["seconds"] > 0
    assert inhouse(*options).stdout == whole["text"] + "\n"
    assert inhouse(*options, "--stream").stdout == whole["text"] + "\n"
    pieces = [json.loads(line) for line in inhouse(*options, "--json", "--stream").stdout.splitlines()]
    assert "".join(piece.get("text", "") for piece in pieces) == whole["text"]
    assert (pieces[-1]["finish_reason"], pieces[-1]["usage"]) == ("length", whole["usage"])


def test_the_prompt_comes_from_stdin_too(inhouse: Inhouse, tiny: Path) -> None:
    options = ("generate", tiny, "--max-tokens", 4)
    given = inhouse(*options, "Hello")
    assert given.returncode == 0
    assert given.stdout == inhouse(*options, "-", input="Hello").stdout == inhouse(*options, input="Hello").stdout


def test_options_may_stand_anywhere(inhouse: Inhouse, tiny: Path) -> None:
    first = inhouse("generate", "--max-tokens", 4, tiny, "Hello").stdout
    assert first == inhouse("generate", tiny, "--max-tokens", 4, "Hello").stdout


def test_a_prompt_longer_than_the_context_is_one_line(inhouse: Inhouse, tiny: Path) -> None:
    done = inhouse("generate", tiny, "Hello " * 100, "--context", 64)
    assert done.returncode == 1
    assert "do not fit the context of 64" in done.stderr
    assert done.stderr.count("\n") == 1


def test_bench_prints_its_figures(inhouse: Inhouse, tiny: Path) -> None:
    report = _json(inhouse, "bench", tiny, "--prompts", "16,32", "--repeats", 1)
    (ours,) = report["engines"]
    assert [figure["tokens"] for figure in ours["prefill"]] == [16, 32]
    assert all(figure["tokens_per_second"] > 0 for figure in [*ours["prefill"], ours["decode"]])
    assert ours["peak_memory_bytes"] > tiny.stat().st_size / 2
    assert report["read_bandwidth_bytes_per_second"] > 1e8
    assert report["ratios"] == {}


def test_bench_without_the_peer_says_how_to_get_it(inhouse: Inhouse, tiny: Path) -> None:
    hidden = "import sys; sys.modules['llama_cpp'] = None"
    folder = tiny.parent / "hide"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(hidden)
    done = inhouse("bench", tiny, "--prompts", "16", "--repeats", 1, "--vs", "llama.cpp", PYTHONPATH=str(folder))
    assert done.returncode == 1
    assert "pip install 'inhouse[peer]'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"INHOUSE_HOME": "/big/disk"}, Path("/big/disk")),
        ({"INHOUSE_HOME": "", "XDG_DATA_HOME": "/data"}, Path("/data/inhouse")),
        ({"XDG_DATA_HOME": "relative"}, Path.home() / ".local/share/inhouse"),
        ({}, Path.home() / ".local/share/inhouse"),
    ],
)
def test_where_things_are_kept(variables: dict[str, str], expected: Path) -> None:
    assert home(variables) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="network namespaces are Linux's")
def test_nothing_but_pull_opens_a_connection(inhouse: Inhouse, tiny: Path) -> None:
    """With every socket forbidden, everything else works."""
    folder = tiny.parent / "forbid"
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import socket\n"
        "def forbidden(*args, **kwargs): raise AssertionError('a connection was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = forbidden\n"
    )
    for command in (("models",), ("inspect", tiny), ("generate", tiny, "Hello", "--max-tokens", 2)):
        done = inhouse(*command, PYTHONPATH=str(folder))
        assert done.returncode == 0, done.stderr


def test_the_cache_is_shown_and_cleared(inhouse: Inhouse, environment: dict[str, str]) -> None:
    folder = Path(environment["INHOUSE_HOME"]) / "cache" / "model"
    assert _json(inhouse, "cache", "ls")["models"] == []
    folder.mkdir(parents=True)
    (folder / f"{'0' * 32}.block").write_bytes(b"x" * 1000)
    (folder / "mine.txt").write_bytes(b"x")
    listed = _json(inhouse, "cache", "ls")
    assert [(entry["identity"], entry["files"], entry["bytes"]) for entry in listed["models"]] == [("model", 1, 1000)]
    refused = inhouse("cache", "clear")
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    assert _json(inhouse, "cache", "clear", "--yes") == {"freed_bytes": 1000}
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
