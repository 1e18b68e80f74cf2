"""Small real repositories for the tests of the repair."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from confined import problem

from inhouse.client.scripted import Line, ScriptedClient
from inhouse.client.types import ChatRequest, Message, Scorer
from inhouse.repair import Event, RepairOptions, RepairResult, repair
from inhouse.repair.events import Drafted, Tried
from inhouse.workspace.toolchains import UserEnvironment
from needed import git_program

OURS = UserEnvironment(pythons=(Path(sys.executable),))  # whose programs run the tests
PROGRAM = """\
\"\"\"Prices.\"\"\"

RATE = 10


def total(prices):
    \"\"\"The sum of the prices.\"\"\"
    return sum(prices) - 1


def discount(price):
    return price * RATE // 100
"""
TESTS = """\
from shop.prices import discount, total


def test_total():
    assert total([1, 2]) == 3


def test_discount():
    assert discount(200) == 20
"""
RIGHT = "    return sum(prices)\n"  # goes on from the signature, which the request gives
WRONG = "    return sum(prices) + 1\n"

Script = Callable[[ChatRequest], str]


@dataclass
class Repository:
    """A repository in a folder, under git, all committed."""

    root: Path
    events: list[Event] = field(default_factory=list)

    @classmethod
    def made(cls, folder: Path, tests: str) -> Repository:
        """The program below `folder`, with these tests. Skips the test where no sandbox is to be had."""
        if problem():
            pytest.skip(problem())
        repository = cls(folder / "repository")
        repository.write("shop/__init__.py", "")
        repository.write("shop/prices.py", PROGRAM)
        repository.write("tests/test_prices.py", tests)
        repository.git("init", "--quiet")
        repository.git("add", ".")
        repository.git("commit", "--quiet", "-m", "first")
        return repository

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def git(self, *arguments: str) -> str:
        command = [git_program(), "-c", "user.name=t", "-c", "user.email=t@t", *arguments]
        return subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True).stdout

    def snapshot(self) -> dict[str, bytes]:
        """Every file's bytes, git's own included."""
        return {str(path.relative_to(self.root)): path.read_bytes() for path in self.root.rglob("*") if path.is_file()}

    def fix(
        self,
        answers: Sequence[Line],
        test: str | None = None,
        problem: str = "",
        scorer: Scorer | None = None,
        **options: object,
    ) -> RepairResult:
        """Repairs it with scripted answers."""
        chosen = RepairOptions(**{"attempts": len(answers), "user": OURS, **options})  # type: ignore[arg-type]
        script = [_begun(answer) if isinstance(answer, str) else answer for answer in answers]
        client = ScriptedClient(script, scorer)
        self.requests = client.requests
        return repair(client, self.root, problem or "The total is one too small.", test, chosen, self.events.append)

    def tried(self) -> list[str]:
        """The verdicts on answers so far."""
        return [event.verdict for event in self.events if isinstance(event, Tried | Drafted)]


def _begun(body: str) -> Script:
    """An answer that holds the head of `total` where the request does not give it."""

    def answer(request: ChatRequest) -> str:
        return (
            body if request.prefill else f'```python\ndef total(prices):\n    """The sum of the prices."""\n{body}```'
        )

    return answer


def text_of(messages: Sequence[Message]) -> str:
    return "\n".join(message.content for message in messages)
