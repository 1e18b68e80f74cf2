"""Has the model write a test that shows the problem, where all tests of a repository pass.

Several drafts are asked for and run; one that fails for what the program does counts, and two must agree, for a draft
alone may just expect the wrong thing. What comes out is a test like the user's own: the search for a patch is judged by
it and by all the others. Knows nothing of patches.
"""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inhouse.agent import drafts, prompts
from inhouse.agent.drafts import Shown
from inhouse.agent.events import Asked, Drafted, DraftVerdict, Located, OnEvent, Reproduction
from inhouse.agent.interview import Interview
from inhouse.agent.localise import Suspect, described
from inhouse.agent.outcome import Outcome
from inhouse.agent.verify import Bench
from inhouse.client.types import Sampling
from inhouse.workspace.edits import EditError
from inhouse.workspace.files import is_test_file
from inhouse.workspace.project import TestCommand

_SUSPECTS = 3  # asked about
_ENOUGH = 3  # drafts that agree to the letter: no more are asked for
_AGREED = 2  # drafts that must agree at least, be it on other values
_ROOM = 320  # tokens of a draft
_COOLEST, _HOTTEST, _STEP = 0.6, 1.0, 0.1


@dataclass(frozen=True)
class _Draft:
    """A test that fails for what the program does. `assertion` is what it holds to be true."""

    path: str
    text: str
    says: str
    assertion: str


def reproduce(
    interview: Interview, bench: Bench, problem: str, overview: str, count: int, before: Outcome, on_event: OnEvent
) -> tuple[Bench, Outcome, Reproduction] | None:
    """The bench with a test added that shows the problem, how its tests end, and that test; None where there is none.

    At most `count` drafts are asked for. `before` is how the user's own tests end: they pass.
    """
    if bench.command.kind != "pytest":
        return None
    texts, tests = bench.texts(), _test_texts(bench)
    ranked = [suspect for suspect in described(problem, texts) if suspect.kind == "function"][:_SUSPECTS]
    on_event(Located(tuple(suspect.label for suspect in ranked)))
    if not ranked:
        return None
    author = _Author(interview, bench, problem, overview, texts, tests, on_event)
    found = author.drafts(ranked, count)
    for draft, agreed in _by_agreement(found):
        added = replace(bench, added={draft.path: draft.text})
        for command in (bench.command, _with_file(bench.command, draft.path)):
            judged = replace(added, command=command) if command is not None else added
            judged.put({})
            outcome = judged.run(judged.command, interview.budget.deadline)
            if _fails_by(outcome, before, draft.path):
                shown = Reproduction(draft.path, draft.text, draft.says, agreed, author.asked)
                on_event(shown)
                return judged, outcome, shown
    return None


class _Author:
    """Asks for drafts about one problem and runs them."""

    def __init__(
        self, interview: Interview, bench: Bench, problem: str, overview: str, texts: Mapping[str, str],
        tests: Mapping[str, str], on_event: OnEvent,
    ) -> None:  # fmt: skip
        self.asked = 0
        self._interview, self._bench, self._on_event = interview, bench, on_event
        self._problem, self._texts, self._tests = problem, texts, tests
        self._common = prompts.shared(problem, (), overview)

    def drafts(self, suspects: Sequence[Suspect], count: int) -> list[_Draft]:
        """The drafts that show something, in order; no more are asked for once enough agree."""
        found: list[_Draft] = []
        turns: Counter[int] = Counter()
        while self.asked < count and not self._interview.spent():
            index = max(range(len(suspects)), key=lambda i: suspects[i].score / (1 + turns[i]))
            draft = self._draft(suspects[index], turns[index])
            turns[index] += 1
            self.asked += 1
            found += [draft] if draft is not None else []
            if max(Counter(draft.assertion for draft in found).values(), default=0) >= _ENOUGH:
                break
        return found

    def _draft(self, suspect: Suspect, number: int) -> _Draft | None:
        interview, started = self._interview, time.monotonic()
        attempt = interview.begin()
        temperature = min(_HOTTEST, _COOLEST + _STEP * (number - 1)) if number else 0.0
        self._on_event(Asked(attempt, suspect.label, temperature))
        shown = drafts.example(suspect, self._tests)
        prompt = prompts.for_test(
            self._common, suspect, self._texts, shown.tests, drafts.opening(suspect, suspect.path)
        )
        top_p = 0.95 if temperature else 1.0
        sampling = Sampling(
            temperature=temperature, top_p=top_p, seed=interview.seed(), max_tokens=_ROOM, stop=prompt.stop
        )
        reply = interview.ask(prompt, sampling)
        draft: _Draft | None = None
        detail = "the answer has no end"
        verdict: DraftVerdict = "unusable"
        if not reply.cut:
            try:
                text = drafts.drafted(suspect, reply.text, self._texts, self._tests)
                path = drafts.new_path(shown.path, self._bench.checkout.paths, suspect)
                seen = self._run(path, text)
                if isinstance(seen, Shown):
                    verdict, detail = "shows", seen.says
                    draft = _Draft(path, text, seen.says, drafts.assertion(text, seen.line))
                else:
                    verdict, detail = ("passes" if seen == "it passes" else "mistaken"), seen
            except EditError as error:
                detail = str(error).splitlines()[0]
        usage = reply.usage
        self._on_event(
            Drafted(
                attempt, suspect.label, verdict, detail, usage.prompt_tokens, usage.cached_tokens,
                usage.completion_tokens, round(time.monotonic() - started, 2),
            )
        )  # fmt: skip
        return draft

    def _run(self, path: str, text: str) -> Shown | str:
        """How a draft fails, alone where that can be asked for."""
        bench = replace(self._bench, added={path: text})
        bench.put({})
        command = _with_file(bench.command, path) or bench.command
        return drafts.shown(bench.run(command, self._interview.budget.deadline), path, self._problem)


def _by_agreement(found: Sequence[_Draft]) -> list[tuple[_Draft, int]]:
    """The drafts that others agree with, the most agreed on first, each assertion once; and how many agree."""
    exact = Counter(draft.assertion for draft in found)
    alike = Counter(drafts.shape(draft.assertion) for draft in found)
    agreed: dict[str, tuple[_Draft, int]] = {}
    for draft in found:
        if alike[drafts.shape(draft.assertion)] >= _AGREED:
            agreed.setdefault(draft.assertion, (draft, alike[drafts.shape(draft.assertion)]))
    return sorted(agreed.values(), key=lambda one: (-exact[one[0].assertion], -one[1]))


def _fails_by(outcome: Outcome, before: Outcome, path: str) -> bool:
    """Whether the tests at `path` fail and all that ran before pass as they did."""
    failing = [id for id in outcome.failing if id]
    if not failing or outcome.stopped or not all(id.startswith(f"{path}::") for id in failing):
        return False
    return before.ran is None or (outcome.ran is not None and outcome.ran > before.ran)


def _with_file(command: TestCommand, path: str) -> TestCommand | None:
    """The command with one more file to run; alone, unless the user's own command names others."""
    if not isinstance(command.argv, str):
        return command.only([path])
    if any(sign in command.argv for sign in "|&;<>`$()\n"):
        return None
    return TestCommand(f"{command.argv} {shlex.quote(path)}", command.kind)


def _test_texts(bench: Bench) -> dict[str, str]:
    paths = sorted(path for path in bench.checkout.paths if path.endswith(".py") and is_test_file(path))
    return {path: text for path in paths if (text := bench.test_text(path))}
