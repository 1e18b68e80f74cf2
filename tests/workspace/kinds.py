"""The kinds of confinement that this machine offers, as parameters of tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from inhouse.workspace import Sandbox
from inhouse.workspace.confinement.bubblewrap import installed, shipped
from inhouse.workspace.confinement.landlock import Landlock
from inhouse.workspace.confinement.mechanisms import Mechanism, trial


@dataclass(frozen=True)
class Kind:
    """A kind of confinement, and whether the workspace is a throw-away copy (which matters to Landlock alone)."""

    mechanism: Mechanism
    disposable: bool

    def sandbox(self, root: Path, **options: Any) -> Sandbox:
        return Sandbox(root, mechanism=self.mechanism, disposable=self.disposable, **options)

    @property
    def landlock(self) -> bool:
        return isinstance(self.mechanism, Landlock)


def _parameter(name: str, mechanism: Mechanism | None, *, disposable: bool = False) -> Any:
    if mechanism is None:
        return pytest.param(None, id=name, marks=pytest.mark.skip(reason="is not installed"))
    problem = trial(mechanism).problem
    marks = [pytest.mark.skip(reason=f"{mechanism.name}: {problem}")] if problem else []
    return pytest.param(Kind(mechanism, disposable), id=name, marks=marks)


BUBBLEWRAP = [_parameter("bubblewrap-shipped", shipped()), _parameter("bubblewrap-system", installed())]
# The oldest version knows neither signals nor truncation: there the filter and the supervisor hold them.
LANDLOCK_COPY = [
    _parameter("landlock-copy", Landlock(), disposable=True),
    _parameter("landlock-1-copy", Landlock(abi=1), disposable=True),
]
LANDLOCK_OWN = [_parameter("landlock-own", Landlock())]
EVERY = [*BUBBLEWRAP, *LANDLOCK_COPY, *LANDLOCK_OWN]
FREE = [*BUBBLEWRAP, *LANDLOCK_COPY]  # in which a command can make files at the top of its workspace
