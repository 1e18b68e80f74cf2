"""Shows a turn of the agent as it goes on: for people in colour, with thinking folded; for programs as JSON lines."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.syntax import Syntax

from inhouse.agent.permissions import Question, Reply
from inhouse.agent.steps import (
    Answered,
    Called,
    Calling,
    Changed,
    Compacted,
    Ended,
    Planned,
    Printed,
    Reading,
    Said,
    Step,
    Thought,
    Warned,
    as_json,
)
from inhouse.agent.tools.plan import worded
from inhouse.workspace.lines import excerpt, lines_of

_OUTPUT_LINES = 8  # of a tool's result
_DIFF_LINES = 60
_LONGEST = 1_000  # characters of one


class View(Protocol):
    """Whatever shows steps."""

    def show(self, step: Step) -> None: ...


class JsonLines:
    """One JSON object a line, on stdout."""

    def show(self, step: Step) -> None:
        if not isinstance(step, Reading):
            print_line(as_json(step))


def print_line(value: Mapping[str, Any]) -> None:
    """A line of JSON on stdout, in ASCII: any reader can decode it, and names in any bytes are kept as escapes."""
    print(json.dumps(value), flush=True)


class AgentView:
    """For a terminal; without one, plain text. `thinking` is shown in full if wanted, else only counted."""

    def __init__(self, console: Console, *, thinking: bool = False) -> None:
        self._console = console
        self._all_thinking = thinking
        self._status: Status | None = None
        self._thought = ""
        self._thinking_since = 0.0
        self._open_line = False  # text was printed that does not end a line

    def show(self, step: Step) -> None:
        match step:
            case Reading(done, total):
                self._wait(f"reading {done:,} of {total:,} tokens")
            case Thought(text):
                self._think(text)
            case Said(text):
                self._settle(line=False)
                self._console.out(text, end="", highlight=False)
                self._open_line = not text.endswith("\n")
            case Answered():
                self._settle()
            case Calling():
                self._calling(step)
            case Printed(_, text):
                lines = text.strip().splitlines()
                if lines:
                    self._wait(escape(lines[-1][:100]))
            case Called():
                self._called(step)
            case Planned(items):
                self._settle()
                self._console.print(escape(worded(items)), style="cyan")
            case Warned(guard, text):
                self._settle()
                self._console.print(f"[yellow]! {guard}:[/] {escape(text.strip('[]'))}", highlight=False)
            case Compacted():
                self._settle()
                self._console.print(f"[yellow]{step.said}[/]")
            case Ended():
                self._ended(step)
            case Changed():
                pass

    def stop(self) -> None:
        """Ends whatever moves on the screen."""
        self._settle()

    def _think(self, text: str) -> None:
        if not self._thought:
            self._thinking_since = time.monotonic()
        self._thought += text
        if self._all_thinking:
            self._console.print(escape(text), end="", style="dim", highlight=False)
            self._open_line = not text.endswith("\n")
        else:
            self._wait(f"thinking, {len(self._thought.split()):,} words")

    def _wait(self, text: str) -> None:
        if not self._console.is_terminal or self._all_thinking:
            return
        if self._status is None:
            self._status = self._console.status(text, spinner="dots")
            self._status.start()
        else:
            self._status.update(text)

    def _settle(self, *, line: bool = True) -> None:
        """Take the moving line away, fold the thinking, begin a new line."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        if self._open_line and (line or self._thought):
            self._console.print()
            self._open_line = False
        if self._thought:
            seconds = time.monotonic() - self._thinking_since
            words = len(self._thought.split())
            self._thought = ""
            if not self._all_thinking:
                self._console.print(f"[dim]thought for {seconds:.0f} s ({words:,} words)[/]", highlight=False)

    def _calling(self, step: Calling) -> None:
        self._settle()
        self._console.print(f"[bold]> {escape(step.tool)}[/] {escape(_brief(step))}", highlight=False)
        if step.diff:
            show_diff(self._console, step.diff)

    def _called(self, step: Called) -> None:
        self._settle()
        if step.ok and step.tool in ("view", "str_replace", "insert", "create", "todo", "finish"):
            return
        lines = step.text.splitlines()
        style = "dim" if step.ok else "red"
        for line in lines[:_OUTPUT_LINES]:
            self._console.print(f"  {escape(line[:200])}", style=style, highlight=False)
        if len(lines) > _OUTPUT_LINES:
            self._console.print(f"  ... {len(lines) - _OUTPUT_LINES} more lines", style="dim", highlight=False)

    def _ended(self, step: Ended) -> None:
        self._settle()
        if step.text and step.reason != "answered":
            self._console.print(escape(step.text), highlight=False)
        if step.reason not in ("finished", "answered"):
            self._console.print(f"[yellow]ended: {_ENDINGS[step.reason]}[/]")
        self._console.print(f"[dim]{figures(step)}[/]", highlight=False)
        if step.changed or step.verdict.status not in ("nothing_to_verify", "cancelled"):
            style = "green" if step.verdict.status in ("verified", "nothing_to_verify") else "yellow"
            self._console.print(f"[{style}]{escape(step.verdict.statement)}[/]", highlight=False)


_ENDINGS = {
    "cancelled": "you stopped it",
    "max_turns": "the limit of answers is reached",
    "max_minutes": "time is up",
    "max_tokens": "the limit of tokens is reached",
    "loop": "the model went in circles",
    "malformed": "the model's calls could not be understood",
    "silent": "the model gave no usable answer",
}


def figures(step: Ended) -> str:
    """The line below a turn, with the share of the prompts that came from the cache."""
    share = f", {step.cached_tokens / step.prompt_tokens:.0%} from the cache" if step.prompt_tokens else ""
    parts = [
        f"{step.answers} answers",
        f"{step.prompt_tokens:,} tokens read{share}",
        f"{step.completion_tokens:,} written",
    ]
    return f"[{', '.join(parts)}, {step.seconds:.0f} s]"


def show_diff(console: Console, diff: str) -> None:
    lines = [excerpt(line, 0, _LONGEST) for line in lines_of(diff.replace("\r\n", "\n"))]
    shown = "\n".join(lines[:_DIFF_LINES])
    if console.is_terminal:
        console.print(Syntax(shown, "diff", theme="ansi_dark", background_color="default", word_wrap=True))
    else:
        console.out(shown, highlight=False)
    if len(lines) > _DIFF_LINES:
        console.print(f"[dim]... {len(lines) - _DIFF_LINES} more lines[/]")


def ask(console: Console, question: Question) -> Reply:
    """Ask the user in the terminal. Raises KeyboardInterrupt on Ctrl-C."""
    action = question.action
    for target in action.targets:
        console.print(f"  in [bold]{escape(target)}[/]" if action.kind == "execute" else f"  [bold]{escape(target)}[/]")
    if question.why:
        console.print(f"  [red]{escape(question.why)}[/]")
    console.print(f"  y: yes   a: yes, and {question.always}   n: no, or say what to do instead", style="dim")
    try:
        said = input("  allow? ").strip()
    except EOFError:
        said = "n"
    if said.lower() in ("y", "yes"):
        return Reply("once")
    if said.lower() in ("a", "always"):
        return Reply("always")
    return Reply("no", "" if said.lower() in ("", "n", "no") else said)


def terminal() -> Console:
    return Console(file=sys.stdout, soft_wrap=True)


def _brief(step: Calling) -> str:
    """A line about a call, without the tool's own name in front."""
    lines = step.title.splitlines() or [""]
    text = lines[0].removeprefix(f"{step.tool} ")
    return text if len(lines) == 1 else f"{text} ... ({len(lines)} lines)"
