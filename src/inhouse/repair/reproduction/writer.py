"""Has the model write a test that shows the problem, where all tests of a repository pass.

Where the report states outright what an expression gives and should give, that is the test, word for word. Else several
drafts are asked for and run; one that fails for what the program does counts. It is believed if another one says the
same, or if all its values are the problem's own, for a draft alone may just expect the wrong thing. What
comes out is a test like the user's own: the search for a patch is judged by it and by all the others. Knows nothing of
patches.
"""

from __future__ import annotations

import shlex
import textwrap
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inhouse.client.types import Sampling
from inhouse.repair import prompts
from inhouse.repair.budget import Interview
from inhouse.repair.events import Asked, Drafted, DraftVerdict, Located, OnEvent, Reproduction
from inhouse.repair.harness import Harness
from inhouse.repair.localise import Suspect, described
from inhouse.repair.reproduction import test_file
from inhouse.repair.reproduction.statements import contradicts, statements
from inhouse.repair.reproduction.test_file import Example, Shown
from inhouse.workspace import source
from inhouse.workspace.edits import EditError
from inhouse.workspace.files import is_test_file
from inhouse.workspace.testing.command import TestCommand
from inhouse.workspace.testing.report import TestReport

_SUSPECTS = 3  # asked about
_RIVAL = 0.5  # of the first suspect's score that the others must have
_AGREED = 2  # drafts that must say the same, unless one says what the problem does
_ROOM = 320  # tokens of a draft
_COOLEST, _HOTTEST, _STEP = 0.6, 1.0, 0.1


@dataclass(frozen=True)
class _Draft:
    """A test that fails for what the program does. `assertion` is what it holds to be true.

    `told`: which share of that is the problem's own words; 1 where it fails by the exception that the problem names.
    """

    path: str
    text: str
    says: str
    assertion: str
    told: float


def reproduce(
    interview: Interview,
    harness: Harness,
    problem: str,
    overview: str,
    count: int,
    before: TestReport,
    on_event: OnEvent,
) -> tuple[Harness, TestReport, Reproduction] | None:
    """The harness with a test added that shows the problem, how its tests end, and that test; None where there is none.

    At most `count` drafts are asked for. `before` is how the user's own tests end: they pass.
    """
    if harness.command.kind != "pytest":
        return None
    texts, tests = harness.texts(), _test_texts(harness)
    ranked = described(problem, texts)
    quoted = [suspect for suspect in ranked if test_file.quoted_call(suspect, problem)]
    ranked = quoted or [suspect for suspect in ranked if suspect.score >= _RIVAL * ranked[0].score]
    ranked = ranked[:_SUSPECTS]
    on_event(Located(tuple(suspect.label for suspect in ranked)))
    if not ranked:
        return None
    author = _Author(interview, harness, problem, overview, texts, tests, on_event)
    stated = author.stated(ranked)
    candidates = [(draft, 1) for draft in stated] or _believed(author.drafts(ranked, count))
    for draft, agreed in candidates:
        added = replace(harness, added={draft.path: draft.text})
        for command in (harness.command, _with_file(harness.command, draft.path)):
            judged = replace(added, command=command) if command is not None else added
            judged.put({})
            outcome = judged.run(judged.command, interview.budget.deadline)
            if _fails_by(outcome, before, draft.path):
                shown = Reproduction(
                    draft.path, draft.text, draft.says, agreed, author.asked, "report" if stated else "model"
                )
                on_event(shown)
                return judged, outcome, shown
    return None


class _Author:
    """Asks for drafts about one problem and runs them."""

    def __init__(
        self, interview: Interview, harness: Harness, problem: str, overview: str, texts: Mapping[str, str],
        tests: Mapping[str, str], on_event: OnEvent,
    ) -> None:  # fmt: skip
        self.asked = 0
        self._interview, self._harness, self._on_event = interview, harness, on_event
        self._problem, self._texts, self._tests = problem, texts, tests
        self._common = prompts.shared(problem, (), overview)
        self._stated = statements(problem)

    def stated(self, suspects: Sequence[Suspect]) -> list[_Draft]:
        """Tests of what the report states, that fail for what the program does; the model is not asked."""
        found = []
        for one in self._stated:
            names = _names(one.expression)
            suspect = next((s for s in suspects if names & {s.name.partition(".")[0], s.name.rpartition(".")[2]}), None)
            if suspect is None:
                continue
            name = suspect.name.rpartition(".")[2].strip("_")
            body = textwrap.indent(one.assertion, "    ")
            try:
                text = test_file.drafted(
                    suspect, f"```python\ndef test_{name}():\n{body}\n```", self._texts, self._tests
                )
            except EditError:
                continue
            beside = test_file.example(suspect, self._tests)
            path = test_file.new_path(beside.path, self._harness.checkout.paths, suspect)
            seen = self._run(path, text)
            if isinstance(seen, Shown):
                found.append(_Draft(path, text, seen.says, test_file.assertion(text, seen.line), 1.0))
        return found

    def drafts(self, suspects: Sequence[Suspect], count: int) -> list[_Draft]:
        """The drafts that show something, in order; no more are asked for once enough agree."""
        found: list[_Draft] = []
        examples = [test_file.example(suspect, self._tests) for suspect in suspects]
        turns: Counter[int] = Counter()
        while self.asked < count and not self._interview.spent():
            index = max(range(len(suspects)), key=lambda i: suspects[i].score / (1 + turns[i]))
            draft = self._draft(suspects[index], examples[index], turns[index])
            turns[index] += 1
            self.asked += 1
            found += [draft] if draft is not None else []
            if max(Counter(draft.assertion for draft in found if draft.told == 1.0).values(), default=0) >= _AGREED:
                break
        return found

    def _draft(self, suspect: Suspect, shown: Example, number: int) -> _Draft | None:
        interview, started = self._interview, time.monotonic()
        attempt = interview.begin()
        temperature = min(_HOTTEST, _COOLEST + _STEP * (number - 1)) if number else 0.0
        self._on_event(Asked(attempt, suspect.label, temperature))
        prompt = prompts.for_test(
            self._common, suspect, self._texts, shown.tests, test_file.opening(suspect, self._problem)
        )
        top_p = 0.95 if temperature else 1.0
        sampling = Sampling(
            temperature=temperature, top_p=top_p, seed=interview.seed(), max_tokens=_ROOM, stop=prompt.stop
        )
        reply = interview.ask(prompt, sampling)
        draft: _Draft | None = None
        text = ""
        detail = "the answer has no end"
        verdict: DraftVerdict = "unusable"
        if not reply.cut:
            try:
                text = test_file.drafted(suspect, reply.text, self._texts, self._tests)
                path = test_file.new_path(shown.path, self._harness.checkout.paths, suspect)
                seen = self._run(path, text)
                said = test_file.assertion(text, seen.line if isinstance(seen, Shown) else None)
                if wrong := contradicts(said, self._stated):
                    verdict, detail = "mistaken", wrong
                elif isinstance(seen, Shown):
                    verdict, detail = "shows", seen.says
                    told = 1.0 if seen.named else test_file.told(said, self._problem)
                    draft = _Draft(path, text, seen.says, said, told)
                else:
                    verdict, detail = ("passes" if seen == "it passes" else "mistaken"), seen
            except EditError as error:
                detail = str(error).splitlines()[0]
        usage = reply.usage
        self._on_event(
            Drafted(
                attempt, suspect.label, verdict, detail, text, usage.prompt_tokens, usage.cached_tokens,
                usage.completion_tokens, round(time.monotonic() - started, 2),
            )
        )  # fmt: skip
        return draft

    def _run(self, path: str, text: str) -> Shown | str:
        """How a draft fails, alone where that can be asked for."""
        harness = replace(self._harness, added={path: text})
        harness.put({})
        command = _with_file(harness.command, path) or harness.command
        return test_file.shown(harness.run(command, self._interview.budget.deadline), path, self._problem)


def _names(expression: str) -> frozenset[str]:
    """Every name and attribute in an expression."""
    tree = source.parse(expression)
    return source.mentioned(tree) if tree is not None else frozenset()


def _believed(found: Sequence[_Draft]) -> list[tuple[_Draft, int]]:
    """The drafts to believe in, the best first, each assertion once; and how many hold the same to be true.

    Those in the problem's own words come first, and need no other to agree with them.
    """
    agreed = Counter(draft.assertion for draft in found)
    first = {draft.assertion: draft for draft in reversed(found)}
    believed = [draft for draft in first.values() if agreed[draft.assertion] >= _AGREED or draft.told == 1.0]
    best = sorted(believed, key=lambda draft: (-draft.told, -agreed[draft.assertion], found.index(draft)))
    return [(draft, agreed[draft.assertion]) for draft in best]


def _fails_by(outcome: TestReport, before: TestReport, path: str) -> bool:
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


def _test_texts(harness: Harness) -> dict[str, str]:
    paths = sorted(path for path in harness.checkout.paths if path.endswith(".py") and is_test_file(path))
    return {path: text for path in paths if (text := harness.test_text(path))}
