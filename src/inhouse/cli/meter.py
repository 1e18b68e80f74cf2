"""Shows how far something long is: a bar on a terminal, now and then a line elsewhere. Writes to stderr only."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_PATIENCE = 2.0  # seconds before anything is shown
_LINE_EVERY = 10.0  # seconds between two lines where there is no terminal


class Meter:
    """A context. `update(what, done, total)` any number of times; nothing appears within the first two seconds."""

    def __init__(self, unit: Literal["bytes", "items"] = "items") -> None:
        self._unit = unit
        self._progress: Progress | None = None
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._next_line = self._started + _PATIENCE

    def update(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now < self._started + _PATIENCE:
            return
        if self._terminal:
            self._bar().update(self._bar().task_ids[0], description=what, completed=done, total=total)
        elif now >= self._next_line:
            self._next_line = now + _LINE_EVERY
            share = f" {done / total:.0%}" if total else ""
            print(f"{what}{share}", file=sys.stderr, flush=True)

    def _bar(self) -> Progress:
        if self._progress is None:
            columns: list[ProgressColumn] = [TextColumn("{task.description}"), BarColumn()]
            if self._unit == "bytes":
                columns += [DownloadColumn(), TransferSpeedColumn()]
            else:
                columns += [MofNCompleteColumn()]
            columns += [TimeRemainingColumn()]
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
            self._progress.add_task("")
            self._progress.start()
        return self._progress

    def stop(self) -> None:
        """Takes the bar away. May be called twice."""
        if self._progress is not None:
            self._progress.stop()

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
