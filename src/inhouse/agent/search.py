"""The search for a patch: which suspect to ask about next and how, what to make of the answer, when to stop.

Turns go to suspects by the evidence against them. The first question about each is answered greedily, later ones with
rising temperature; every third one tells what was tried and how it failed, every fourth lets the model say what is
wrong before it writes. A patch that repairs a part of the tests is returned as such, so that the caller can look for
the rest from there. Knows nothing of how suspects were found.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from inhouse.agent import answers, prompts
from inhouse.agent.events import Asked, OnEvent, Tried, Verdict
from inhouse.agent.localise import Suspect, shifted
from inhouse.agent.outcome import Outcome
from inhouse.agent.prompts import Earlier, Prompt
from inhouse.agent.verify import Bench, is_better, is_repaired
from inhouse.client.types import ChatClient, ChatRequest, FinishReason, Sampling, Usage
from inhouse.workspace import source
from inhouse.workspace.checkout import Patch
from inhouse.workspace.edits import EditError

_DETAIL_LINES = 8  # of a failure, in events and in what the model is told of an earlier attempt
_SMALLEST_ANSWER = 160  # tokens allowed at least
_TELL_EVERY = 3  # questions; the others are asked as if for the first time: small models repeat what they are shown
_EXPLAIN_EVERY = 4  # answers; the others are code at once
_EXPLANATION = 120  # tokens allowed on top for saying what is wrong


@dataclass(frozen=True)
class Budget:
    """When to stop, and what varies the answers. `deadline` is of time.monotonic."""

    deadline: float
    attempts: int
    seed: int


@dataclass(frozen=True)
class Reply:
    """A whole answer, prefill included; `cut` when time or the limit of tokens ended it."""

    text: str
    cut: bool
    usage: Usage


@dataclass
class _Record:
    """What is known of one suspect so far."""

    suspect: Suspect
    asked: int = 0
    fruitless: int = 0  # answers that left the program as it was, or could not be used
    earlier: list[Earlier] | None = None


@dataclass(frozen=True)
class Found:
    """The end of a search: the best patch (empty when none helped) and how the tests end with it."""

    patch: Patch
    outcome: Outcome


class Search:
    """One search over given suspects, from a program (the user's with `base` on top) that fails as `before` says."""

    def __init__(self, client: ChatClient, bench: Bench, budget: Budget, on_event: OnEvent) -> None:
        self._client, self._bench, self._budget, self._on_event = client, bench, budget, on_event
        self._seen: set[str] = set()
        self.attempts = 0

    def spent(self) -> bool:
        """Whether time or attempts have run out."""
        return self.attempts >= self._budget.attempts or time.monotonic() >= self._budget.deadline

    def run(
        self, common: str, suspects: Sequence[Suspect], texts: Mapping[str, str], base: Patch, before: Outcome
    ) -> Found | None:
        """The first patch that repairs all, or some, of what fails; None when time or attempts ran out first.

        `texts` are the program's files as they are with `base`.
        """
        records = [_Record(suspect, earlier=[]) for suspect in suspects]
        for record, number in self._turns(records):
            found = self._attempt(common, record, number, texts, base, before)
            if found is not None:
                return found
        return None

    def _turns(self, records: list[_Record]) -> Iterator[tuple[_Record, int]]:
        """Whom to ask next, and for the how-manieth time, until the budget is spent.

        Turns are shared out in proportion to the evidence (by highest averages, as seats in a parliament), so that a
        plain suspect gets most of them and no other none. Answers that came to nothing count double.
        """
        while records and not self.spent():
            record = max(records, key=lambda record: record.suspect.score / (1 + record.asked + record.fruitless))
            yield record, record.asked

    def _attempt(
        self, common: str, record: _Record, number: int, texts: Mapping[str, str], base: Patch, before: Outcome
    ) -> Found | None:
        """One question and what came of it."""
        suspect = record.suspect
        explain = number % _EXPLAIN_EVERY == _EXPLAIN_EVERY - 1
        self.attempts += 1
        temperature = 0.0 if number == 0 else min(1.0, 0.6 + 0.1 * number)
        self._on_event(Asked(self.attempts, suspect.label, temperature))
        started = time.monotonic()
        earlier = (record.earlier or [])[-1:] if number % _TELL_EVERY == _TELL_EVERY - 1 else []
        prompt = prompts.for_suspect(common, suspect, texts, earlier, explain=explain)
        reply = self._ask(prompt, self._sampling(prompt, suspect, texts, temperature, explain=explain))
        verdict, detail, found = self._judge(record, reply, texts, base, before)
        record.asked += 1
        record.fruitless += verdict in ("unchanged", "repeated", "unusable")
        usage = reply.usage
        spent = time.monotonic() - started
        self._on_event(
            Tried(
                self.attempts, suspect.label, verdict, detail,
                usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens, round(spent, 2),
            )
        )  # fmt: skip
        return found

    def _sampling(
        self, prompt: Prompt, suspect: Suspect, texts: Mapping[str, str], temperature: float, *, explain: bool
    ) -> Sampling:
        size = self._client.count_tokens(prompts.suspect_text(suspect, texts[suspect.path]))
        room = max(_SMALLEST_ANSWER, size + size // 2 + 60) + (_EXPLANATION if explain else 0)
        return Sampling(
            temperature=temperature,
            top_p=0.95 if temperature else 1.0,
            seed=self._budget.seed * 1009 + self.attempts,
            max_tokens=room,
            stop=prompt.stop,
        )

    def _ask(self, prompt: Prompt, sampling: Sampling) -> Reply:
        """The answer to a prompt; it ends early when time is up or its code block is closed."""
        pieces = [prompt.prefill]
        usage: Usage | None = None
        finish: FinishReason | None = None
        stream = self._client.stream(ChatRequest(prompt.messages, sampling=sampling, prefill=prompt.prefill))
        try:
            for delta in stream:
                pieces.append(delta.content)
                usage, finish = delta.usage or usage, delta.finish or finish
                if time.monotonic() >= self._budget.deadline:
                    break
                if "```" in delta.content and "".join(pieces).count("```") >= 2:
                    finish = "stop"
                    break
        finally:
            if close := getattr(stream, "close", None):
                close()
        text = "".join(pieces)
        if usage is None:  # ended by us, so that the engine did not say; what it had cached is unknown
            read = sum(self._client.count_tokens(message.content) for message in prompt.messages)
            usage = Usage(read, 0, self._client.count_tokens(text.removeprefix(prompt.prefill)))
        return Reply(text, finish not in ("stop", "tool_calls"), usage)

    def _judge(
        self, record: _Record, reply: Reply, texts: Mapping[str, str], base: Patch, before: Outcome
    ) -> tuple[Verdict, str, Found | None]:
        suspect = record.suspect
        try:
            text = _applied(suspect, texts[suspect.path], reply)
        except EditError as error:
            return "unusable", str(error).splitlines()[0], None
        if _same(suspect.path, text, texts[suspect.path]):
            return "unchanged", "the new version is the old one", None
        key = _normal(suspect.path, text)
        if key in self._seen:
            return "repeated", "this version has been tried", None
        self._seen.add(key)
        patch = {**base, suspect.path: text}
        after = self._bench.test(patch, before, self._budget.deadline)
        if is_repaired(after, before):
            return "verified", "", Found(patch, after)
        detail = _first_lines(after.summary) or "fewer tests ran than before"
        if is_better(after, before):
            return "better", detail, Found(patch, after)
        now = shifted(suspect, text)
        if now is not None and record.earlier is not None:
            record.earlier.append(Earlier(prompts.suspect_text(now, text), detail))
        return "failed", detail, None


def _applied(suspect: Suspect, text: str, reply: Reply) -> str:
    """The new text of the suspect's file. Raises EditError when the answer cannot be used."""
    if reply.cut:
        raise EditError("the answer has no end; write less")
    if suspect.kind == "function" and "<<<<<<< SEARCH" in reply.text:
        new = answers.edited(text, reply.text)
    elif suspect.kind == "function":
        new = answers.rewritten_function(text, suspect.name, reply.text)
    else:
        new = answers.rewritten_lines(text, suspect.first, suspect.last, reply.text)
    if suspect.path.endswith(".py") and source.parse(text) is not None and (problem := source.syntax_error(new)):
        raise EditError(f"the new code is not valid Python ({problem})")
    return new


def _same(path: str, new: str, old: str) -> bool:
    return new == old or _normal(path, new) == _normal(path, old)


def _normal(path: str, text: str) -> str:
    """What two versions have in common that differ in comments, docstrings or layout alone."""
    plain = source.without_comments(text) if path.endswith(".py") else None
    return f"{path}\0{plain if plain is not None else text.strip()}"


def _first_lines(text: str) -> str:
    return "\n".join(text.strip().splitlines()[:_DETAIL_LINES])
