"""Carries out the calls of an answer: read, prepare, ask for permission, run, record what changed.

Knows tools, permissions and checkpoints; knows no model.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inhouse.agent.desk import Desk
from inhouse.agent.guards import Evidence, Guards
from inhouse.agent.journal import CallRecord, Journal
from inhouse.agent.permissions import Permissions
from inhouse.agent.steps import Called, Calling, Changed, OnStep, Printed, Warned
from inhouse.agent.tools.base import Action, AgentTool, CallError, Control, Kind, ToolResult, read_arguments
from inhouse.agent.verdict import challenge
from inhouse.client.shape import unicode_text
from inhouse.client.types import Message, ToolCall
from inhouse.errors import InhouseError
from inhouse.workspace.edits import EditError
from inhouse.workspace.testing.report import says_failed

NOT_RUN = "[not run: the user stopped the turn]"

_TEST_COMMAND = re.compile(
    r"\b(pytest|unittest|tox|nox|jest|vitest|(npm|yarn|pnpm)( run)? test|(cargo|go) test|make (\S+ )*(test|check))\b"
)
_ANOTHER_STATE = re.compile(r"\bgit\s+(archive|stash|worktree)\b|\bcd\s+[\"']?/tmp\b")
_MISSING = (126, 127)  # exit codes of a shell that cannot run a command
_SHOWS_NOTHING = frozenset(
    {
        "ls", "cat", "git", "grep", "rg", "head", "tail", "find", "pwd", "cd", "wc", "tree", "less", "file",
        "which", "sed", "true", "awk", "sort", "uniq", "cut", "tr", "diff", "stat", "du", "df", "echo",
        "printf", "mkdir", "touch", "cp", "mv", "rm", "rmdir", "chmod", "ln", "sleep", "export", "set", "unset",
        "type", "date", "ps", "kill", "tee",
    }
)  # fmt: skip
_NO_TESTS = re.compile(r"\b(?:no tests ran|Ran 0 tests|collected 0 items|No tests? found)\b")


@dataclass
class Acting:
    """What one turn needs to carry out calls. `finished` holds the summary once `finish` was accepted."""

    desk: Desk
    tools: Mapping[str, AgentTool]
    permissions: Permissions
    journal: Journal
    on_step: OnStep
    cancelled: Callable[[], bool]
    guards: Guards = field(default_factory=Guards)
    finished: str | None = None
    word: str = ""  # which guard's word the last answer holds, for the journal
    call: CallRecord | None = None  # of the last answer, for the journal

    def act(self, call: ToolCall) -> Message:
        """The tool message that answers a call; whatever goes wrong is said in it."""
        started = time.monotonic()
        self.word = ""
        if self.cancelled():
            return self._answer(call, "other", ToolResult(NOT_RUN, ok=False), started)
        try:
            tool = self._tool(call.name)
            arguments = read_arguments(tool, call.arguments)
        except CallError as error:
            self.guards.malformed()
            self.on_step(Calling(call.id, call.name, "other", f"{call.name}: malformed call"))
            return self._answer(call, "other", ToolResult(f"error: {error}", ok=False), started)
        try:
            action = tool.prepare(arguments)
        except InhouseError as error:
            return self._failed(call, tool, arguments, error, started)
        self.on_step(_calling(call, action, arguments))
        refusal = self.permissions.refusal(call.id, call.name, action, confined=self.desk.confined)
        if refusal:
            text = self._noted(call, refusal, changed=False)
            return self._answer(call, action.kind, ToolResult(text, ok=False), started)
        if call.name == "finish":
            return self._finish(call, arguments, started)
        result = self._run(call, action)
        changed = self._record(call, action, arguments, result)
        text = self._noted(call, result.text, changed=changed)
        if word := self.evidence.reproduction.word():
            self.word = "reproduction"
            self.on_step(Warned(self.word, word))
            text = f"{text}\n{word}"
        return self._answer(call, action.kind, replace(result, text=text), started)

    @property
    def evidence(self) -> Evidence:
        """As the journal has it, so that it is what it was after an interruption."""
        return self.journal.state.evidence

    def challenge(self) -> str:
        """What is to be said, once, against ending now; "" when there is nothing to say."""
        return challenge(self.evidence, self.journal.survey())

    def _tool(self, name: str) -> AgentTool:
        tool = self.tools.get(name)
        if tool is not None:
            return tool
        close = difflib.get_close_matches(name, self.tools, 1, 0.5)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise CallError(f"there is no tool {name!r}.{hint} The tools are {', '.join(self.tools)}")

    def _failed(
        self, call: ToolCall, tool: AgentTool, arguments: Mapping[str, Any], error: InhouseError, started: float
    ) -> Message:
        """A call that is well formed but cannot be carried out: no such file, an edit that does not fit."""
        self.on_step(Calling(call.id, call.name, "other", _title(call.name, arguments), arguments=arguments))
        if isinstance(error, CallError) and not isinstance(error, EditError):
            self.guards.malformed()
        text = self._noted(call, f"error: {error}", changed=False)
        return self._answer(call, "other", ToolResult(text, ok=False), started)

    def _run(self, call: ToolCall, action: Action) -> ToolResult:
        if action.kind == "edit":
            self.journal.cover(action.targets)
        control = Control(self.cancelled, lambda text: self.on_step(Printed(call.id, text)))
        try:
            return action.run(control)
        except InhouseError as error:
            return ToolResult(f"error: {error}", ok=False)

    def _record(self, call: ToolCall, action: Action, arguments: Mapping[str, Any], result: ToolResult) -> bool:
        """Take note of changed files and of tests that ran. Returns whether files changed."""
        verdict = result.verdict
        command = str(arguments.get("command", ""))
        ran_nothing = result.cancelled or result.exit_code in _MISSING
        if _TEST_COMMAND.search(command) and _NO_TESTS.search(result.text) and not says_failed(result.text):
            ran_nothing = True
        if call.name == "bash" and _TEST_COMMAND.search(command) and not ran_nothing:
            verdict = result.ok and not says_failed(result.text)  # a pipe's end is all that its exit code tells of
        paths: tuple[str, ...] = ()
        if action.kind in ("edit", "execute", "other") and (found := self.journal.checkpoint(call.id, action.title)):
            paths = found[1]
            self.on_step(Changed(*found))
        shown = not ran_nothing and not paths and call.name == "bash" and shows_something(command)
        if action.kind == "execute" and (verdict is not None or shown):
            ok, elsewhere = result.ok if verdict is None else verdict, self._elsewhere(command)
            said = " ".join((command or action.title).split())
            code = result.exit_code
            self.journal.ran(verdict, result.failing, said, ok=ok, exit_code=code, elsewhere=elsewhere)
        return bool(paths)

    def _elsewhere(self, command: str) -> bool:
        """Whether a command has run on another state of the program than the workspace's, or on a copy of it."""
        root, here = self.desk.runner.place, Path(self.desk.shell.cwd)
        return bool(_ANOTHER_STATE.search(command)) or not here.is_relative_to(root)

    def _finish(self, call: ToolCall, arguments: Mapping[str, Any], started: float) -> Message:
        if said := self.challenge():
            self.word = "evidence"
            self.on_step(Warned(self.word, said))
            return self._answer(call, "state", ToolResult(f"[not finished yet] {said}", ok=False), started)
        self.finished = str(arguments["summary"])
        return self._answer(call, "state", ToolResult("finished"), started)

    def _noted(self, call: ToolCall, text: str, *, changed: bool) -> str:
        """A result with a guard's word to the model below."""
        note = self.guards.called(call.name, call.arguments, text, changed=changed)
        if note:
            self.on_step(Warned("loop", note))
        return f"{text}\n{note}" if note else text

    def _answer(self, call: ToolCall, kind: Kind, result: ToolResult, started: float) -> Message:
        seconds = round(time.monotonic() - started, 3)
        self.call = CallRecord(kind, result.ok, result.exit_code)
        self.on_step(Called(call.id, call.name, result.ok, result.text, seconds, kind, result.exit_code))
        return Message("tool", unicode_text(result.text), tool_call_id=call.id, name=call.name)


def shows_something(command: str) -> bool:
    """Whether a command does more than to look at files: whether it can show that a change works."""
    words = [part.split()[0] for part in re.split(r"&&|\|\||[;|\n]", command) if part.split()]
    return any(word not in _SHOWS_NOTHING for word in words)


def _calling(call: ToolCall, action: Action, arguments: Mapping[str, Any]) -> Calling:
    return Calling(
        call.id, call.name, action.kind, action.title, action.targets, arguments,
        action.diff, action.old_text, action.new_text,
    )  # fmt: skip


def _title(name: str, arguments: Mapping[str, Any]) -> str:
    about = arguments.get("path") or arguments.get("command") or arguments.get("pattern") or ""
    return f"{name} {about}".strip()
