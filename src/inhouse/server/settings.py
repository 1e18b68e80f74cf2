"""What an operator decides about a server. Knows no request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any, Literal

Mode = Literal["auto", "thinking", "coding", "instruct"]


@dataclass(frozen=True)
class Limits:
    """What a request may cost before anything of it is believed."""

    body_bytes: int = 32 << 20
    header_bytes: int = 64 << 10
    json_depth: int = 100  # brackets within brackets
    body_seconds: float = 60.0  # for a whole body to arrive
    header_seconds: float = 10.0  # for a request's first line and headers to arrive
    write_seconds: float = 60.0  # for a client to read what was sent
    connections: int = 512
    stored_bytes: int = 64 << 20  # of conversations kept for the responses API
    stored_responses: int = 1000


@dataclass(frozen=True)
class Settings:
    """`mode`: which of the sampling defaults on a model's card apply where a client gives none; "auto" follows whether
    the model thinks. `template_flags` are switches of the chat template for all conversations. `require_key`: nothing
    but health and pages without an API key. `stable_prefix`: dates, git status and the like at the start of a system
    prompt are moved behind the last user message, so that the prompt begins the same in every turn.
    """

    host: str = "127.0.0.1"
    mode: Mode = "auto"
    template_flags: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({"preserve_thinking": True}))
    require_key: bool = False
    strict_model: bool = False
    stable_prefix: bool = False
    reasoning_budget: int | None = None  # tokens of thinking where a client says nothing
    allowed_hosts: tuple[str, ...] = ()  # names besides localhost and addresses, for the Host header
    allowed_origins: tuple[str, ...] = ()  # of web pages, besides our own
    keepalive_seconds: float = 5.0  # between two signs of life in a stream
    drain_seconds: int = 30  # for answers under way when the server is told to end
    limits: Limits = field(default_factory=Limits)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
