"""`inhouse acp` with the protocol's own client over stdio: a prompt, a permission, a diff, a cancelled turn."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

import acp
import pytest
from acp import schema
from test_agent import Server, repo

__all__ = ["repo"]

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


class Editor:
    """Says yes to everything and notes what it is told."""

    def __init__(self) -> None:
        self.updates: list[Any] = []
        self.asked: list[Any] = []
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
