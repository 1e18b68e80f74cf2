"""`inhouse acp` with the protocol's own client over stdio: prompts, permissions, diffs, cancelling, loading, output."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import acp
import pytest
from acp import schema
from confined import needs_sandbox
from test_agent import Server, repo

__all__ = ["repo"]

pytestmark = needs_sandbox


class Editor:
    """Says yes to everything and notes what it is told."""

    def __init__(self) -> None:
        self.updates: list[Any] = []
        self.asked: list[Any] = []
        self.wire: list[dict[str, Any]] = []  # what the agent wrote, in order
        self.running = asyncio.Event()

    async def request_permission(
        self, session_id: str, tool_call: Any, options: Any, **_: Any
    ) -> schema.RequestPermissionResponse:
        self.asked.append(tool_call)
        return schema.RequestPermissionResponse(
            outcome=schema.AllowedOutcome(outcome="selected", option_id=options[0].option_id)
        )

    async def session_update(self, session_id: str, update: Any, **_: Any) -> None:
        self.updates.append(update)
        if isinstance(update, schema.ToolCallStart) and update.kind == "execute":
            self.running.set()

    def on_connect(self, conn: Any) -> None:
        pass

    def watch(self, event: Any) -> None:
        if event.direction.value == "incoming":
            self.wire.append(event.message)

    def said(self) -> str:
        """What came as the agent's messages since the last time."""
        texts = [update.content.text for update in self.of(schema.AgentMessageChunk)]
        self.updates = [update for update in self.updates if not isinstance(update, schema.AgentMessageChunk)]
        return "".join(texts)

    def of(self, kind: type[Any]) -> list[Any]:
        return [update for update in self.updates if isinstance(update, kind)]


def session_with(
    server: Server,
    environment: dict[str, str],
    editor: Editor,
    talk: Callable[[Any], Coroutine[Any, Any, None]],
    **capabilities: Any,
) -> None:
    """Starts the agent and talks with it."""

    async def run() -> None:
        command = [sys.executable, "-m", "inhouse", "acp", "--url", server.url, "--mode", "auto"]
        async with acp.spawn_agent_process(
            editor,  # type: ignore[arg-type]
            *command,
            env=environment,
            observers=[editor.watch],
        ) as (agent, _):
            own = schema.ClientCapabilities(**capabilities)
            began = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION, client_capabilities=own)
            assert began.agent_capabilities is not None
            assert began.agent_capabilities.load_session
            await talk(agent)

    asyncio.run(run())


def test_a_stored_session_is_listed_and_loaded_with_its_history(repo: Path, environment: dict[str, str]) -> None:
    edit = {"path": "app.py", "old_str": "x = 1", "new_str": "x = 2"}
    check = {"command": "python3 -c 'import app; print(app.x)'"}
    server = Server(("str_replace", edit), ("bash", check), "Done.", "Still here.")
    ids: list[str] = []

    async def begin(agent: Any) -> None:
        ids.append((await agent.new_session(cwd=str(repo), mcp_servers=[])).session_id)
        await agent.prompt(session_id=ids[0], prompt=[acp.text_block("Make x 2.")])

    first, second = Editor(), Editor()
    session_with(server, environment, first, begin)

    async def go_on(agent: Any) -> None:
        (listed,) = (await agent.list_sessions(cwd=str(repo))).sessions
        assert (listed.session_id, listed.title, listed.cwd) == (ids[0], "Make x 2.", str(repo))
        assert (await agent.list_sessions(cwd=str(repo.parent))).sessions == []
        for wrong in ({"session_id": "no"}, {"session_id": ids[0], "cwd": str(repo.parent)}, {"session_id": ".."}):
            with pytest.raises(acp.RequestError):
                await agent.load_session(**{"cwd": str(repo), "mcp_servers": [], **wrong})
        loaded = await agent.load_session(cwd=str(repo), session_id=ids[0], mcp_servers=[])
        assert loaded.modes.current_mode_id == "auto"
        told = [one for one in second.updates if not isinstance(one, schema.AvailableCommandsUpdate)]
        done = await agent.prompt(session_id=ids[0], prompt=[acp.text_block("Are you there?")])
        assert done.stop_reason == "end_turn"
        kinds = [type(update).__name__ for update in told]
        assert kinds == [
            "UserMessageChunk", "ToolCallStart", "ToolCallProgress", "ToolCallStart", "ToolCallProgress",
            "AgentMessageChunk",
        ]  # fmt: skip
        assert told[0].content.text == "Make x 2."
        assert (told[1].content[0].old_text, told[1].content[0].new_text) == ("x = 1", "x = 2")
        assert told[1].content[0].path == str(repo / "app.py")
        assert told[4].content[0].content.text == "2"

    session_with(server, environment, second, go_on)
    server.close()
    earlier = server.asked[2]["messages"]
    assert server.asked[3]["messages"][: len(earlier)] == earlier


def test_output_is_shown_as_it_comes_and_no_terminal_of_the_editors_is_used(
    repo: Path, environment: dict[str, str]
) -> None:
    server = Server(("bash", {"command": "echo one; sleep 1; echo two; exit 3"}), "Done.")
    editor = Editor()  # has no method for terminals: a call of one would fail

    async def talk(agent: Any) -> None:
        session = await agent.new_session(cwd=str(repo), mcp_servers=[])
        await agent.prompt(session_id=session.session_id, prompt=[acp.text_block("Go.")])

    session_with(server, environment, editor, talk, terminal=True)
    server.close()
    running = [update for update in editor.of(schema.ToolCallProgress) if update.status is None]
    assert "one" in running[0].content[0].content.text
    assert "two" not in running[0].content[0].content.text
    assert editor.of(schema.UsageUpdate)[0].size == 16384


def test_a_terminal_that_only_shows_gets_the_output(repo: Path, environment: dict[str, str]) -> None:
    server = Server(("bash", {"command": "echo one; (exit 3)"}), ("bash", {"command": "true"}), "Done.")
    editor = Editor()

    async def talk(agent: Any) -> None:
        session = await agent.new_session(cwd=str(repo), mcp_servers=[])
        await agent.prompt(session_id=session.session_id, prompt=[acp.text_block("Go.")])

    session_with(server, environment, editor, talk, field_meta={"terminal_output": True})
    server.close()
    started = editor.of(schema.ToolCallStart)[0]
    assert started.content[0].terminal_id == started.field_meta["terminal_info"]["terminal_id"]
    meta = [update.field_meta for update in editor.of(schema.ToolCallProgress)]
    printed = "".join(one["terminal_output"]["data"] for one in meta if "terminal_output" in one)
    assert printed.startswith("one")
    assert [one["terminal_exit"]["exit_code"] for one in meta if "terminal_exit" in one] == [3, 0]


def test_the_editors_mcp_servers_are_used(repo: Path, environment: dict[str, str]) -> None:
    script = repo.parent / "sums.py"
    script.write_text(
        "from mcp.server.mcpserver import MCPServer\nserver = MCPServer('sums')\n@server.tool()\n"
        "def add(a: int, b: int) -> str:\n    return str(a + b)\nserver.run('stdio')\n"
    )
    server = Server(("sums_add", {"a": 1, "b": 2}), "Done.")
    editor = Editor()

    async def talk(agent: Any) -> None:
        sums = schema.McpServerStdio(name="sums", command=sys.executable, args=[str(script)], env=[])
        session = await agent.new_session(cwd=str(repo), mcp_servers=[sums])
        await agent.prompt(session_id=session.session_id, prompt=[acp.text_block("Add.")])

    session_with(server, environment, editor, talk)
    server.close()
    assert len(editor.asked) == 1
    assert editor.of(schema.ToolCallProgress)[-1].content[0].content.text == "3"


def test_commands_are_offered_and_carried_out_without_the_model(repo: Path, environment: dict[str, str]) -> None:
    edit = {"path": "app.py", "old_str": "x = 1", "new_str": "x = '```'"}
    server = Server(
        ("str_replace", edit), ("todo", {"items": [{"text": "look", "status": "done"}]}), "Done.", "Really done.",
        "/undo is for you.", "On I go.", "Notes.", "Last.",
    )  # fmt: skip
    editor = Editor()

    async def talk(agent: Any) -> None:
        id = (await agent.new_session(cwd=str(repo), mcp_servers=[])).session_id

        async def say(text: str) -> str:
            done = await agent.prompt(session_id=id, prompt=[acp.text_block(text)])
            assert done.stop_reason == "end_turn"
            return editor.said()

        assert await say("/diff") == "nothing changed\n"
        assert await say("/plan") == "there is no plan\n"
        assert await say("/undo") == "there is nothing to undo in this session\n"
        assert server.asked == []
        await say("Make x a fence.")
        asked = len(server.asked)
        assert await say("/plan") == "[x] look\n"
        diff = await say(" /diff")
        assert diff.startswith("````diff\n")
        assert diff.endswith("-x = 1\n+x = '```'\n````\n")
        assert "is no number" in await say("/undo it")
        assert await say("/undo 1\n") == "undone: app.py\n"
        assert (repo / "app.py").read_text() == "x = 1\n"
        assert await say("/diff") == "nothing changed\n"
        assert "there is no mode fast; it is one of ask," in await say("/mode fast")
        assert await say("/mode plan") == "mode plan\n"
        assert [update.current_mode_id for update in editor.of(schema.CurrentModeUpdate)] == ["plan"]
        fork = (await say("/fork")).split()[1]
        assert {one.session_id for one in (await agent.list_sessions(cwd=str(repo))).sessions} == {id, fork}
        assert len(server.asked) == asked
        assert await say("/undone is no command") == "/undo is for you."
        assert server.asked[-1]["messages"][-1]["content"] == "/undone is no command"
        assert await say("/continue") == "On I go."
        assert server.asked[-1]["messages"][-1]["role"] == "assistant"
        said = await say("/compact")
        assert said.startswith("Notes.\n\nthe conversation was summarised: ")
        assert said.endswith(f"tokens are now {editor.of(schema.UsageUpdate)[-1].used:,}\n\n")
        await say("What remains?")
        assert "The user took back your last change" not in json.dumps(server.asked[-1]["messages"])
        assert "Notes." in server.asked[-1]["messages"][1]["content"]

        loaded = await agent.load_session(cwd=str(repo), session_id=fork, mcp_servers=[])
        assert loaded.modes.current_mode_id == "auto"
        await agent.prompt(session_id=fork, prompt=[acp.text_block("/diff")])

    session_with(server, environment, editor, talk)
    server.close()
    offers = editor.of(schema.AvailableCommandsUpdate)
    assert len(offers) == 2
    commands = {one.name: one.input and one.input.root.hint for one in offers[0].available_commands}
    assert commands == {
        "undo": "[N]", "diff": None, "plan": None, "compact": None, "mode": "[MODE]", "continue": None, "fork": None,
    }  # fmt: skip
    kinds = [
        "offer" if "available_commands_update" in json.dumps(one) else "session"
        for one in editor.wire
        if "available_commands_update" in json.dumps(one) or "modes" in (one.get("result") or ())
    ]
    assert kinds == ["session", "offer"] * 2, "an editor does not know a session before it has the response"


def test_a_whole_session(repo: Path, environment: dict[str, str]) -> None:
    edit = {"path": "app.py", "old_str": "x = 1", "new_str": "x = 2"}
    server = Server(("str_replace", edit), "Done.", "Really done.", ("bash", {"command": "sleep 60"}), "Back.")
    editor = Editor()

    async def talk() -> None:
        command = [sys.executable, "-m", "inhouse", "acp", "--url", server.url]
        async with acp.spawn_agent_process(editor, *command, env=environment) as (agent, _):  # type: ignore[arg-type]
            began = await agent.initialize(protocol_version=acp.PROTOCOL_VERSION)
            assert began.agent_info is not None
            assert began.agent_info.name == "inhouse"
            session = await agent.new_session(cwd=str(repo), mcp_servers=[])
            id = session.session_id
            assert session.modes is not None
            assert session.modes.current_mode_id == "ask"
            done = await agent.prompt(session_id=id, prompt=[acp.text_block("Make x 2.")])
            assert done.stop_reason == "end_turn"
            await agent.set_session_mode(session_id=id, mode_id="auto")
            waiting = asyncio.ensure_future(agent.prompt(session_id=id, prompt=[acp.text_block("Wait.")]))
            await asyncio.wait_for(editor.running.wait(), 30)
            await agent.cancel(session_id=id)
            assert (await asyncio.wait_for(waiting, 30)).stop_reason == "cancelled"
            again = await agent.prompt(session_id=id, prompt=[acp.text_block("Are you there?")])
            assert again.stop_reason == "end_turn"

    asyncio.run(talk())
    server.close()
    assert (repo / "app.py").read_text() == "x = 2\n"
    (question,) = editor.asked
    assert question.locations[0].path == str(repo / "app.py")
    diff = question.content[0]
    assert (diff.path, diff.old_text, diff.new_text) == (str(repo / "app.py"), "x = 1\n", "x = 2\n")
    said = "".join(u.content.text for u in editor.updates if isinstance(u, schema.AgentMessageChunk))
    assert "Really done." in said
    assert said.endswith("Back.")
