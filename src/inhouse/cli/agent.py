"""`inhouse agent`: a conversation with an engineer in your repository; without a terminal, one task and its end."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console

from inhouse.agent.briefing import SYSTEM
from inhouse.agent.checks import project_checks
from inhouse.agent.commands import COMMANDS, CONTINUE, answer
from inhouse.agent.desk import Desk, open_desk
from inhouse.agent.loop import Agent, AgentOptions
from inhouse.agent.permissions import MODES, Mode, Permissions, Question, Reply, nobody
from inhouse.agent.session import Session, find, read
from inhouse.agent.steps import Ended, Warned
from inhouse.agent.tools.base import AgentTool
from inhouse.agent.verdict import Status
from inhouse.cli.agent_view import AgentView, JsonLines, View, ask, print_line, show_diff, terminal
from inhouse.cli.chat_client import Connection, add_connection, agent_flags, connected
from inhouse.cli.common import Subparsers, command, home, positive
from inhouse.cli.grants import add_grants, shell
from inhouse.cli.terminal import Flag, interruptible, line_editing, lines
from inhouse.client.shape import unicode_text
from inhouse.client.types import Sampling
from inhouse.errors import InhouseError, ParameterError, SandboxError
from inhouse.workspace.testing.command import given_command

_HELP = "\n".join(
    [
        "/help            this list",
        *(f"{f'/{one.name} {one.argument}':17}{one.about}" for one in COMMANDS),
        "/exit            leave (or Ctrl-D); inhouse agent --resume ID comes back",
        "A line that ends with \\ goes on in the next one. Ctrl-C stops the agent.",
    ]
)

_EXIT_CODES = """\
exit codes without a terminal:
  0    done: a test run or a command passed after the last change; or nothing had to be verified (a question was
       answered, documentation was written)
  1    an error: no model, no sandbox, a server that does not answer, ...
  2    wrong usage
  3    the turn was ended: a limit was met, the model went in circles, its calls or answers could not be used
  4    it ended, but nothing shows that it works: nothing passed after the last change, nothing was changed though
       code was asked for, only documentation or tests were, or tests were weakened
  5    it ended, and the last test run failed
  130  interrupted; the session can be resumed"""
_EXIT: Mapping[Status, int] = MappingProxyType(
    {"verified": 0, "nothing_to_verify": 0, "stopped": 3, "unverified": 4, "failing": 5, "cancelled": 130}
)


def add_parser(subparsers: Subparsers) -> None:
    parser = command(
        subparsers,
        "agent",
        "Work on a repository together with a model: it reads, edits, runs commands in a sandbox without network, and "
        "verifies. Every step is kept: undo it, or resume the session later. Without a terminal, or with --json, it "
        "works on PROMPT alone and ends.",
        "inhouse agent\n"
        'inhouse agent --repo ~/ledger "Totals are wrong when an entry has two currencies"\n'
        'inhouse agent --mode auto --json --max-minutes 20 "make the tests pass" > events.jsonl\n'
        "inhouse agent --url http://gpu.local:8000/v1 --model qwen3.6-35b-a3b\n"
        "inhouse agent --resume last",
    )
    parser.epilog = f"{parser.epilog}\n\n{_EXIT_CODES}"
    parser.add_argument("prompt", metavar="PROMPT", nargs="?", help="what to do; - is standard input")
    parser.add_argument("--repo", type=Path, metavar="DIR", help="the repository (default: here)")
    parser.add_argument("--mode", choices=MODES, help="what needs no question (default: ask; auto without a terminal)")
    parser.add_argument("--resume", metavar="ID", help="go on with a session; 'last' is the latest of this repository")
    parser.add_argument("--fork", metavar="ID", help="like --resume, in a new session")
    parser.add_argument("--test", metavar="CMD", help="the command that runs the tests (default: found)")
    parser.add_argument("--json", action="store_true", help="write events as JSON lines; never ask")
    parser.add_argument("--show-thinking", action="store_true", help="show what a model thinks, not only that it does")
    parser.add_argument("--mcp", type=Path, metavar="FILE", help="MCP servers whose tools the agent may ask to use")
    parser.add_argument(
        "--unconfined", action="store_true", help="run commands with your own rights, each on your yes (no sandbox)"
    )
    limits = parser.add_argument_group("limits of a turn")
    limits.add_argument("--max-turns", type=positive, metavar="N", help="answers of the model")
    limits.add_argument("--max-minutes", type=float, metavar="M")
    limits.add_argument("--max-tokens", type=positive, metavar="N", help="tokens computed, of prompts and answers")
    limits.add_argument("--thinking-budget", type=positive, default=8192, metavar="N", help="tokens (default 8192)")
    sampling = parser.add_argument_group("sampling")
    sampling.add_argument("--temperature", type=float, default=0.6, metavar="T", help="default 0.6")
    sampling.add_argument("--seed", type=int, metavar="N")
    add_grants(parser)
    add_connection(parser)


def run(args: argparse.Namespace) -> int:
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt and unicode_text(args.prompt)
    headless = args.json or args.prompt == "-" or not sys.stdin.isatty()
    if headless and not (prompt and prompt.strip()) and not (args.resume or args.fork):
        raise ParameterError("there is no terminal to talk in; say what to do as PROMPT")
    console = terminal()
    with _opened(args) as start, closing(_desk(args, start.repo, ask=not headless)) as desk:
        _sampling(args)
        return _with_model(args, start, desk, prompt, console, headless=headless)


def _with_model(
    args: argparse.Namespace, start: _Start, desk: Desk, prompt: str | None, console: Console, *, headless: bool
) -> int:
    """Loads the model last, when all else is known to be in order."""
    with connected(args, agent_flags(args)) as connection:
        work = _Work(args, connection, console, desk)
        with work.session(start) as agent:
            work.note_size(agent)
            if headless:
                return _headless(work, agent, prompt)
            with line_editing(home() / "agent_history"):
                return _Conversation(work, agent).run(prompt)


@dataclass(frozen=True)
class _Start:
    """The repository, and the folder of the session to go on with, if any."""

    repo: Path
    resumed: Path | None


@contextmanager
def _opened(args: argparse.Namespace) -> Iterator[_Start]:
    """Find out what to work on before a model is loaded. Raises WorkspaceError, ParameterError."""
    name = args.fork or args.resume
    repo = (args.repo or Path()).resolve()
    if name is None:
        if not repo.is_dir():
            raise ParameterError(f"{repo}: no such directory; name the repository with --repo")
        yield _Start(repo, None)
        return
    folder = find(home() / "sessions", name, repo if args.repo is not None or name == "last" else None)
    own = Path(read(folder)[0].repo)
    if args.repo is not None and own != repo:
        raise ParameterError(f"session {folder.name} is of {own}, not of {repo}; leave out --repo")
    yield _Start(own, folder)


class _Work:
    """What the command line asked for, put together."""

    def __init__(self, args: argparse.Namespace, connection: Connection, console: Console, desk: Desk) -> None:
        self.args = args
        self.desk = desk
        self.connection = connection
        self.console = console
        self.view: View = JsonLines() if args.json else AgentView(console, thinking=args.show_thinking)
        self.flag = Flag()

    @contextmanager
    def session(self, start: _Start, *, fork: bool = False) -> Iterator[Agent]:
        """The agent of a new session, or of one that is gone on with."""
        sessions = home() / "sessions"
        if start.resumed is None:
            session = Session.create(sessions, start.repo, self.connection.model, SYSTEM)
        else:
            session = Session(start.resumed)
            if self.args.fork or fork:
                with session as old:
                    session = old.fork(sessions)
        with session, _mcp_tools(self.args) as extra:
            agent = self._agent(session, extra)
            try:
                yield agent
            finally:
                agent.close()

    def note_size(self, agent: Agent) -> None:
        """Say once in a session that its model is small, before the first turn."""
        note = self.connection.size_note
        if not note or agent.journal.state.messages:
            return
        if self.args.json:
            self.view.show(Warned("model", note))
        else:
            print(f"inhouse: {note}", file=sys.stderr)

    def _agent(self, session: Session, extra: Sequence[AgentTool]) -> Agent:
        args = self.args
        interactive = isinstance(self.view, AgentView) and sys.stdin.isatty() and args.prompt != "-"
        mode: Mode = args.mode or ("ask" if interactive else "auto")
        options = AgentOptions(
            context=self.connection.context,
            turns=args.max_turns,
            minutes=args.max_minutes,
            tokens=args.max_tokens,
            thinking_budget=args.thinking_budget,
            sampling=_sampling(args),
        )
        approver: Callable[[Question], Reply] = self._ask if interactive else nobody
        permissions = Permissions(mode, approver)
        return Agent(self.connection.client, self.desk, session, permissions, options, self.view.show, extra=extra)

    def _ask(self, question: Question) -> Reply:
        """Ask in the terminal, where Ctrl-C is a no that stops the turn."""
        if isinstance(self.view, AgentView):
            self.view.stop()
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return ask(self.console, question)
        except KeyboardInterrupt:
            self.console.print()
            self.flag.set()
            return Reply("no", "they stopped the turn")
        finally:
            signal.signal(signal.SIGINT, before)

    def turn(self, agent: Agent, prompt: str | None) -> Ended:
        """One turn that Ctrl-C ends."""
        with interruptible() as self.flag:
            try:
                return agent.turn(prompt, self.flag.is_set)
            finally:
                if isinstance(self.view, AgentView):
                    self.view.stop()


def _headless(work: _Work, agent: Agent, prompt: str | None) -> int:
    ended = work.turn(agent, prompt.strip() if prompt else None)
    code = _EXIT[ended.verdict.status]
    if work.args.json:
        print_line(_result(ended, agent.journal.session.id, code))
    else:
        print(f"session {agent.journal.session.id}", file=sys.stderr)
    return code


def _result(ended: Ended, session: str, code: int) -> dict[str, Any]:
    """The last event of `--json`: `ended` with the verdict's fields beside its own."""
    fields = asdict(ended)
    return {"event": "result", "exit_code": code, "session": session, **fields.pop("verdict"), **fields}


class _Conversation:
    """The loop of a terminal."""

    def __init__(self, work: _Work, agent: Agent) -> None:
        self._work = work
        self._agent = agent
        self._console = work.console

    def run(self, prompt: str | None) -> int:
        """Until the user leaves."""
        agent, session = self._agent, self._agent.journal.session
        self._console.print(
            f"[dim]{self._work.connection.model}, {agent.options.context:,} tokens of context; mode "
            f"{agent.permissions.mode}; session {session.id}. /help for help, Ctrl-D to leave.[/]", highlight=False,
        )  # fmt: skip
        if agent.journal.state.messages:
            self._console.print(f"[dim]{len(agent.journal.state.messages)} messages are there already[/]")
        if prompt:
            self._turn(prompt)
        for line in lines():
            if not line:
                continue
            word, _, rest = line.partition(" ")
            if word in ("/exit", "/quit"):
                break
            try:
                if word.startswith("/") and word[1:].isalpha():
                    self._command(word[1:], rest.strip())
                else:
                    self._turn(line)
            except InhouseError as error:
                self._console.print(f"[red]{error}[/]", markup=True, highlight=False)
        return 0

    def _turn(self, prompt: str | None) -> None:
        try:
            self._work.turn(self._agent, prompt)
        except KeyboardInterrupt:
            self._console.print("\n[yellow]stopped at once; /continue goes on[/]")

    def _command(self, name: str, argument: str) -> None:
        if name == "help":
            print(_HELP)
        elif name == CONTINUE:
            self._turn(None)
        else:
            said = answer(self._agent, name, argument)
            if said.diff:
                show_diff(self._console, said.text)
            elif said.text:
                self._console.print(said.text, markup=False, highlight=False)


@contextmanager
def _mcp_tools(args: argparse.Namespace) -> Iterator[Sequence[AgentTool]]:
    """The tools of the MCP servers, while they run."""
    if args.mcp is None:
        yield ()
        return
    from inhouse.agent.mcp import McpServers, read_servers

    servers = McpServers(read_servers(args.mcp))
    try:
        yield servers.tools
    finally:
        servers.close()


def _desk(args: argparse.Namespace, repo: Path, *, ask: bool) -> Desk:
    """Raises SandboxError, and ParameterError or WorkspaceError for what the command line says."""
    if args.test is not None:
        given_command(args.test)
    try:
        return open_desk(
            repo,
            sandboxed=not args.unconfined,
            test=args.test,
            user=shell(args, repo, ask=ask),
            checks=project_checks,
            maps=home() / "maps",
        )
    except SandboxError as error:
        raise SandboxError(f"{error}; or say --unconfined to run commands with your own rights") from None


def _sampling(args: argparse.Namespace) -> Sampling:
    if not 0 <= args.temperature <= 2:
        raise ParameterError(f"temperature = {args.temperature}: give a number from 0 to 2")
    if args.temperature == 0:
        return Sampling(seed=args.seed)
    return Sampling(temperature=args.temperature, top_p=0.95, top_k=20, seed=args.seed)
