"""Starts `inhouse serve` by llama-server's options: FOLDER MODEL OPTION... For llama_cpp_server_tests.py."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from inhouse.weights.gguf import read_gguf
from inhouse.weights.gguf_writer import TensorSource, write_gguf
from inhouse.weights.synthetic import synthesize

# Ours by theirs; those that are not here concern what the tests do not ask of us.
SAME = {"--port": "--port", "--host": "--host", "--ctx-size": "--context", "--threads": "--threads",
        "--chat-template-file": "--chat-template", "--cors-origins": "--allowed-origin"}  # fmt: skip
POOLING = {"mean": 1, "last": 3, "rank": 4}


def main(folder: Path, model: str, given: list[str]) -> None:
    options = dict(zip(given, [*given[1:], ""], strict=True))
    kind = "rank" if "--reranking" in options else options.get("--pooling", "last") if "--embedding" in options else ""
    path = str(_pooled(folder, kind)) if kind in POOLING else model
    name = options.get("--alias", "tinyllama-2")
    command = [sys.executable, "-m", "inhouse", "serve", f"{name}={path}"]
    for theirs, ours in SAME.items():
        if theirs in options:
            command += [ours, options[theirs]]
    environment = {**os.environ}
    if key := options.get("--api-key"):
        environment["INHOUSE_HOME"] = str(_home_with(folder, key))
        command.append("--require-key")
    os.execve(command[0], command, environment)


def _pooled(folder: Path, kind: str) -> Path:
    """A tiny random model that embeds or ranks."""
    path = folder / f"{kind}.gguf"
    if not path.is_file():
        plain = folder / "plain.gguf"
        synthesize("tiny-qwen3", plain)
        file = read_gguf(plain)
        tensors = [file.tensor(name) for name in file.infos]
        sources = [TensorSource(t.name, t.shape, t.format, lambda t=t: (t.data,)) for t in tensors]
        write_gguf(path, {**file.metadata, "qwen3.pooling_type": POOLING[kind]}, sources)
    return path


def _home_with(folder: Path, secret: str) -> Path:
    """Our folder, with the models that are here and an API key of the tests' choosing."""
    home = folder / "home"
    own = Path(os.environ.get("INHOUSE_HOME") or Path.home() / ".local/share/inhouse")
    home.mkdir(exist_ok=True)
    for name in ("models", "packed"):
        if not (home / name).exists():
            (home / name).symlink_to(own / name)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    (home / "keys.json").write_text(json.dumps({"keys": [{"name": "tests", "hash": digest, "created": 0.0}]}))
    return home


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
