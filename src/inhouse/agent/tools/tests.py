"""`run_tests`: the project's tests, found and read: pytest, unittest, npm, cargo, go, or a command of the user's."""

from __future__ import annotations

import shlex
import time
from functools import partial

from inhouse.agent.desk import Desk
from inhouse.agent.tools.base import Action, AgentTool, Arguments, Control, ToolResult, define
from inhouse.agent.tools.folding import fold
from inhouse.errors import WorkspaceError
from inhouse.workspace.commands import CommandResult
from inhouse.workspace.environment import prober
from inhouse.workspace.files import read_text
from inhouse.workspace.search import files_of
from inhouse.workspace.testing.command import TestCommand, given_command
from inhouse.workspace.testing.detection import detect
from inhouse.workspace.testing.report import TestReport, read_report, renumbered
from inhouse.workspace.testing.runners import go_modules

_SHOWN = 5  # failures described
_LISTED = 30  # failures named


def tests_tool(desk: Desk) -> AgentTool:
    parameters = {
        "tests": {
            "type": "array",
            "items": {"type": "string"},
            "description": "only these, as their runner names them: 'tests/test_app.py::test_total'; default all",
        },
        "command": {"type": "string", "description": "another test command than the project's"},
    }
    description = "Run the project's tests and say which fail, why, and at which lines."
    example = {"tests": ["tests/test_app.py"]}
    return define("run_tests", description, parameters, (), partial(_prepare, desk), example)


def find_command(desk: Desk) -> tuple[TestCommand, str]:
    """How this project's tests are run, and what is to be known of it. Raises WorkspaceError where there is no way."""
    if desk.test is not None:
        return given_command(desk.test), ""
    found = detect(
        files_of(desk.root), lambda path: _text(desk, path), desk.pythons, prober(desk.runner), stand_in=desk.stand_in
    )
    return found.command, found.notice


def _prepare(desk: Desk, arguments: Arguments) -> Action:
    given = arguments.get("command")
    command, notice = (given_command(given), "") if given else find_command(desk)
    tests = [str(test) for test in arguments.get("tests", ())]
    if tests:
        some = command.only(tests)
        line = f"{command} {shlex.join(tests)}"
        command = some or TestCommand(line, command.kind)
    line = str(command)

    def run(control: Control) -> ToolResult:
        started = time.monotonic()
        # In the shell that stays, so that what was set up there (variables, an activated environment) holds, and the
        # user can stop it; in a subshell, so that it is not changed.
        inner = f"(cd -- {shlex.quote(str(desk.runner.place))} && {line})"
        result = desk.shell.run(
            inner, timeout=desk.test_seconds, cancelled=control.cancelled, on_output=control.on_output
        )
        known = frozenset(files_of(desk.root))
        plain = CommandResult(result.exit_code, result.output, time.monotonic() - started, result.stopped)
        outcome = read_report(plain, command.kind, desk.runner.place, known, go_modules(desk.root, known))
        outcome = renumbered(outcome, partial(_text, desk))
        failing = tuple(sorted(outcome.failing - {""}))
        cancelled = result.stopped == "cancelled"
        verdict = None if cancelled or _ran_nothing(outcome, command) else outcome.passed
        said = _report(line, outcome) + (f"\n({notice})" if notice else "")
        return ToolResult(said, outcome.passed, verdict, failing, cancelled, outcome.exit_code)

    return Action("execute", line, run, (str(desk.root),))


def _ran_nothing(outcome: TestReport, command: TestCommand) -> bool:
    """Whether the run says nothing of the program: no such command, no tests found."""
    return outcome.exit_code in (126, 127) or (command.kind == "pytest" and outcome.exit_code in (4, 5))


def _report(line: str, outcome: TestReport) -> str:
    ran = f"{outcome.ran} tests ran, " if outcome.ran is not None else ""
    if outcome.passed:
        said = f"passed: {ran}{outcome.seconds:.1f} s ({line})"
        return said if outcome.ran is not None else f"{said}\n{fold(outcome.output)}"
    if outcome.stopped:
        return (
            f"the tests were stopped ({outcome.stopped}) after {outcome.seconds:.0f} s ({line})\n{fold(outcome.output)}"
        )
    named = [failure for failure in outcome.failures if failure.id]
    if not named:
        places = [f"{place.path}:{place.line}" for failure in outcome.failures for place in failure.places]
        where = f"\nplaces: {', '.join(places[:10])}" if places else ""
        return f"failed (exit code {outcome.exit_code}, {line})\n{fold(outcome.output)}{where}"
    lines = [f"failed: {len(named)} of {outcome.ran if outcome.ran is not None else '?'} tests ({line})"]
    for failure in named[:_SHOWN]:
        where = ", ".join(f"{place.path}:{place.line}" for place in failure.places[-4:])
        lines += [f"\n{failure.id}" + (f"  at {where}" if where else ""), failure.message]
    rest = named[_SHOWN:_LISTED]
    if rest:
        lines += ["\nalso failing:", *(failure.id for failure in rest)]
    if len(named) > _LISTED:
        lines.append(f"... and {len(named) - _LISTED} more")
    return fold("\n".join(lines))


def _text(desk: Desk, path: str) -> str:
    try:
        return read_text(desk.root, path)
    except WorkspaceError:
        return ""
