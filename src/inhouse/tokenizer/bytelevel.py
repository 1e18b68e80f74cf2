"""The byte-level alphabet of GPT-2: every byte has a printable character that stands for it in a vocabulary.

Knows nothing of vocabularies or merges. Source: Radford et al., "Language Models are Unsupervised Multitask
Learners" (2019), and its published encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def _alphabet() -> dict[int, str]:
    """Printable Latin-1 bytes stand for themselves; the others take the characters from U+0100 on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    pairs = [(byte, chr(byte)) for byte in printable]
    pairs += [(byte, chr(0x100 + index)) for index, byte in enumerate(others)]
    return dict(pairs)


BYTE_TO_CHAR: Mapping[int, str] = MappingProxyType(_alphabet())
CHAR_TO_BYTE: Mapping[str, int] = MappingProxyType({char: byte for byte, char in BYTE_TO_CHAR.items()})


def to_chars(data: bytes) -> str:
    """How a vocabulary writes `data`."""
    return "".join(BYTE_TO_CHAR[byte] for byte in data)


def to_bytes(token: str) -> bytes:
    """The bytes that a vocabulary entry stands for; characters outside the alphabet stand for their UTF-8."""
    try:
        return bytes(CHAR_TO_BYTE[char] for char in token)
    except KeyError:
        return b"".join(
            bytes((CHAR_TO_BYTE[char],)) if char in CHAR_TO_BYTE else char.encode("utf-8", "replace") for char in token
        )
