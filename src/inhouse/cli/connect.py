"""`inhouse connect`: other tools' configuration for a server of ours. Knows their files' formats, starts nothing."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from inhouse.cli.common import Subparsers, command, positive, print_json, store
from inhouse.errors import ParameterError
from inhouse.weights.atomic import replacing
from inhouse.workspace.lines import lines_of


@dataclass(frozen=True)
class Target:
    """The server that a tool is to use; `context` in tokens."""

    url: str
    model: str
    key: str
    context: int

    @property
    def output(self) -> int:
        """The most tokens of an answer that a tool should ask for, so that prompts have room."""
        return min(8192, self.context // 4)

    @property
    def openai(self) -> str:
        return f"{self.url}/v1"


@dataclass(frozen=True)
class Tool:
    """`file`: where its configuration lies, "" for none that could be written; `merge` makes the new text of the old.

    `note` says what else there is to do.
    """

    title: str
    file: str
    merge: Callable[[str, Target], str]
    note: str


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "connect",
        "Print another tool's configuration for `inhouse serve`, or write it, keeping what is there and a backup.",
        "inhouse connect aider\n"
        "inhouse connect opencode --write\n"
        "inhouse connect claude-code --url https://box.example:8080 --key ih-...",
    )
    parser.add_argument("tool", metavar="TOOL", choices=TOOLS, help=", ".join(TOOLS))
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="where the server is (default: %(default)s)")
    parser.add_argument("--model", metavar="NAME", help="the served model's name (default: the only one here)")
    parser.add_argument("--key", default="none", help="an API key, where the server wants one")
    parser.add_argument("--context", type=positive, default=32768, metavar="N", help="tokens (default: %(default)s)")
    parser.add_argument("--write", action="store_true", help="write the tool's file; a backup stays beside it")
    parser.add_argument("--json", action="store_true", help="write JSON")


def run(args: argparse.Namespace) -> int:
    tool = TOOLS[args.tool]
    url = args.url.rstrip("/").removesuffix("/v1")
    if not re.fullmatch(r"https?://[^\s\"'/]+(/[^\s\"']*)?", url):
        raise ParameterError(f"--url {args.url!r} is no address: give one like http://127.0.0.1:8080")
    if re.search(r"[\s\"'\\]", args.key):
        raise ParameterError("--key has blanks or quotes in it: copy the key anew")
    target = Target(url, args.model or _only_model(), args.key, args.context)
    path = Path(tool.file).expanduser() if tool.file else None
    backup = None
    if args.write:
        if path is None:
            raise ParameterError(f"{tool.title} keeps its settings in no file to be written: run without --write")
        backup = _write(path, lambda old: tool.merge(old, target))
    text = tool.merge("", target)
    if args.json:
        print_json({"tool": args.tool, "file": str(path) if path else None, "configuration": text,
                    "note": tool.note, "written": args.write, "backup": str(backup) if backup else None})  # fmt: skip
    elif args.write:
        print(f"wrote {path}" + (f"; as it was before: {backup}" if backup else ""))
        print(tool.note)
    else:
        print(f"# {tool.title}: {path or 'on the command line'}\n{text}\n# {tool.note}")
    return 0


def _only_model() -> str:
    names = [model.name for model in store().list()]
    if len(names) != 1:
        raise ParameterError(f"which model? Give --model NAME{' of ' + ', '.join(names) if names else ''}")
    return names[0]


def _write(path: Path, change: Callable[[str], str]) -> Path | None:
    """Changes a file as a whole or not at all; the path of the backup, if there was something to keep."""
    path = path.resolve()  # a link to where somebody keeps their settings stays one
    old = path.read_text() if path.exists() else None
    new = change(old or "")
    if new == old:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    backup = None
    if old is not None:
        number = 1
        while path.with_name(f"{path.name}.backup-{number}").exists():
            number += 1
        backup = path.with_name(f"{path.name}.backup-{number}")
        shutil.copy2(path, backup)
    with replacing(path, 0o600) as file:  # it may hold a key: for nobody else, unless it was open to others before
        if old is not None:
            os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        file.write(new.encode())
    return backup


# --- formats


def _json(ours: Callable[[Target], dict[str, Any]]) -> Callable[[str, Target], str]:
    """Merges into a JSON file: objects key by key, everything else is replaced."""

    def merge(old: str, target: Target) -> str:
        try:
            there = json.loads(old) if old.strip() else {}
        except ValueError as error:
            raise ParameterError(
                f"the configuration that is there has comments or is no JSON ({error}): add the printed one by hand"
            ) from error
        if not isinstance(there, dict):
            raise ParameterError("the configuration that is there is no JSON object: add the printed one by hand")
        return json.dumps(_merged(there, ours(target)), indent=2, ensure_ascii=False) + "\n"

    return merge


def _merged(old: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    out = dict(old)
    for key, value in new.items():
        there = out.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            out[key] = _merged(there, value)
        elif isinstance(value, list) and isinstance(there, list):
            known = {_identity(entry) for entry in value}
            out[key] = [*(entry for entry in there if _identity(entry) not in known), *value]
        else:
            out[key] = value
    return out


def _identity(entry: Any) -> Any:
    """What makes two entries of a list the same entry."""
    return (entry.get("id"), entry.get("name"), entry.get("baseUrl")) if isinstance(entry, dict) else repr(entry)


def _lines(separator: str, ours: Callable[[Target], Mapping[str, str]]) -> Callable[[str, Target], str]:
    """Merges into a file of one setting a line, as flat YAML and .env are."""

    def merge(old: str, target: Target) -> str:
        settings = ours(target)
        names = "|".join(map(re.escape, settings))
        kept = [line for line in lines_of(old) if not re.match(rf"(?:export\s+)?(?:{names})\s*{separator}", line)]
        return "\n".join([*kept, *(f"{name}{separator}{value}" for name, value in settings.items())]) + "\n"

    return merge


def _continue(old: str, target: Target) -> str:
    """Merges a model into Continue's YAML: the file's other lines stay as they are, comments too."""
    entry = ["- name: Inhouse", "  provider: openai", f"  model: {json.dumps(target.model)}",
             f"  apiBase: {json.dumps(target.openai)}", f"  apiKey: {json.dumps(target.key)}", "  roles:",
             *(f"    - {role}" for role in ("chat", "edit", "apply", "autocomplete")),
             "  capabilities:", "    - tool_use",
             "  defaultCompletionOptions:", f"    contextLength: {target.context}",
             f"    maxTokens: {target.output}"]  # fmt: skip
    if not old.strip():
        head = ["name: Inhouse", "version: 1.0.0", "schema: v1", "models:"]
        return "\n".join([*head, *(f"  {line}" for line in entry)]) + "\n"
    lines = lines_of(old)
    at = next((i for i, line in enumerate(lines) if re.match(r"models:\s*(\[\s*\]\s*)?(#.*)?$", line)), None)
    if at is None:
        if any(line.startswith("models:") for line in lines):
            raise ParameterError("the models in Continue's file stand on one line: add the printed one by hand")
        return "\n".join([*lines, "models:", *(f"  {line}" for line in entry)]) + "\n"
    lines[at] = "models:"
    first = next((line for line in lines[at + 1 :] if line.strip() and not line.lstrip().startswith("#")), "")
    listed = re.match(r"\s*(?=- )", first)
    indent = listed[0] if listed else "  "
    rest = _without_ours(lines[at + 1 :], indent)
    return "\n".join([*lines[: at + 1], *(indent + line for line in entry), *rest]) + "\n"


def _without_ours(lines: list[str], indent: str) -> list[str]:
    """Lines of a list of models without our own entry."""
    start = next((i for i, line in enumerate(lines) if line == f"{indent}- name: Inhouse"), None)
    if start is None:
        return lines
    end = start + 1
    while end < len(lines) and (lines[end].startswith(f"{indent}  ") or not lines[end].strip()):
        end += 1
    return lines[:start] + lines[end:]


# --- tools


def _aider(target: Target) -> dict[str, str]:
    values = {"model": f"openai/{target.model}", "weak-model": f"openai/{target.model}",
              "openai-api-base": target.openai, "openai-api-key": target.key}  # fmt: skip
    history = {"max-chat-history-tokens": f" {target.context // 4}"}  # beyond which aider sums up what was said
    quoted = {name: f" {json.dumps(value)}" for name, value in values.items()}
    return quoted | history | {"show-model-warnings": " false"}


def _autogpt(target: Target) -> dict[str, str]:
    return {"OPENAI_API_KEY": target.key, "OPENAI_API_BASE_URL": target.openai, "SMART_LLM": target.model,
            "FAST_LLM": target.model, "TELEMETRY_OPT_IN": "false"}  # fmt: skip


def _qwen_code(target: Target) -> dict[str, Any]:
    model = {"id": target.model, "name": f"{target.model} (Inhouse)", "baseUrl": target.openai,
             "envKey": "INHOUSE_API_KEY",
             "generationConfig": {"contextWindowSize": target.context, "timeout": 600000}}  # fmt: skip
    return {
        "modelProviders": {"openai": [model]},
        "env": {"INHOUSE_API_KEY": target.key},
        "security": {"auth": {"selectedType": "openai"}},
        "model": {"name": target.model},
    }


def _opencode(target: Target) -> dict[str, Any]:
    limit = {"context": target.context, "output": target.output}
    model = {"name": f"{target.model} (Inhouse)", "limit": limit}
    return {
        "$schema": "https://opencode.ai/config.json",
        "provider": {
            "inhouse": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Inhouse",
                "options": {"baseURL": target.openai, "apiKey": target.key},
                "models": {target.model: model},
            }
        },
        "model": f"inhouse/{target.model}",
    }


def _zed(target: Target) -> dict[str, Any]:
    model = {"name": target.model, "display_name": f"{target.model} (Inhouse)", "max_tokens": target.context,
             "max_output_tokens": target.output,
             "capabilities": {"tools": True, "images": False, "parallel_tool_calls": True,
                              "prompt_cache_key": False}}  # fmt: skip
    return {
        "language_models": {"openai_compatible": {"Inhouse": {"api_url": target.openai, "available_models": [model]}}},
        "agent": {"default_model": {"provider": "Inhouse", "model": target.model}},
    }


def _claude_code(target: Target) -> dict[str, Any]:
    models = ("ANTHROPIC_MODEL", "ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL",
              "ANTHROPIC_DEFAULT_HAIKU_MODEL")  # fmt: skip
    return {
        "env": {
            "ANTHROPIC_BASE_URL": target.url,
            "ANTHROPIC_AUTH_TOKEN": target.key,
            **dict.fromkeys(models, target.model),
            "API_TIMEOUT_MS": "600000",
            "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(target.context),
            "CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(target.output),
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }
    }


def _codex(old: str, target: Target) -> str:
    """Merges into Codex's TOML: our keys before the first table, our provider behind all others."""
    ours = {"model": json.dumps(target.model), "model_provider": '"inhouse"',
            "model_context_window": str(target.context), "model_max_output_tokens": str(target.output)}  # fmt: skip
    provider = ["[model_providers.inhouse]", 'name = "Inhouse"', f"base_url = {json.dumps(target.openai)}",
                'wire_api = "responses"']  # fmt: skip
    if target.key != "none":
        provider.append(f"http_headers = {{ Authorization = {json.dumps('Bearer ' + target.key)} }}")
    kept: list[str] = []
    table = ""
    for line in lines_of(old):
        table = line.strip() if line.lstrip().startswith("[") else table
        mine = table == provider[0] or (not table and re.match(rf"(?:{'|'.join(ours)})\s*=", line))
        if not mine:
            kept.append(line)
    text = "\n".join([*(f"{name} = {value}" for name, value in ours.items()), *kept, "", *provider]) + "\n"
    text = re.sub(r"\n{3,}", "\n\n", text)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ParameterError(
            f"the configuration that is there is no TOML ({error}): add the printed one by hand"
        ) from error
    return text


def _cline(old: str, target: Target) -> str:
    return f"cline auth --provider openai --apikey {target.key} --modelid '{target.model}' --baseurl {target.openai}\n"


TOOLS: Mapping[str, Tool] = MappingProxyType(
    {
        "aider": Tool("aider", "~/.aider.conf.yml", _lines(":", _aider), "Then run: aider"),
        "qwen-code": Tool("Qwen Code", "~/.qwen/settings.json", _json(_qwen_code), "Then run: qwen"),
        "opencode": Tool("opencode", "~/.config/opencode/opencode.json", _json(_opencode), "Then run: opencode"),
        "cline": Tool(
            "Cline",
            "",
            _cline,
            "In the editor: Settings, API Provider OpenAI Compatible, with this base URL, key and model ID",
        ),
        "continue": Tool("Continue", "~/.continue/config.yaml", _continue, "Continue reads the file when it is saved"),
        "zed": Tool(
            "Zed",
            "~/.config/zed/settings.json",
            _json(_zed),
            "Zed takes the key from the environment: start it with INHOUSE_API_KEY set, to anything if none is wanted",
        ),
        "claude-code": Tool("Claude Code", "~/.claude/settings.json", _json(_claude_code), "Then run: claude"),
        "codex": Tool("Codex", "~/.codex/config.toml", _codex, "Then run: codex"),
        "autogpt": Tool("AutoGPT", ".env", _lines("=", _autogpt), "AutoGPT classic, in the folder with this .env"),
    }
)
