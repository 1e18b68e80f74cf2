"""Shows a repair while it goes on: lines and a spinner on stderr, or JSON lines on stdout. Changes nothing."""

from __future__ import annotations

import json
import sys
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from inhouse.repair import Event, as_json
from inhouse.repair.events import Asked, Diagnosed, Drafted, Located, Noted, Prepared, Reproduction, Tested, Tried
from inhouse.workspace.lines import lines_of, shown

_SHOWN = 3  # failing tests and suspects that are named
_MARKS = {"verified": "[green]✓[/]", "better": "[green]+[/]"}
_WORDS = {
    "verified": "all tests pass",
    "better": "repairs a part",
    "voted": "has a proposal",
    "failed": "does not help",
    "unchanged": "changes nothing",
    "repeated": "was tried before",
    "unusable": "cannot be used",
}
_DRAFTS = {
    "shows": "is a test that fails",
    "passes": "is a test that passes",
    "mistaken": "is a test that goes wrong itself",
    "unusable": "cannot be used",
}


class JsonLines:
    """Every event is one line on stdout, at once."""

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def loading(self, model: str) -> None:
        self._write({"event": "loading", "model": model})

    def show(self, event: Event) -> None:
        self._write(as_json(event))

    def _write(self, fields: dict[str, Any]) -> None:
        print(json.dumps(fields), flush=True)


class RepairView:
    """A context. One line for each thing that has ended; on a terminal a spinner for what is under way."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._status: Status | None = None

    def __enter__(self) -> RepairView:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._status is not None:
            self._status.stop()

    def loading(self, model: str) -> None:
        self._doing(f"loading {model}")

    def show(self, event: Event) -> None:
        match event:
            case Prepared():
                where = "in the sandbox" if event.confined else "[red]with your own rights[/]"
                self._line(f"a copy of {event.files} files; tests run {where}: {escape(event.command)}")
                self._doing("running the tests")
            case Tested():
                self._line(self._tested(event))
                for line in self._reasons(event):
                    self._line(line)
                self._doing("looking for the place")
            case Diagnosed():
                self._line("[yellow]![/] the tests tell nothing; the last that they said:")
                for said in event.evidence:
                    self._line(f"  [dim]|[/] {escape(said)}")
            case Located():
                shown = ", ".join(event.suspects[:_SHOWN]) or "nothing"
                more = len(event.suspects) - _SHOWN
                self._line(f"suspected: {escape(shown)}{f' and {more} more' if more > 0 else ''}")
                self._doing("asking")
            case Asked():
                self._doing(f"attempt {event.attempt}: {event.suspect}")
            case Tried():
                self._line(self._tried(event))
            case Drafted():
                self._line(self._drafted(event))
            case Reproduction():
                of = f"written by the model ({event.agreed} of {event.drafts} drafts agree)"
                of = of if event.source == "model" else "what the report states"
                says = next(iter(event.says.splitlines()), "")
                self._line(f"[yellow]reproduction[/], {of}: {escape(event.path)}: {escape(says)}")
            case Noted():
                self._line(f"[yellow]![/] {escape(event.text)}")

    def _tested(self, event: Tested) -> str:
        failing = [name for name in event.failing if name]
        if not event.failing:
            return f"the tests pass ({event.seconds:.1f} s)"
        named = ": " + ", ".join(failing[:_SHOWN]) if failing else ""
        more = f" and {len(failing) - _SHOWN} more" if len(failing) > _SHOWN else ""
        of = f" of {event.ran}" if event.ran is not None else ""
        count = f"{len(event.failing)}{of} tests fail" if failing else "the tests fail"
        return f"{count} ({event.seconds:.1f} s){escape(named)}{more}"

    def _reasons(self, event: Tested) -> list[str]:
        """Why the first of the failing tests fail, and why those that are set apart do."""
        shown = [
            f"  {escape(id or 'it')}: {escape(why)}" for id, why in zip(event.failing, event.reasons, strict=False)
        ]
        apart = [
            f"  set apart: {escape(id or 'the command')}: {escape(why)}" for id, why in sorted(event.apart.items())
        ]
        more = len(apart) - _SHOWN
        return [*shown[:_SHOWN], *apart[:_SHOWN], *([f"  set apart: {more} more"] if more > 0 else [])]

    def _tried(self, event: Tried) -> str:
        mark = _MARKS.get(event.verdict, "[dim]·[/]")
        read = event.prompt_tokens - event.cached_tokens
        spent = f"{event.seconds:.1f} s, {read} tokens read, {event.answer_tokens} written"
        return f"{mark} attempt {event.attempt}: {escape(event.suspect)} {_WORDS[event.verdict]} [dim]({spent})[/]"

    def _drafted(self, event: Drafted) -> str:
        mark = _MARKS["better"] if event.verdict == "shows" else "[dim]·[/]"
        said = _DRAFTS[event.verdict]
        return f"{mark} draft {event.attempt}: {escape(event.suspect)} {said} [dim]({event.seconds:.1f} s)[/]"

    def _line(self, text: str) -> None:
        self._console.print(text)

    def _doing(self, what: str) -> None:
        if not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status("")
            self._status.start()
        self._status.update(f"[dim]{escape(what)} ...[/]")


def show_diff(diff: str) -> None:
    """A unified diff on stdout, coloured on a terminal."""
    if not sys.stdout.isatty():
        print(diff, end="", flush=True)
        return
    console = Console(highlight=False, soft_wrap=True)
    for line in lines_of(diff):
        console.print(shown(line.removesuffix("\r")), style=_style(line), markup=False)


def _style(line: str) -> str:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
