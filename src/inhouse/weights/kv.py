"""The formats in which the keys and values of past tokens are kept, by name, and what they take. Knows no layout.

f16    halves
int8   one byte per number; a float32 for every 32 components of a token's key, and one for its value, of each head
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from inhouse.errors import ParameterError

KVFormat: TypeAlias = Literal["f16", "int8"]

_FORMATS: Mapping[str, KVFormat] = MappingProxyType(
    {"f16": "f16", "int8": "int8", "q8_0": "int8"}  # the last: what users of llama.cpp call its nearest relative
)
KV_NAMES = tuple(_FORMATS)
_SCALE_BYTES = 4
SCALE_GROUP = 32  # components of an int8 key that share a scale: some can be a hundred times the others


def kv_format(name: str) -> KVFormat:
    """The format of that name. Raises ParameterError."""
    if name not in _FORMATS:
        raise ParameterError(f"kv={name!r}: keys and values can be kept as {' or '.join(get_args(KVFormat))}")
    return _FORMATS[name]


def scale_groups(head_dim: int) -> int:
    """Scales of an int8 key."""
    return -(-head_dim // SCALE_GROUP)


def head_bytes(kind: KVFormat, head_dim: int) -> int:
    """Bytes of one head's key and value of one token."""
    return 4 * head_dim if kind == "f16" else 2 * head_dim + (scale_groups(head_dim) + 1) * _SCALE_BYTES
