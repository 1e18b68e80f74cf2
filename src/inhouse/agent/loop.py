"""The agent: asks the model, carries out what it calls for, until the task is done or a limit is met.

History is only ever appended to, so that the model reads each token once; a compaction is the one exception. Everything
goes to the session before the next thing happens. Knows a chat client, a desk and a session; no terminal, no editor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from inhouse.agent import briefing, context
from inhouse.agent.acting import Acting
from inhouse.agent.asking import Asking, Reply
from inhouse.agent.desk import Desk
from inhouse.agent.journal import Journal
from inhouse.agent.permissions import Permissions
from inhouse.agent.session import Session
from inhouse.agent.state import INTERRUPTED
from inhouse.agent.steps import Compacted, Ended, OnStep, Planned, Reason, Warned
from inhouse.agent.tools.base import AgentTool
from inhouse.agent.tools.edit import edit_tools
from inhouse.agent.tools.plan import Item, finish_tool, todo_tool
from inhouse.agent.tools.shell import bash_tool
from inhouse.agent.tools.symbols import symbols_tool
from inhouse.agent.tools.tests import tests_tool
from inhouse.agent.tools.view import search_tool, view_tool
from inhouse.agent.verdict import verdict
from inhouse.client.shape import unicode_text
from inhouse.client.types import ChatClient, Message, Sampling, Usage
from inhouse.errors import ContextLengthError
from inhouse.workspace.overview import map_tokens, overview
from inhouse.workspace.shadow import Change

_UNUSABLE = 3  # answers in a row that are empty or were cut: the model has lost its way
_SMALLEST_ANSWER = 256


@dataclass(frozen=True)
class AgentOptions:
    """`context` is the model's, in tokens. The limits are of one turn; `turns` counts answers of the model.

    `map_tokens` are for the map of the repository: None is in proportion to the context, 0 is no map.
    """

    context: int = 32_768
    turns: int | None = None
    minutes: float | None = None
    tokens: int | None = None  # computed: answers, and what of the prompts was not in the cache
    answer_tokens: int = 8_192
    thinking_budget: int | None = 8_192
    map_tokens: int | None = None
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=0.6, top_p=0.95, top_k=20))


@dataclass
class _Turn:
    """What one turn has used so far."""

    started: float
    answers: int = 0
    usage: Usage = field(default_factory=Usage)
    unusable: int = 0

    def add(self, usage: Usage) -> None:
        self.answers += 1
        self.usage = Usage(
            self.usage.prompt_tokens + usage.prompt_tokens,
            self.usage.cached_tokens + usage.cached_tokens,
            self.usage.completion_tokens + usage.completion_tokens,
        )


class Agent:
    """One session's agent. Use from one thread at a time.

    `extra` are tools beyond our own.
    """

    def __init__(
        self,
        client: ChatClient,
        desk: Desk,
        session: Session,
        permissions: Permissions,
        options: AgentOptions,
        on_step: OnStep = lambda step: None,
        *,
        extra: Sequence[AgentTool] = (),
    ) -> None:
        self.desk = desk
        self.permissions = permissions
        self.options = options
        self.on_step = on_step
        self.journal = Journal(session, desk.root)
        self._client = client
        self._system = Message("system", session.header.system)
        self._meter = context.Meter(client, options.context)
        own = [
            bash_tool(desk), view_tool(desk), *edit_tools(desk), search_tool(desk), symbols_tool(desk),
            tests_tool(desk), todo_tool(self._planned), finish_tool(),
        ]  # fmt: skip
        self.tools = {tool.name: tool for tool in [*own, *extra]}
        for call in self.journal.state.open_calls():
            self.journal.message(Message("tool", INTERRUPTED, tool_call_id=call.id, name=call.name))

    @property
    def messages(self) -> list[Message]:
        """The conversation as the model sees it."""
        return [self._system, *self.journal.state.messages]

    def turn(self, prompt: str | None, cancelled: Callable[[], bool] = lambda: False) -> Ended:
        """Work on what the user says; None goes on where the last turn was interrupted.

        Raises what the client raises, such as ContextLengthError or PeerError; the session can be gone on with.
        """
        turn = _Turn(time.monotonic())
        self.desk.read_only = self.permissions.mode == "plan"
        self.journal.checkpoint()
        if prompt is not None:
            first = not self.journal.state.messages
            text = briefing.first_message(self.desk, prompt, self._overview(prompt)) if first else prompt
            self.journal.message(Message("user", unicode_text(text)), unicode_text(prompt))
        acting = Acting(self.desk, self.tools, self.permissions, self.journal, self.on_step, cancelled)
        reason, text = self._work(turn, acting, self._asking(cancelled))
        return self._ended(turn, acting, reason, text)

    def compact(self) -> Compacted:
        """Replace the conversation by a summary now."""
        asking = self._asking(lambda: False)
        return self._compact(asking, notes=True)

    def undo(self, count: int = 1) -> list[Change]:
        """Take back the last calls that changed files, and tell the model. Raises WorkspaceError."""
        undone = self.journal.undo(count)
        paths = ", ".join(dict.fromkeys(change.path for change in undone))
        self.journal.message(
            Message("user", f"[The user took back your last change of: {paths}. The files are as before it.]")
        )
        return undone

    def diff(self) -> str:
        """What changed since the session began."""
        return self.journal.diff()

    def close(self) -> None:
        """End the shells; the session is closed by whoever opened it."""
        self.desk.close()

    def _overview(self, prompt: str) -> str:
        """The map of the repository: drawn once in a session, kept in it, and done without where it fails."""
        wanted = self.options.map_tokens
        budget = map_tokens(self.options.context) if wanted is None else wanted
        if self.journal.state.overview or budget <= 0:
            return self.journal.state.overview
        try:
            text = overview(self.desk.root, prompt, budget, self._client.count_tokens, self.desk.maps)
        except Exception as error:  # of a disk, a parser, a process that was killed: nothing that the task needs
            self.on_step(Warned("map", f"there is no map of the repository: {error}"))
            return ""
        if text:
            self.journal.overview(text)
        return text

    def _asking(self, cancelled: Callable[[], bool]) -> Asking:
        tools = [tool.tool for tool in self.tools.values()]
        options = self.options
        return Asking(self._client, tools, options.sampling, options.thinking_budget, self.on_step, cancelled)

    def _work(self, turn: _Turn, acting: Acting, asking: Asking) -> tuple[Reason, str]:
        """Answers and calls, to the end of the turn: why it ended, and what there is to say."""
        while True:
            if over := self._over(turn):
                return over, ""
            reply = self._ask(asking, turn)
            message = reply.message
            if reply.finish == "cancelled":
                if message.content or message.reasoning:
                    self.journal.message(replace(message, tool_calls=()))
                return "cancelled", message.content
            self.journal.message(message)
            self._meter.measured(reply.usage, len(self.messages))
            if message.tool_calls:
                turn.unusable = 0
                for call in message.tool_calls:
                    result = acting.act(call)
                    self.journal.message(result, word=acting.word, call=acting.call)
                if acting.finished is not None:
                    return "finished", acting.finished
                if acting.cancelled():
                    return "cancelled", ""
                if acting.guards.stop is not None:
                    kind, text = acting.guards.stop
                    return ("loop" if kind == "loop" else "malformed"), text
                continue
            if note := _unusable(reply, self.options):
                turn.unusable += 1
                if turn.unusable >= _UNUSABLE:
                    return "silent", "the model gave no answer that could be used"
                self._nudge("answer", note)
            elif said := acting.challenge():
                self._nudge("evidence", said)
            else:
                return "answered", message.content

    def _nudge(self, guard: str, text: str) -> None:
        self.on_step(Warned(guard, text))
        self.journal.message(Message("user", f"[{text}]"), word=guard if guard == "evidence" else "")

    def _over(self, turn: _Turn) -> Reason | None:
        options, used = self.options, turn.usage
        if options.turns is not None and turn.answers >= options.turns:
            return "max_turns"
        if options.minutes is not None and time.monotonic() - turn.started >= 60 * options.minutes:
            return "max_minutes"
        computed = used.prompt_tokens - used.cached_tokens + used.completion_tokens
        return "max_tokens" if options.tokens is not None and computed >= options.tokens else None

    def _ask(self, asking: Asking, turn: _Turn) -> Reply:
        """The next answer, after a compaction if the context is nearly full, or turns out to be."""
        if self._meter.size(self.messages) > self._meter.limit:
            self._compact(asking, notes=True)
        try:
            reply = self._within(asking).ask(self.messages)
        except ContextLengthError:
            self._compact(asking, notes=False)
            reply = self._within(asking).ask(self.messages)
        turn.add(reply.usage)
        self.journal.answer(reply.usage)
        return reply

    def _within(self, asking: Asking) -> Asking:
        """`asking` with as much room for the answer as the context has left."""
        room = self.options.context - self._meter.size(self.messages)
        tokens = max(_SMALLEST_ANSWER, min(self.options.answer_tokens, self.options.context // 4, room))
        return replace(asking, sampling=replace(asking.sampling, max_tokens=tokens))

    def _compact(self, asking: Asking, *, notes: bool) -> Compacted:
        """Replace the conversation; `notes`: the model is asked for its own first, for which there must be room."""
        state = self.journal.state
        before = self._meter.size(self.messages)
        text = ""
        if notes:
            try:
                reply = self._within(asking).ask([*self.messages, Message("user", context.ASK)])
                text = reply.message.content
                self.journal.answer(reply.usage)
            except ContextLengthError:
                text = ""
        kept = context.Kept(
            briefing.facts(self.desk, state.overview), state.prompts, state.plan, self.journal.changed_paths(),
            state.failing, state.tests_passed,
        )  # fmt: skip
        tail = context.last_exchange(state.messages, self._meter)
        self.journal.compacted([Message("user", context.summary(kept, text)), *tail])
        self._meter.reset()
        step = Compacted(before, self._meter.size(self.messages))
        self.on_step(step)
        return step

    def _planned(self, items: Sequence[Item]) -> None:
        self.journal.plan(items)
        self.on_step(Planned(tuple(items)))

    def _ended(self, turn: _Turn, acting: Acting, reason: Reason, text: str) -> Ended:
        found = self.journal.survey()
        judged = verdict(acting.evidence, found, reason)
        failing = tuple(acting.evidence.failing)
        self.journal.turn(reason, text)
        used = turn.usage
        ended = Ended(
            reason, text, turn.answers, used.prompt_tokens, used.cached_tokens, used.completion_tokens,
            round(time.monotonic() - turn.started, 2), found.changed, failing, judged,
        )  # fmt: skip
        self.on_step(ended)
        return ended


def _unusable(reply: Reply, options: AgentOptions) -> str:
    """What to say to an answer that is no answer; "" to one that is."""
    if reply.cut == "thinking":
        return (
            f"Your thinking was cut after {options.thinking_budget} tokens. Do not begin it again: take the next step "
            "now, with a tool call"
        )
    if reply.cut == "repetition":
        return "Your answer was cut because it repeated itself. Take the next step now, with a tool call"
    if reply.finish == "length":
        return "Your answer was cut because it was too long. Go on with smaller steps, one tool call at a time"
    if not reply.message.content.strip():
        return "Your answer was empty. Call a tool, or finish with a summary"
    return ""
