"""A small repository and an agent with a scripted model, for the tests of the loop."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from inhouse.agent.briefing import SYSTEM
from inhouse.agent.checks import syntax_check
from inhouse.agent.desk import Desk
from inhouse.agent.loop import Agent, AgentOptions
from inhouse.agent.permissions import Approver, Mode, Permissions, nobody
from inhouse.agent.session import Session
from inhouse.agent.steps import Called, Ended, Step
from inhouse.agent.tools.base import AgentTool
from inhouse.client.scripted import Line, ScriptedClient
from inhouse.client.types import Answer, Message, ToolCall, Usage
from inhouse.workspace import Unconfined
from needed import git_program

PROGRAM = "def total(prices):\n    result = 0\n    for price in prices:\n        result -= price\n    return result\n"
TEST = """\
from shop import total


def test_total():
    assert total([1, 2]) == 3


def test_none():
    assert total([]) == 0
"""
REPAIR = {"path": "shop.py", "old_str": "result -= price", "new_str": "result += price"}
_NUMBERS = iter(range(1_000_000))


def call(name: str, /, **arguments: Any) -> ToolCall:
    return ToolCall(f"call_{next(_NUMBERS)}", name, json.dumps(arguments))


def answer(*calls: ToolCall, text: str = "", reasoning: str = "", usage: Usage = Usage(100, 60, 10)) -> Answer:
    return Answer(Message("assistant", text, reasoning, calls), "tool_calls" if calls else "stop", usage)


def do(name: str, /, **arguments: Any) -> Answer:
    """An answer of one call."""
    return answer(call(name, **arguments))


FINISH = do("finish", summary="done")


def shop(folder: Path, *, git: bool = True) -> Path:
    """A repository whose total() subtracts."""
    root = folder / "shop"
    root.mkdir()
    (root / "shop.py").write_text(PROGRAM)
    (root / "test_shop.py").write_text(TEST)
    (root / ".gitignore").write_text("ignored/\n*.log\n")
    if git:
        run = [git_program(), "-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run([*run, "init", "-q", "-b", "main"], cwd=root, check=True)
        subprocess.run([*run, "add", "-A"], cwd=root, check=True)
        subprocess.run([*run, "commit", "-qm", "A shop"], cwd=root, check=True)
    return root


class Bench:
    """An agent in a repository. `steps` is all that it reported."""

    def __init__(
        self,
        root: Path,
        answers: Sequence[Line],
        *,
        session: Session | None = None,
        mode: Mode = "auto",
        approver: Approver = nobody,
        options: AgentOptions | None = None,
        extra: Sequence[AgentTool] = (),
        desk: Desk | None = None,
    ) -> None:
        self.root = root
        self.steps: list[Step] = []
        self.client = ScriptedClient(answers)
        runner = Unconfined(root)
        self.desk = desk or Desk(root, runner, reader=runner, pythons=[Path(sys.executable)], checks=(syntax_check,))
        self.session = session or Session.create(root.parent / "sessions", root, "scripted", SYSTEM)
        self.agent = Agent(
            self.client, self.desk, self.session, Permissions(mode, approver), options or AgentOptions(),
            self.steps.append, extra=extra,
        )  # fmt: skip

    def turn(self, prompt: str | None = "Repair total().", cancelled: Callable[[], bool] = lambda: False) -> Ended:
        return self.agent.turn(prompt, cancelled)

    def results(self) -> list[str]:
        """What the tools said, in order."""
        return [step.text for step in self.steps if isinstance(step, Called)]

    def of(self, kind: type[Step]) -> list[Any]:
        return [step for step in self.steps if isinstance(step, kind)]

    def close(self) -> None:
        self.agent.close()
        self.session.close()


class MakeBench(Protocol):
    def __call__(self, *answers: Line, **options: Any) -> Bench: ...


def say(bench: MakeBench, calls: Sequence[Line]) -> list[str]:
    """The results of calls, made one after the other."""
    one = bench(*calls, "done", "done")  # the first may be challenged
    one.turn()
    return one.results()
