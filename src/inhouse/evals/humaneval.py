"""HumanEval's problems, what a model is asked, and the program made of its answer. Runs nothing.

Source: Chen et al., "Evaluating Large Language Models Trained on Code" (2021), arXiv:2107.03374. The data file lies in
the package with its licence (MIT, `data/README.md`).
"""

from __future__ import annotations

import gzip
import json
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import resources
from typing import Literal

from inhouse.client.types import ChatClient, ChatRequest, FinishReason, Message, Sampling, complete
from inhouse.workspace.lines import lines_of

Mode = Literal["chat", "prefill", "raw"]

_ASK = (
    "Complete this Python function. Answer with one Python code block that contains the whole function, "
    "with the imports it needs, and nothing else.\n\n```python\n{prompt}```"
)
_FENCED = re.compile(r"^[ \t]*```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE | re.I)
# Where a base model that goes on writing has left the function.
_BEYOND = ("\ndef ", "\nclass ", "\nif ", "\nprint(", "\nassert ", "\n#", "\n@", "\n```", "\nimport ", "\nfrom ")


@dataclass(frozen=True)
class Problem:
    """One function to write: its beginning, its hidden tests (`check(candidate)`), and a solution (a body)."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    @property
    def preamble(self) -> str:
        """What stands before the function: imports, and helpers that its tests may use."""
        return self.prompt[: self.prompt.rindex(f"def {self.entry_point}(")]


@dataclass(frozen=True)
class Attempt:
    """What a model gave for one problem: its words, and the module made of them."""

    answer: str
    module: str
    finish: FinishReason
    tokens: int  # of the answer


Solver = Callable[[Problem], Attempt]
TextGenerator = Callable[[str, Sampling], tuple[str, FinishReason, int]]


def load_problems() -> tuple[Problem, ...]:
    """All 164, in order."""
    data = (resources.files("inhouse.evals") / "data" / "HumanEval.jsonl.gz").read_bytes()
    return tuple(Problem(**json.loads(line)) for line in lines_of(gzip.decompress(data).decode("utf-8")))


def by_chat(client: ChatClient, sampling: Sampling) -> Solver:
    """Ask an instruct model for the whole function."""

    def solve(problem: Problem) -> Attempt:
        request = ChatRequest([Message("user", _ASK.format(prompt=problem.prompt))], sampling=sampling)
        answer = complete(client, request)
        text = answer.message.content
        return Attempt(text, module_of(problem, text), answer.finish, answer.usage.completion_tokens)

    return solve


def by_prefill(client: ChatClient, sampling: Sampling) -> Solver:
    """Ask an instruct model and begin its answer with the function's own beginning, which it then goes on with."""

    def solve(problem: Problem) -> Attempt:
        request = ChatRequest(
            [Message("user", _ASK.format(prompt=problem.prompt))],
            sampling=_stopping(sampling, ("\n```",)),
            prefill=f"```python\n{problem.prompt}",
        )
        answer = complete(client, request)
        text = answer.message.content
        return Attempt(text, module_of(problem, text), answer.finish, answer.usage.completion_tokens)

    return solve


def by_completion(generate: TextGenerator, sampling: Sampling) -> Solver:
    """Let a base model go on with the function: `generate(prompt, sampling)` gives (text, finish, tokens)."""

    def solve(problem: Problem) -> Attempt:
        text, finish, tokens = generate(problem.prompt, _stopping(sampling, _BEYOND))
        return Attempt(text, completed(problem, text), finish, tokens)

    return solve


def module_of(problem: Problem, answer: str) -> str:
    """The module that a chat answer describes.

    The code block that defines the function counts, the last one if there are several (models correct themselves); a
    block without it is taken for the body, an answer without blocks for code as it stands.
    """
    blocks = [match[1] for match in _FENCED.finditer(answer)]
    defines = re.compile(rf"^[ \t]*(?:async )?def {problem.entry_point}\b", re.MULTILINE)
    for code in reversed(blocks or [answer]):
        if defines.search(code):
            return f"{problem.preamble}\n{_dedented(code)}\n"
    body = _dedented(blocks[0] if blocks else answer)
    return f"{problem.prompt}{textwrap.indent(body, '    ')}\n"


def completed(problem: Problem, continuation: str) -> str:
    """The module of a prompt and its continuation, cut where that leaves the function."""
    ends = [at for beyond in _BEYOND if (at := continuation.find(beyond)) >= 0]
    return f"{problem.prompt}{continuation[: min(ends, default=len(continuation))]}\n"


def _dedented(code: str) -> str:
    """Code of a block that stands indented, e.g. in a list."""
    first = next((line for line in lines_of(code) if line.strip()), "")
    margin = first[: len(first) - len(first.lstrip())]
    return "\n".join(line.removeprefix(margin) for line in lines_of(code)) if margin else code


def _stopping(sampling: Sampling, stop: tuple[str, ...]) -> Sampling:
    return replace(sampling, stop=(*sampling.stop, *stop))
