"""The formats in which the keys and values of past tokens are kept, by name, and what they take. Knows no layout.

f16    halves
int8   one byte per number; one float32 for each token's key, and one for its value, of each head
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


def kv_format(name: str) -> KVFormat:
    """The format of that name. Raises ParameterError."""
    if name not in _FORMATS:
        raise ParameterError(f"kv={name!r}: keys and values can be kept as {' or '.join(get_args(KVFormat))}")
    return _FORMATS[name]


def head_bytes(kind: KVFormat, head_dim: int) -> int:
    """Bytes of one head's key, or of its value, of one token."""
    return 2 * head_dim if kind == "f16" else head_dim + _SCALE_BYTES
