"""Conversations that later requests of the responses API go on from. Knows no wire type.

They are kept in memory only, each under its owner (the name of an API key): nobody continues what another has said.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from inhouse.server.conversation import Message
from inhouse.server.settings import Limits
from inhouse.server.wire import to_json


@dataclass(frozen=True)
class Stored:
    """A response as it was answered, and the conversation up to and with it."""

    response: dict[str, Any]
    messages: tuple[Message, ...]
    items: tuple[dict[str, Any], ...]  # what it was an answer to, in the API's shape
    size: int  # bytes, about


class ResponseStore:
    """The most recent responses, up to a number and a size in bytes. Used on one thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[tuple[str, str], Stored] = OrderedDict()
        self._size = 0

    def put(self, owner: str, response: dict[str, Any], messages: list[Message], items: list[dict[str, Any]]) -> None:
        """Keeps one, and drops the oldest where there are too many."""
        size = sum(len(to_json(part)) for part in (response, messages, items))
        stored = Stored(response, tuple(messages), tuple(items), size)
        self.remove(owner, response["id"])
        self._kept[owner, response["id"]] = stored
        self._size += stored.size
        while self._size > self._limits.stored_bytes or len(self._kept) > self._limits.stored_responses:
            _, dropped = self._kept.popitem(last=False)
            self._size -= dropped.size

    def get(self, owner: str, id: str) -> Stored | None:
        """One's own response by its id."""
        found = self._kept.get((owner, id))
        if found is not None:
            self._kept.move_to_end((owner, id))
        return found

    def remove(self, owner: str, id: str) -> bool:
        """Forgets one; whether it was there."""
        found = self._kept.pop((owner, id), None)
        if found is not None:
            self._size -= found.size
        return found is not None
