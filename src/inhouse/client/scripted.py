"""A client that answers from a script, for tests of whatever talks to a model. Knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from inhouse.client.types import Answer, ChatRequest, Delta, Message, Scorer, Usage

Scripted: TypeAlias = str | Answer
Line: TypeAlias = Scripted | Callable[[ChatRequest], Scripted]


class ScriptedClient:
    """Gives `answers` one after the other and records the requests.

    An answer is a text, a whole `Answer` (with tool calls, reasoning, a finish reason), or a function of the request
    that returns either. Its content is what a model would stream, without the request's prefill.
    """

    def __init__(self, answers: Sequence[Line], scorer: Scorer | None = None) -> None:
        self.scorer = scorer
        self.requests: list[ChatRequest] = []
        self._answers = list(answers)

    @property
    def remaining(self) -> int:
        """How many answers have not been asked for."""
        return len(self._answers) - len(self.requests)

    def stream(self, request: ChatRequest) -> Iterator[Delta]:
        """The next answer, line by line.

        Raises AssertionError at once when there is none: no handler of a user's errors may mistake that for one.
        """
        if not self.remaining:
            asked = request.messages[-1].content if request.messages else ""
            raise AssertionError(f"all {len(self._answers)} scripted answers are used up; asked: {asked[:200]!r}")
        line = self._answers[len(self.requests)]
        self.requests.append(request)
        answer = line(request) if callable(line) else line
        return self._deltas(request, self._whole(request, answer))

    def count_tokens(self, text: str) -> int:
        """About four characters each."""
        return (len(text) + 3) // 4

    def _whole(self, request: ChatRequest, answer: Scripted) -> Answer:
        if isinstance(answer, Answer):
            return answer
        prompt = sum(self.count_tokens(message.content) for message in request.messages)
        return Answer(Message("assistant", answer), "stop", Usage(prompt, 0, self.count_tokens(answer)))

    def _deltas(self, request: ChatRequest, answer: Answer) -> Iterator[Delta]:
        message = answer.message
        for line in message.reasoning.splitlines(keepends=True):
            yield Delta(reasoning=line)
        for line in message.content.splitlines(keepends=True):
            yield Delta(content=line)
        for call in message.tool_calls:
            yield Delta(tool_calls=(call,))
        yield Delta(finish=answer.finish, usage=answer.usage)
