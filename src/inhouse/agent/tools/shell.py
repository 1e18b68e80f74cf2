"""`bash`: commands in a shell that stays. Knows how results are worded, not how commands are confined."""

from __future__ import annotations

from functools import partial

from inhouse.agent.desk import COMMAND_SECONDS, LONGEST_COMMAND, Desk
from inhouse.agent.tools.base import Action, AgentTool, Arguments, Control, ToolResult, define
from inhouse.agent.tools.folding import fold
from inhouse.workspace.shell import ShellResult

_DESCRIPTION = (
    "Run a command in a bash shell that stays: its directory and variables live on in the next call. Commands have no "
    "network and no standard input, and long output is folded. Prefer view, search and the edit tools for files."
)


def bash_tool(desk: Desk) -> AgentTool:
    parameters = {
        "command": {"type": "string", "description": "what bash shall run"},
        "timeout": {"type": "integer", "description": f"seconds, default {COMMAND_SECONDS:.0f}"},
    }
    example = {"command": "git log --oneline -5"}
    return define("bash", _DESCRIPTION, parameters, ("command",), partial(_prepare, desk), example)


def _prepare(desk: Desk, arguments: Arguments) -> Action:
    command = arguments["command"]
    seconds = min(max(1.0, float(arguments.get("timeout", COMMAND_SECONDS))), LONGEST_COMMAND)

    def run(control: Control) -> ToolResult:
        result = desk.shell.run(command, timeout=seconds, cancelled=control.cancelled, on_output=control.on_output)
        return ToolResult(
            _worded(result, seconds), result.ok, cancelled=result.stopped == "cancelled", exit_code=result.exit_code
        )

    return Action("execute", command, run, (desk.shell.cwd,))


def _worded(result: ShellResult, seconds: float) -> str:
    """The folded output, and how the command ended where that is not plain success."""
    parts = [fold(result.output)] if result.output.strip() else []
    if result.stopped == "timeout":
        parts.append(
            f"[killed after {seconds:.0f} s; give a longer timeout, run less, or put it in the background with & and "
            "its output in a file]"
        )
    elif result.stopped == "cancelled":
        parts.append("[stopped by the user]")
    elif result.stopped is not None:
        parts.append(f"[killed: it used too much of the limit on {result.stopped}]")
    elif result.exit_code:
        parts.append(f"[exit code {result.exit_code}]")
    if result.restarted:
        parts.append(f"[the shell ended; a new one begins in {result.cwd}, without its variables]")
    return "\n".join(parts) or "[no output, exit code 0]"
