"""What a user says to the agent itself and not to its model: the same in a terminal and in an editor. Shows nothing.

`/continue` is a turn without words, so whoever runs turns runs it; all others are answered here.
"""

from __future__ import annotations

from dataclasses import dataclass

from inhouse.agent.loop import Agent
from inhouse.agent.permissions import MODES
from inhouse.agent.tools.plan import worded
from inhouse.errors import ParameterError


@dataclass(frozen=True)
class Command:
    """`argument` as in a usage line, "" where there is none."""

    name: str
    about: str
    argument: str = ""


CONTINUE = "continue"
COMMANDS = (
    Command("undo", "take back the agent's last change of files (or N of them)", "[N]"),
    Command("diff", "what changed since the session began"),
    Command("plan", "the agent's plan"),
    Command("compact", "replace the conversation by a summary"),
    Command("mode", f"what needs no question: {', '.join(MODES[:-1])} or {MODES[-1]}", "[MODE]"),
    Command(CONTINUE, "go on where the agent was interrupted"),
    Command("fork", "copy this session as it is now, to go on from there as well"),
)


@dataclass(frozen=True)
class Answer:
    """What to show the user; nothing where the command's own steps said it. `diff`: the text is a unified diff."""

    text: str
    diff: bool = False


def command_of(text: str) -> tuple[str, str] | None:
    """The command that a text begins with, without its slash, and its argument; None of what is for the model."""
    word, *rest = text.split(maxsplit=1) or [""]
    known = any(word == f"/{command.name}" for command in COMMANDS)
    return (word[1:], "".join(rest).strip()) if known else None


def answer(agent: Agent, name: str, argument: str) -> Answer:
    """Carry out a command. Raises ParameterError, and what the agent raises."""
    match name:
        case "undo":
            changes = agent.undo(_count(argument))
            return Answer("\n".join(f"undone: {change.path}" for change in changes))
        case "diff":
            diff = agent.diff()
            return Answer(diff, diff=True) if diff else Answer("nothing changed")
        case "plan":
            return Answer(worded(agent.journal.state.plan) or "there is no plan")
        case "compact":
            agent.compact()
            return Answer("")
        case "mode":
            return _mode(agent, argument)
        case "fork":
            session = agent.journal.session
            with session.fork(session.folder.parent) as new:
                return Answer(f"session {new.id} is a copy; inhouse agent --resume {new.id} goes on with it")
    raise ParameterError(f"there is no command /{name}; it is one of {', '.join(f'/{one.name}' for one in COMMANDS)}")


def _count(argument: str) -> int:
    if argument and not argument.isdecimal():
        raise ParameterError(f"{argument!r} is no number; say how many changes to undo, as in /undo 2")
    return int(argument or 1)


def _mode(agent: Agent, wanted: str) -> Answer:
    found = next((mode for mode in MODES if mode == wanted), None)
    if wanted and found is None:
        raise ParameterError(f"there is no mode {wanted}; it is one of {', '.join(MODES)}")
    agent.permissions.mode = found or agent.permissions.mode
    return Answer(f"mode {agent.permissions.mode}")
