"""Tools of a real MCP server, made with the SDK, over stdio."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from agent_kit import MakeBench, do

from inhouse.agent.mcp import McpServer, McpServers, read_servers
from inhouse.agent.permissions import Question, Reply
from inhouse.errors import ParameterError, PeerError

SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("sums")

@server.tool()
def add(a: int, b: int) -> str:
    "Adds."
    return str(a + b)

@server.tool()
def fail() -> str:
    raise ValueError("broken")

server.run("stdio")
"""


def test_its_tools_are_the_agents_and_are_asked_for(bench: MakeBench, tmp_path: Path) -> None:
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    settings = tmp_path / "mcp.json"
    settings.write_text(json.dumps({"mcpServers": {"sums": {"command": sys.executable, "args": [str(script)]}}}))
    servers = McpServers(read_servers(settings))
    asked: list[Question] = []

    def approve(question: Question) -> Reply:
        asked.append(question)
        return Reply("once")

    try:
        one = bench(
            do("sums_add", a=1, b=2), do("sums_add", a=1), do("sums_fail"), "Done.",
            extra=servers.tools, approver=approve,
        )  # fmt: skip
        one.turn()
    finally:
        servers.close()
    assert one.results()[0] == "3"
    assert "'b' missing" in one.results()[1]
    assert "Error executing tool fail" in one.results()[2]
    assert [question.tool for question in asked] == ["sums_add", "sums_fail"]  # even in the mode auto


def test_a_server_that_does_not_begin_is_an_error() -> None:
    with pytest.raises(PeerError, match="did not begin"):
        McpServers([McpServer("none", "/nonexistent/program")])


def test_a_file_that_names_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text("[]")
    with pytest.raises(ParameterError, match=r"mcp\.json: names no MCP servers"):
        read_servers(tmp_path / "mcp.json")
