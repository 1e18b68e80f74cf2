"""`inhouse connect`: what it prints is what the tools' formats ask for, and what it writes keeps what was there."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from inhouse.cli.connect import TOOLS
from inhouse.cli.main import main

BASE = "http://127.0.0.1:8080"


@pytest.fixture(autouse=True)
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and the working directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], tool: str, *options: str) -> str:
    assert main(["connect", tool, "--model", "starter", "--json", *options]) == 0
    return str(json.loads(capsys.readouterr().out)["configuration"])


def dotenv(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))


def test_json_tools(capsys: pytest.CaptureFixture[str]) -> None:
    qwen = json.loads(printed(capsys, "qwen-code"))
    entry = qwen["modelProviders"]["openai"][0]
    assert (entry["id"], entry["baseUrl"]) == ("starter", f"{BASE}/v1")
    assert qwen["env"][entry["envKey"]] == "none"
    assert qwen["security"]["auth"]["selectedType"] == "openai"
    opencode = json.loads(printed(capsys, "opencode", "--context", "16384"))
    assert opencode["model"] == "inhouse/starter"
    assert opencode["provider"]["inhouse"]["options"] == {"baseURL": f"{BASE}/v1", "apiKey": "none"}
    assert opencode["provider"]["inhouse"]["models"]["starter"]["limit"] == {"context": 16384, "output": 4096}
    zed = json.loads(printed(capsys, "zed"))["language_models"]["openai_compatible"]["Inhouse"]
    assert (zed["api_url"], zed["available_models"][0]["name"]) == (f"{BASE}/v1", "starter")
    claude = json.loads(printed(capsys, "claude-code", "--key", "ih-secret"))["env"]
    assert claude["ANTHROPIC_BASE_URL"] == BASE
    assert (claude["ANTHROPIC_AUTH_TOKEN"], claude["ANTHROPIC_MODEL"]) == ("ih-secret", "starter")
    assert (claude["CLAUDE_CODE_MAX_CONTEXT_TOKENS"], claude["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]) == ("32768", "8192")


def test_yaml_tools(capsys: pytest.CaptureFixture[str]) -> None:
    aider = yaml.safe_load(printed(capsys, "aider"))
    assert (aider["model"], aider["openai-api-base"]) == ("openai/starter", f"{BASE}/v1")
    assert aider["max-chat-history-tokens"] == 8192
    config = yaml.safe_load(printed(capsys, "continue"))
    assert {"name", "version", "schema", "models"} <= config.keys()
    assert (config["models"][0]["apiBase"], config["models"][0]["model"]) == (f"{BASE}/v1", "starter")


def test_codex(capsys: pytest.CaptureFixture[str]) -> None:
    plain = tomllib.loads(printed(capsys, "codex", "--context", "16384"))
    assert (plain["model_provider"], plain["model_context_window"], plain["model_max_output_tokens"]) == (
        "inhouse", 16384, 4096,
    )  # fmt: skip
    assert plain["model_providers"]["inhouse"]["wire_api"] == "responses"
    keyed = tomllib.loads(printed(capsys, "codex", "--key", "ih-secret"))
    assert keyed["model_providers"]["inhouse"]["http_headers"] == {"Authorization": "Bearer ih-secret"}


def test_other_tools(capsys: pytest.CaptureFixture[str]) -> None:
    env = dotenv(printed(capsys, "autogpt", "--url", f"{BASE}/v1/"))
    assert (env["OPENAI_API_BASE_URL"], env["SMART_LLM"]) == (f"{BASE}/v1", "starter")
    words = shlex.split(printed(capsys, "cline"))
    assert words[words.index("--baseurl") + 1] == f"{BASE}/v1"
    assert main(["connect", "cline", "--model", "starter", "--write"]) == 1


THERE: dict[str, tuple[str, Any, Any]] = {
    "qwen-code": ('{"ui": {"theme": "x"}, "modelProviders": {"openai": [{"id": "other"}]}}', json.loads,
                  lambda c: c["ui"]["theme"] == "x" and c["modelProviders"]["openai"][0] == {"id": "other"}),
    "opencode": ('{"provider": {"mine": {"name": "m"}}, "theme": "t"}', json.loads,
                 lambda c: c["provider"]["mine"] == {"name": "m"} and c["theme"] == "t"),
    "zed": ('{"vim_mode": true, "language_models": {"ollama": {}}}', json.loads,
            lambda c: c["vim_mode"] and c["language_models"]["ollama"] == {}),
    "claude-code": ('{"env": {"A": "1"}, "permissions": {}}', json.loads,
                    lambda c: c["env"]["A"] == "1" and c["permissions"] == {}),
    "aider": ("# mine\nmodel: gpt\ndark-mode: true\n", yaml.safe_load,
              lambda c: c["dark-mode"] is True and c["model"] == "openai/starter"),
    "continue": ("name: Mine\nversion: 0.1.0\nschema: v1\nmodels:\n  # a model\n  - name: Other\n    provider: ollama\n"
                 "rules:\n  - Be kind\n", yaml.safe_load,
                 lambda c: c["models"][1]["name"] == "Other" and c["rules"] == ["Be kind"] and c["name"] == "Mine"),
    "codex": ('# mine\nmodel = "gpt"\napproval_policy = "never"\n\n'
              '[model_providers.other]\nname = "Other"\nmodel = "x"\n', tomllib.loads,
              lambda c: c["model"] == "starter" and c["approval_policy"] == "never"
              and c["model_providers"]["other"] == {"name": "Other", "model": "x"}
              and c["model_providers"]["inhouse"]["base_url"] == f"{BASE}/v1"),
    "autogpt": ("# mine\nexport FAST_LLM=gpt\nOTHER=1\n", dotenv,
                lambda c: c["OTHER"] == "1" and c["FAST_LLM"] == "starter"),
}  # fmt: skip


@pytest.mark.parametrize("tool", THERE)
def test_writing_keeps_what_was_there(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    before, parse, kept = THERE[tool]
    path = Path(TOOLS[tool].file).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(before)
    path.chmod(0o640)
    write = ["connect", tool, "--model", "starter", "--write", "--json"]
    assert main(write) == 0
    once = path.read_text()
    assert kept(parse(once))
    assert path.stat().st_mode & 0o777 == 0o640
    assert Path(json.loads(capsys.readouterr().out)["backup"]).read_text() == before
    assert main(write) == 0
    assert path.read_text() == once, "the second time changes nothing"
    assert len(list(path.parent.glob(f"{path.name}.backup-*"))) == 1


@pytest.mark.parametrize("tool", THERE)
def test_a_new_file_is_for_its_owner_only(tool: str) -> None:
    path = Path(TOOLS[tool].file).expanduser()
    assert main(["connect", tool, "--model", "starter", "--write"]) == 0
    assert THERE[tool][1](path.read_text())
    assert path.stat().st_mode & 0o077 == 0


def test_what_cannot_be_merged_is_left_alone(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = house / ".config/zed/settings.json"
    path.parent.mkdir(parents=True)
    path.write_text('{\n  // mine\n  "vim_mode": true\n}\n')
    assert main(["connect", "zed", "--model", "starter", "--write"]) == 1
    assert "by hand" in capsys.readouterr().err
    assert path.read_text().startswith("{\n  // mine")
    assert [entry.name for entry in path.parent.iterdir()] == ["settings.json"]


@pytest.mark.parametrize("options", [("--url", "localhost"), ("--key", "a b"), ()])
def test_bad_options(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", "starter"] if options else []
    assert main(["connect", "aider", *model, *options]) == 1
    assert capsys.readouterr().err.count("\n") == 1
