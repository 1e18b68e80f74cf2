"""The separate changes of a candidate, each alone: what is right in one often comes with what is not. Runs nothing."""

from __future__ import annotations

import difflib

MOST = 4  # changes of a candidate that are tried alone; more are another program


def parts(old: str, new: str) -> list[str]:
    """`old` with each of the separate changes that lead to `new` made alone; empty where there is one, or too many."""
    before, after = old.split("\n"), new.split("\n")
    codes = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    changes = [code for code in codes if code[0] != "equal"]
    if not 2 <= len(changes) <= MOST:
        return []
    return ["\n".join([*before[:i1], *after[j1:j2], *before[i2:]]) for _, i1, i2, j1, j2 in changes]
