"""Who makes the patches that `inhouse eval swebench` grades: a file, or a model by way of one of our two agents."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inhouse.agent.briefing import SYSTEM
from inhouse.agent.checks import project_checks
from inhouse.agent.desk import open_desk
from inhouse.agent.loop import Agent, AgentOptions
from inhouse.agent.permissions import Permissions
from inhouse.agent.session import Session
from inhouse.cli.chat_client import Connection, agent_flags, connected
from inhouse.cli.common import home, user_environment
from inhouse.errors import ParameterError, WorkspaceError
from inhouse.evals.swebench import Instance, load_predictions
from inhouse.evals.swebench_run import Attempt, Solver
from inhouse.repair import RepairOptions, repair
from inhouse.repair.events import Event, Tried
from inhouse.workspace.toolchains import UserEnvironment

SOLVERS = ("agent", "fix")


@contextmanager
def solver(args: argparse.Namespace) -> Iterator[Solver]:
    """The one that the command line asks for. Raises ParameterError, and what opening a model raises."""
    runs = user_environment((args.python.absolute(),) if args.python is not None else ())
    if args.predictions == "gold":
        yield lambda instance, root: Attempt(instance.patch)
    elif args.predictions == "empty":
        yield lambda instance, root: Attempt("")
    elif args.predictions is not None:
        given = load_predictions(Path(args.predictions))
        yield lambda instance, root: Attempt(given.get(instance.instance_id, ""))
    elif args.model is None and args.url is None:
        raise ParameterError("name a MODEL or a --url, or what to grade with --predictions gold, empty or FILE")
    elif args.solver == "fix":
        with connected(args, {"enable_thinking": False}) as connection:
            yield _by_fix(connection, args.minutes, runs)
    else:
        with connected(args, agent_flags(args)) as connection:
            yield _by_agent(connection, args.minutes, runs)


def _by_agent(connection: Connection, minutes: float, runs: UserEnvironment) -> Solver:
    """What the agent makes of an instance's words, alone in its sandbox: it has to find out by itself what fails."""
    options = AgentOptions(context=connection.context, minutes=minutes)

    def solve(instance: Instance, root: Path) -> Attempt:
        with (
            tempfile.TemporaryDirectory(prefix="inhouse-session-") as folder,
            Session.create(Path(folder), root, connection.model, SYSTEM) as session,
        ):
            desk = open_desk(root, sandboxed=True, user=runs, checks=project_checks, maps=home() / "maps")
            agent = Agent(connection.client, desk, session, Permissions("auto"), options)
            try:
                ended = agent.turn(instance.problem_statement)
                agent.journal.checkpoint()
                diff = agent.journal.diff()
            finally:
                agent.close()
        tokens = ended.prompt_tokens - ended.cached_tokens + ended.completion_tokens
        return Attempt(diff, tokens, f"{ended.reason}: {ended.text}"[:500])

    return _never_raising(solve)


def _by_fix(connection: Connection, minutes: float, runs: UserEnvironment) -> Solver:
    """What `inhouse fix` makes of an instance's words; it needs a test that fails, and says so where none does."""

    def solve(instance: Instance, root: Path) -> Attempt:
        tokens = 0

        def count(event: Event) -> None:
            nonlocal tokens
            if isinstance(event, Tried):
                tokens += event.prompt_tokens - event.cached_tokens + event.answer_tokens

        options = RepairOptions(minutes=minutes, user=runs)
        result = repair(connection.client, root, instance.problem_statement, None, options, count)
        return Attempt(result.diff, tokens, result.reason)

    return _never_raising(solve)


def _never_raising(solve: Callable[[Instance, Path], Attempt]) -> Solver:
    """A repository that cannot be worked on has no patch; the others go on."""

    def attempt(instance: Instance, root: Path) -> Attempt:
        try:
            return solve(instance, root)
        except WorkspaceError as error:
            return Attempt("", 0, str(error))

    return attempt
