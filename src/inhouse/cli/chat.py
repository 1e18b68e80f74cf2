"""`inhouse chat`: a conversation in the terminal. Ctrl-C stops the answer, not the program."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import closing

from inhouse.cli.common import (
    Subparsers,
    add_engine,
    add_model,
    add_thinking,
    command,
    home,
    model_path,
    template_flags,
)
from inhouse.cli.meter import Meter
from inhouse.cli.opening import open_llm
from inhouse.cli.sampling import add_sampling, sampling
from inhouse.cli.terminal import interruptible, line_editing, lines
from inhouse.engine import LLM, Chunk, SamplingParams, Usage
from inhouse.errors import ContextLengthError, TemplateError

_HELP = """\
/help            this list
/system TEXT     give the model a system prompt, and begin anew; without TEXT: show it
/clear           forget the conversation
/exit            leave (or Ctrl-D)
A line that ends with \\ goes on in the next one. Ctrl-C stops an answer."""


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "chat",
        "Talk with a model. Answers appear as they come; Ctrl-C stops one, /help lists what else there is.",
        "inhouse chat starter\n"
        "inhouse chat starter --temperature 0.7 --top-p 0.8 --system 'Answer in one sentence.'\n"
        "inhouse chat ./model.gguf --context 8192",
    )
    add_model(parser)
    parser.add_argument("--system", metavar="TEXT", default="", help="the system prompt")
    add_thinking(parser)
    add_engine(parser)
    add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    params = sampling(args)
    with open_llm(model_path(args.model), args) as llm:
        print(f"{args.model}, {llm.context:,} tokens of context. /help for help, Ctrl-D to leave.", file=sys.stderr)
        with line_editing(home() / "chat_history"):
            _Conversation(llm, params, args.system, template_flags(args)).run()
    return 0


class _Conversation:
    """What has been said, and the loop that goes on with it."""

    def __init__(self, llm: LLM, params: SamplingParams, system: str, flags: Mapping[str, bool]) -> None:
        self._llm = llm
        self._params = params
        self._system = system
        self._flags = flags
        self._messages: list[dict[str, str]] = []

    def run(self) -> None:
        """Until the user leaves."""
        for line in lines():
            word, _, rest = line.partition(" ")
            if not line:
                continue
            if word in ("/exit", "/quit"):
                return
            if word == "/help":
                print(_HELP)
            elif word == "/clear":
                self._messages.clear()
                print("forgotten", file=sys.stderr)
            elif word == "/system":
                self._set_system(rest.strip())
            elif word.startswith("/") and word[1:].isalpha():
                print(f"there is no command {word}; /help lists them", file=sys.stderr)
            else:
                self._turn(line)

    def _set_system(self, text: str) -> None:
        if text:
            self._system = text
            self._messages.clear()
        print(f"system prompt: {self._system or 'none'}", file=sys.stderr)

    def _turn(self, text: str) -> None:
        """One question and its answer, which are remembered unless the answer never began."""
        self._messages.append({"role": "user", "content": text})
        system = [{"role": "system", "content": self._system}] if self._system else []
        answer: dict[str, str] = {}
        try:
            with interruptible() as stop, Meter() as meter:

                def reading(done: int, total: int) -> None:
                    meter.update("reading", done, total)

                messages = [*system, *self._messages]
                chunks = self._llm.stream_chat(
                    messages, self._params, template_flags=self._flags, progress=reading, cancelled=stop.is_set
                )
                with closing(chunks):
                    answer = _show(chunks, meter)
        except KeyboardInterrupt:
            print("\n[stopped]", file=sys.stderr)
        except (ContextLengthError, TemplateError) as error:
            print(f"{error} (/clear forgets the conversation)", file=sys.stderr)
        if answer:
            self._messages.append({"role": "assistant", **answer})
        else:
            self._messages.pop()


def _show(chunks: Generator[Chunk], meter: Meter) -> dict[str, str]:
    """Prints an answer as it comes; what of it the next turn needs, empty if nothing came."""
    started = first = time.monotonic()
    text: list[str] = []
    reasoning: list[str] = []
    usage = Usage()
    stopped = False
    for chunk in chunks:
        if not usage.completion_tokens and not text and not reasoning:
            meter.stop()
            first = time.monotonic()
        if chunk.reasoning:
            print(_dim(chunk.reasoning), end="", flush=True)
            reasoning.append(chunk.reasoning)
        if chunk.text:
            if reasoning and not text:
                print("\n")
            print(chunk.text, end="", flush=True)
            text.append(chunk.text)
        usage = chunk.usage or usage
        stopped = chunk.finish_reason == "cancelled"
    print(flush=True)
    print(_dim(_figures(usage, first - started, time.monotonic() - first, stopped)), file=sys.stderr)
    answer = {"content": "".join(text)}
    if reasoning:
        answer["reasoning_content"] = "".join(reasoning)
    return answer if text or reasoning else {}


def _figures(usage: Usage, first: float, rest: float, stopped: bool) -> str:
    """The line below an answer. The first token came after `first` seconds, the others within `rest`."""
    tokens = usage.completion_tokens
    parts = [f"{tokens} tokens"]
    if tokens > 1 and rest > 0:
        parts.append(f"{(tokens - 1) / rest:.1f} tok/s")
    parts.append(f"first after {first:.1f} s ({usage.prompt_tokens - usage.cached_tokens} new tokens read)")
    return f"[{'stopped; ' if stopped else ''}{', '.join(parts)}]"


def _dim(text: str) -> str:
    return f"\x1b[2m{text}\x1b[0m" if sys.stdout.isatty() else text
