"""Tools of MCP servers, made tools of the agent. Knows the protocol by its SDK, and no server by itself.

The servers are programs of the user's choice and run with the user's own rights, so each call is asked for. They live
in an event loop in a thread of its own, until `close`.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

from inhouse.agent.tools.base import Action, AgentTool, Arguments, Control, ToolResult
from inhouse.agent.tools.folding import fold
from inhouse.client.types import Tool
from inhouse.errors import ParameterError, PeerError

_START = 30.0  # seconds for a server to begin
_CALL = 300.0
_LOOK = 0.1


@dataclass(frozen=True)
class McpServer:
    """How a server is started."""

    name: str
    command: str
    args: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def read_servers(path: Path) -> list[McpServer]:
    """The servers that a file names, in the form that other agents use. Raises ParameterError.

    {"mcpServers": {"NAME": {"command": "program", "args": [], "env": {}}}}
    """
    try:
        named = json.loads(path.read_text("utf-8"))["mcpServers"]
        return [
            McpServer(name, server["command"], tuple(server.get("args", ())), dict(server.get("env", {})))
            for name, server in named.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ParameterError(f"{path}: names no MCP servers ({error!r}); see docs/guides/agent.md") from None


class McpServers:
    """Servers that run, and their tools, named `server_tool`. Close it. Raises PeerError where one does not begin."""

    def __init__(self, servers: Sequence[McpServer]) -> None:
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._failures: list[Exception] = []
        self.tools: list[AgentTool] = []
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._live(servers),), daemon=True)
        self._thread.start()
        in_time = self._ready.wait(_START)
        if self._failures or not in_time:
            self.close()
            said = str(self._failures[0]) if self._failures else f"no answer within {_START:.0f} s"
            raise PeerError(f"an MCP server did not begin: {said}; check its command")

    def close(self) -> None:
        """End the servers."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)
        if not self._thread.is_alive() and not self._loop.is_closed():
            self._loop.close()

    async def _live(self, servers: Sequence[McpServer]) -> None:
        """Start the servers, say what tools they have, and keep them until the end: all in one task."""
        try:
            async with AsyncExitStack() as stack:
                for server in servers:
                    parameters = StdioServerParameters(
                        command=server.command, args=list(server.args), env=dict(server.environment)
                    )
                    client = await stack.enter_async_context(Client(stdio_client(parameters)))
                    listed = await client.list_tools()
                    self.tools += [self._tool(server.name, client, tool) for tool in listed.tools]
                self._ready.set()
                await self._stop.wait()
        except Exception as error:  # of the SDK's many kinds, or the program's: all mean that it did not begin
            self._failures.append(error)
        finally:
            self._ready.set()

    def _tool(self, server: str, client: Client, tool: Any) -> AgentTool:
        name = f"{server}_{tool.name}"
        described = Tool(name, tool.description or tool.name, tool.input_schema)
        return AgentTool(described, partial(self._prepare, name, client, tool.name))

    def _prepare(self, name: str, client: Client, tool: str, arguments: Arguments) -> Action:
        def run(control: Control) -> ToolResult:
            waiting = asyncio.run_coroutine_threadsafe(client.call_tool(tool, dict(arguments)), self._loop)
            for _ in range(int(_CALL / _LOOK)):
                try:
                    return _worded(waiting.result(_LOOK))
                except TimeoutError:
                    if control.cancelled():
                        waiting.cancel()
                        return ToolResult("[stopped by the user]", ok=False, cancelled=True)
                except Exception as error:
                    return ToolResult(f"error: {error}", ok=False)
            waiting.cancel()
            return ToolResult(f"error: no answer within {_CALL:.0f} s", ok=False)

        return Action("other", f"{name} {dict(arguments)}", run)


def _worded(result: Any) -> ToolResult:
    """The texts of a result; of other content, its kind."""
    texts = [getattr(part, "text", None) or f"[{part.type}]" for part in result.content]
    return ToolResult(fold("\n".join(texts)) or "[no content]", ok=not result.is_error)
