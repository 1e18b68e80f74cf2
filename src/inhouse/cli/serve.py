"""`inhouse serve`: a model for other programs, over HTTP."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import ExitStack
from pathlib import Path

from inhouse.cli.common import Subparsers, add_engine, cache_folder, command, gib, home, model_path, positive, store
from inhouse.cli.opening import open_serving
from inhouse.engine.serving import DISK_BYTES, QUEUE, Options
from inhouse.errors import ModelNotFoundError, ParameterError
from inhouse.server.app import create_app
from inhouse.server.engine import Model
from inhouse.server.keys import KeyFile, KeyRing
from inhouse.server.listen import Server, check_address, check_certificate, configure
from inhouse.server.settings import Settings, is_loopback
from inhouse.weights.checkpoint import open_checkpoint

_SWITCH = 0.0005  # seconds: the engine's thread, in Python for moments only, must not wait long for the server's
_DRAIN = 10.0  # seconds for what is under way when the server has ended


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "serve",
        "Serve models to other programs: OpenAI's, Anthropic's and Ollama's APIs on this machine. Without MODEL, the "
        "one that is here. Other machines may call only with an API key (inhouse key add).",
        "inhouse serve\n"
        "inhouse serve starter --port 8080\n"
        "inhouse serve starter embedding=qwen3-embedding-0.6b-q8_0.gguf\n"
        "inhouse serve starter --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem",
    )
    parser.add_argument(
        "models",
        metavar="[NAME=]MODEL",
        nargs="*",
        help="a name, a .gguf file or a Hugging Face directory; NAME is what clients call it",
    )
    parser.add_argument(
        "--name", metavar="NAME", help="what clients call the first model (default: as it is called here)"
    )
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", metavar="N", type=int, default=8080, help="0: any free one (default: 8080)")
    add_engine(parser)
    parser.add_argument(
        "--sampling",
        choices=("auto", "thinking", "coding", "instruct"),
        default="auto",
        help="which of the model card's recommendations apply where a client says nothing (default: auto)",
    )
    parser.add_argument(
        "--reasoning-budget",
        type=positive,
        metavar="N",
        help="tokens of thinking, after which the answer begins (default: no limit)",
    )
    parser.add_argument(
        "--cache-memory", type=gib, metavar="GIB", help="memory for past conversations (default: a quarter, up to 4)"
    )
    parser.add_argument(
        "--cache-disk",
        type=gib,
        metavar="GIB",
        default=DISK_BYTES,
        help="disk for them, so that they outlive the server; 0: none (default: 20)",
    )
    parser.add_argument("--queue", type=positive, metavar="N", default=QUEUE, help="requests at once (default: 256)")
    parser.add_argument(
        "--background-share",
        type=float,
        metavar="S",
        default=0.1,
        help="of the time for background requests while others are answered (default: 0.1)",
    )
    parser.add_argument(
        "--stable-prefix",
        action="store_true",
        help="move dates, git status and the like from a system prompt's start behind the last message",
    )
    parser.add_argument("--strict-model", action="store_true", help="refuse requests for a model of another name")
    parser.add_argument("--require-key", action="store_true", help="ask for API keys on this machine as well")
    parser.add_argument("--allowed-host", action="append", default=[], metavar="NAME", help="a name of this machine")
    parser.add_argument(
        "--allowed-origin", action="append", default=[], metavar="URL", help="of a web page that may call"
    )
    parser.add_argument("--tls-cert", type=Path, metavar="FILE", help="a certificate (PEM)")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="the certificate's key (PEM)")
    parser.add_argument("-v", "--verbose", action="store_true", help="log every request")


def run(args: argparse.Namespace) -> int:
    models = _models(args.models, args.name)
    settings = _settings(args)
    keys = KeyFile(home() / "keys.json")
    _check_exposure(args, settings, keys)
    check_address(args.host, args.port)
    check_certificate(args.tls_cert, args.tls_key)
    options = _options(args)
    if args.context is not None:
        for path in models.values():
            _check_context(path, args.context)
    logging.basicConfig(
        level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s %(name)s: %(message)s"
    )
    sys.setswitchinterval(_SWITCH)
    with ExitStack() as engines:
        served = []
        for name, path in models.items():
            engine = open_serving(path, args, options)
            engines.callback(engine.drain, _DRAIN)
            config = engine.config
            served.append((engine, Model(name, config.architecture, engine.context, engine.tokenizer, config.pooling)))
        app = create_app(served, settings, KeyRing(keys) if settings.require_key else None)
        listening = configure(app, settings, args.port, certificate=args.tls_cert, key=args.tls_key)
        Server(listening, lambda url: _say(f"{', '.join(models)} at {url}/v1 (Ctrl-C ends)")).run()
    return 0


def _models(given: list[str], first: str | None) -> dict[str, Path]:
    """The models' paths by what clients call them, `first` for the first. Raises ModelNotFoundError, ParameterError."""
    if not given:
        here = store().list()
        if not here:
            raise ModelNotFoundError("there is no model on this machine yet: run `inhouse pull`")
        if len(here) > 1:
            raise ParameterError(f"which model? Say one of {', '.join(model.name for model in here)}")
        return {first or here[0].name: here[0].path}
    models: dict[str, Path] = {}
    for text in given:
        name, path = _named(text)
        name = (first or name) if not models else name
        if name in models:
            raise ParameterError(f"two models are called {name!r}: give one of them another name, as in NAME={text}")
        models[name] = path
    return models


def _named(text: str) -> tuple[str, Path]:
    """The name and path of `[NAME=]MODEL`. Raises ModelNotFoundError."""
    name, equals, rest = text.partition("=")
    if equals and name and rest and not Path(text).exists() and "/" not in name:
        return name, model_path(rest)
    path = model_path(text)
    return text if store().has(text) else path.stem, path


def _check_context(path: Path, context: int) -> None:
    """Raises ParameterError for one that the model does not have, and what opening its file raises."""
    with open_checkpoint(path) as checkpoint:
        most = checkpoint.config.max_position_embeddings
    if context > most:
        raise ParameterError(f"--context {context}: this model allows 1 to {most} tokens")


def _options(args: argparse.Namespace) -> Options:
    return Options(
        context=args.context,
        cache_bytes=args.cache_memory,
        cache_dir=cache_folder() if args.cache_disk else None,
        cache_disk=args.cache_disk,
        background_share=args.background_share,
        queue=args.queue,
    )


def _settings(args: argparse.Namespace) -> Settings:
    return Settings(
        host=args.host,
        mode=args.sampling,
        require_key=args.require_key or not is_loopback(args.host),
        strict_model=args.strict_model,
        stable_prefix=args.stable_prefix,
        reasoning_budget=args.reasoning_budget,
        allowed_hosts=tuple(args.allowed_host),
        allowed_origins=tuple(args.allowed_origin),
    )


def _check_exposure(args: argparse.Namespace, settings: Settings, keys: KeyFile) -> None:
    """Refuses to be open to others without keys, and warns where they can listen in. Raises ParameterError."""
    if (args.tls_cert is None) != (args.tls_key is None):
        raise ParameterError("--tls-cert and --tls-key go together: give both")
    if settings.require_key and not keys.all():
        raise ParameterError(
            f"{settings.host} is open to other machines, and there is no API key yet: run `inhouse key add NAME` first"
            if not is_loopback(settings.host)
            else "there is no API key yet: run `inhouse key add NAME` first"
        )
    if not is_loopback(settings.host) and args.tls_cert is None:
        _say("warning: without --tls-cert and --tls-key everyone on the way can read keys, prompts and answers")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
