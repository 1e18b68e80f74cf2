"""Recognises an answer that goes round in circles. Knows tokens only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LONGEST = 256  # tokens of a repeated part at most
TIMES = 8  # repetitions at least
TOKENS = 256  # of all repetitions together at least: tables and rulers repeat themselves, too
EVERY = 32  # tokens between two looks


def goes_round(ids: Sequence[int]) -> bool:
    """Whether `ids` end with one part of at most LONGEST tokens again and again."""
    if len(ids) < TOKENS:
        return False
    tail = np.asarray(ids[-LONGEST * TIMES :], np.int32)
    for period in (np.flatnonzero(tail[-LONGEST - 1 : -1][::-1] == tail[-1]) + 1).tolist():
        needed = max(TIMES * period, TOKENS)
        if needed <= len(tail) and np.array_equal(tail[-needed:-period], tail[len(tail) - needed + period :]):
            return True
    return False
