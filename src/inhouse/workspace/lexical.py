"""The names in a source file, told by its letters alone: which it uses, and which it seems to define. Parses nothing.

Ranking fifty thousand files needs to know roughly who defines what, at a small part of what a parser costs. What is
shown of a file, and what is said of a name, comes from `symbols`, which parses. So a name too many does no harm here,
and a missing one costs its file some rank.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]

_SHORTEST = 3  # letters of a name that tells something
_DIGITS = b"0123456789"
# Every byte that no name holds becomes a space.
_LETTERS = bytes(byte if chr(byte).isalnum() or byte in b"_$" or byte > 127 else 32 for byte in range(256))

_NAME = rb"([A-Za-z_$][\w$]*)"
_ASSIGNED = re.compile(rb"^" + _NAME + rb"[ \t]*[:=]", re.M)  # in Python, at the left margin
_PYTHON = frozenset((b"def", b"class"))
_BEFORE_A_NAME = frozenset(  # in other languages
    b"func function fn class struct enum union trait interface type record namespace mod macro_rules const var static "
    b"define".split()
)
_PARAMETERS_END = re.compile(rb"\)[^;{}()=\"']{0,80}(?:=>\s*)?\{")  # what follows is the body of something
_LONGEST = 400  # bytes of parameters
_WITH_BODIES = frozenset(b"if for while switch catch return".split())
# `} node;` and `typedef int size;` of C; `Shape struct {` and `Id = 3` in the brackets of Go.
_LAST = re.compile(rb"^[ \t]*(?:typedef\b[^;{}\n]*?\b|\}[ \t]*)" + _NAME + rb"[ \t]*;", re.M)
_GROUPED = re.compile(rb"^[ \t]+" + _NAME + rb"[ \t]+(?:struct|interface|func|=)[ \t]", re.M)


def name_hash(name: str | bytes) -> int:
    """32 bits that stand for a name."""
    return zlib.crc32(name.encode() if isinstance(name, str) else name)


def names(path: str, data: bytes) -> tuple[Words, Words]:
    """The hashes of the names that a file seems to define, and of all that are in it; each in order, each once."""
    letters = data.translate(_LETTERS)
    words = letters.split()
    used = {zlib.crc32(word) for word in set(words) if len(word) >= _SHORTEST and word[0] not in _DIGITS}
    suffix = path[path.rfind(".") :]
    if suffix in (".py", ".pyi"):
        found = _after(words, _PYTHON)
        found.update(_ASSIGNED.findall(data))
    else:
        found = _after(words, _BEFORE_A_NAME)
        found.update(_more(suffix, data, letters))
    return _array({zlib.crc32(word) for word in found}), _array(used)


def _after(words: list[bytes], keywords: frozenset[bytes]) -> set[bytes]:
    """The words that come after a keyword, whatever stands between them."""
    return {name for word, name in pairwise(words) if word in keywords}


def _more(suffix: str, data: bytes, letters: bytes) -> Iterator[bytes]:
    """What no keyword tells."""
    if suffix == ".go":
        yield from _GROUPED.findall(data)
    elif suffix in (".c", ".h", ".hh", ".hpp", ".cc", ".cpp", ".cxx"):
        yield from _LAST.findall(data)
    if suffix != ".rs":
        yield from _with_bodies(data, letters)


def _with_bodies(data: bytes, letters: bytes) -> Iterator[bytes]:
    """Names before parentheses before a brace: functions and methods."""
    for match in _PARAMETERS_END.finditer(data):
        end = match.start()
        first = max(0, end - _LONGEST)
        start = data.rfind(b"(", first, end)
        while start > 0 and data.count(b")", start, end + 1) > data.count(b"(", start, end):
            start = data.rfind(b"(", first, start)
        before = letters[max(0, start - 80) : max(0, start)].rsplit(None, 1)
        if before and before[-1] not in _WITH_BODIES:
            yield before[-1]


def _array(hashes: set[int]) -> Words:
    return np.array(sorted(hashes), np.uint32)
