"""What a session's records add up to: the conversation, the plan, the checkpoints. Reads records, writes none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from inhouse.agent.guards import Evidence
from inhouse.agent.session import Record
from inhouse.agent.tools.plan import Item
from inhouse.client.shape import message_from
from inhouse.client.types import Message, ToolCall

INTERRUPTED = "[this call was under way when the session was interrupted; look whether it took effect before you go on]"


@dataclass(frozen=True)
class ChangeStep:
    """A call that changed files: the checkpoints before and after it."""

    call: str
    title: str
    before: str
    after: str


@dataclass
class State:
    """`messages` begin after the system prompt."""

    messages: list[Message] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)  # of the user, word for word
    plan: list[Item] = field(default_factory=list)
    changes: list[ChangeStep] = field(default_factory=list)  # that can be undone
    overview: str = ""  # the map of the repository, as it was when the session began
    first_checkpoint: str = ""
    last_checkpoint: str = ""
    failing: tuple[str, ...] = ()
    tests_passed: bool | None = None
    evidence: Evidence = field(default_factory=Evidence)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0

    def apply(self, record: Record) -> None:
        """Take in one record."""
        kind = record["kind"]
        if kind == "message":
            self.messages.append(message_from(record["message"]))
            if "prompt" in record:
                self.prompts.append(record["prompt"])
                self.evidence = self.evidence.begun(record["prompt"], self.last_checkpoint)
            if "word" in record:
                self.evidence.said(record["word"])
        elif kind == "compacted":
            self.messages = [message_from(message) for message in record["messages"]]
        elif kind == "overview":
            self.overview = record["text"]
        elif kind == "plan":
            self.plan = [Item(item["text"], item["status"]) for item in record["items"]]
        elif kind in ("tests", "ran"):
            self._ran(record)
        elif kind == "turn" and record["reason"] == "finished":
            self.evidence.finished()
        elif kind == "checkpoint":
            self._checkpoint(record)
        elif kind == "covered":
            named = record["checkpoints"]  # those of before, and what takes their place
            self.first_checkpoint = named.get(self.first_checkpoint, self.first_checkpoint)
            self.last_checkpoint = named.get(self.last_checkpoint, self.last_checkpoint)
            self.evidence.start = named.get(self.evidence.start, self.evidence.start)
        elif kind == "undone":
            del self.changes[len(self.changes) - record["count"] :]
            self.last_checkpoint = record["tree"]
        elif kind == "answer":
            self.prompt_tokens += record["prompt_tokens"]
            self.cached_tokens += record["cached_tokens"]
            self.completion_tokens += record["completion_tokens"]

    def _ran(self, record: Record) -> None:
        elsewhere = record.get("elsewhere", False)
        command, exit_code = record.get("command", ""), record.get("exit_code")
        if record["kind"] == "ran":
            self.evidence.ran(None, command=command, ok=record["ok"], exit_code=exit_code, elsewhere=elsewhere)
            return
        passed, failing = record["passed"], tuple(record["failing"])
        self.evidence.ran(passed, failing, ok=passed, command=command, exit_code=exit_code, elsewhere=elsewhere)
        if not elsewhere:
            self.tests_passed, self.failing = passed, failing

    def _checkpoint(self, record: Record) -> None:
        if record.get("call"):
            self.evidence.edited(record["paths"], record.get("added", ()))
            self.changes.append(ChangeStep(record["call"], record["title"], self.last_checkpoint, record["tree"]))
        self.first_checkpoint = self.first_checkpoint or record["tree"]
        self.last_checkpoint = record["tree"]

    def open_calls(self) -> list[ToolCall]:
        """Calls of the last answer that have no result: the session was interrupted while they ran."""
        answered = set()
        for message in reversed(self.messages):
            if message.role == "tool":
                answered.add(message.tool_call_id)
            elif message.role == "assistant":
                return [call for call in message.tool_calls if call.id not in answered]
            else:
                return []
        return []


def state_of(records: Iterable[Record]) -> State:
    state = State()
    for record in records:
        state.apply(record)
    return state
