"""A conversation as clients send it, made into one as models expect it. Knows plain dicts in OpenAI's shape only.

What real clients get wrong is put right here: several system prompts, parts of content, tool results in pieces, and
lines at the start of a system prompt that change with every request and so spoil what was remembered of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]

# Headers of transport, no words for a model; a new one with every request.
_TRANSPORT = re.compile(r"^x-anthropic-billing-header:[^\n]*\n*", re.MULTILINE)

# Lines that tell the time, and blocks that tell the state of a checkout.
_CLOCK = re.compile(
    r"^[ \t>*#-]*(?:the )?(?:today(?:'s date)?|current (?:date|time|datetime|date and time|local time)|date|time|now)"
    r"(?: is|:)[^\n]*\d[^\n]*\n?",
    re.IGNORECASE | re.MULTILINE,
)
_CHECKOUT = re.compile(
    r"^(?:<git_?status>.*?</git_?status>|git_?status:.*?)"
    r"(?=\n\n(?!(?:Current branch|Main branch|Status|Recent commits)\b)|\Z)\n*",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)


def normalised(messages: Sequence[Message], *, stable_prefix: bool = False) -> list[Message]:
    """The same conversation with one system message at its start, whatever roles and order it came in.

    A system message later on stays where it is: it would otherwise change the beginning of a prompt already read.
    """
    given = [_without_transport(message) for message in messages]
    leading = 0
    while leading < len(given) and given[leading]["role"] == "system":
        leading += 1
    system = "\n\n".join(text for message in given[:leading] if (text := message["content"].strip("\n")))
    rest = given[leading:]
    if stable_prefix:
        system, volatile = _parted(system)
        rest = _with_note(rest, volatile)
    return [*([{"role": "system", "content": system}] if system else []), *rest]


def _without_transport(message: Message) -> Message:
    if message["role"] != "system":
        return message
    return {**message, "content": _TRANSPORT.sub("", message["content"])}


def _parted(system: str) -> tuple[str, str]:
    """A system prompt without what changes from turn to turn, and that."""
    volatile: list[str] = []

    def take(found: re.Match[str]) -> str:
        volatile.append(found[0].strip("\n"))
        return ""

    kept = _CLOCK.sub(take, _CHECKOUT.sub(take, system))
    return kept, "\n".join(volatile)


def _with_note(messages: list[Message], note: str) -> list[Message]:
    """`note` behind the last user's message: what comes before it stays the same in the next turn."""
    if not note:
        return messages
    last = next((i for i in reversed(range(len(messages))) if messages[i]["role"] == "user"), None)
    if last is None:
        return [*messages, {"role": "user", "content": note}]
    told = {**messages[last], "content": f"{messages[last]['content']}\n\n{note}"}
    return [*messages[:last], told, *messages[last + 1 :]]
