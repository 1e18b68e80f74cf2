"""JSON as models write it: with raw newlines in strings, and numbers that no computer holds."""

from __future__ import annotations

import json
import sys
from typing import Any


def _finite(text: str) -> float:
    """The nearest number there is: beyond the largest, readers do not agree on what comes."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(text)))


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


DECODER = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=_no_constant)


def loads(text: str) -> Any:
    """The value of a whole text. Raises ValueError, or RecursionError for one that is nested too deeply."""
    return DECODER.decode(text)
