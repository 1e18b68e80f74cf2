"""What the answers to questions about a place may look like, as grammars in Lark's notation (llguidance's dialect).

An answer that is begun for the model can only go on in its form: no prose in the code, no block left open, and of an
edit the lines to be replaced are lines that are there, which small models else copy wrong. Each grammar describes the
whole answer, its given beginning included. Where a client cannot enforce one the answer is free, and is checked as any
other.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

SEARCH, DIVIDER, REPLACE = "<<<<<<< SEARCH\n", "=======\n", ">>>>>>> REPLACE"
_FENCE = "```"
_LINE = r"(`{0,2}([^`\n][^\n]*)?\n)"  # of code, which cannot close its block


def code_block(fence: str, head: str = "") -> str:
    """A fenced block that begins with `fence` and `head`, and goes on with lines of code.

    A head of whole lines is a function's down to its first statement, which is what comes next: it is indented.
    """
    first = "" if not head else r"[ \t]+[^ \t\n][^\n]*\n" if head.endswith("\n") else r"[^\n]*\n"
    return f"start: {_text(fence + head)} CODE\nCODE: /{first}{_LINE}{'*' if first else '+'}{_FENCE}/"


def replacement(lines: Sequence[str]) -> str:
    """One SEARCH/REPLACE block whose old part is a run of whole `lines`, not only of blank ones."""
    chunks = json.dumps([f"{line}\n" for line in lines])
    return (
        f"start: {_text(SEARCH)} OLD NEW\n"
        f'RUN: %regex {{"substring_chunks": {chunks}}}\n'
        f"SOME: /(?s:.*\\S.*)/\nOLD: (RUN & SOME) {_text(DIVIDER)}\n"
        f"NEW: /(([^=>\\n][^\\n]*)?\\n)*/ {_text(REPLACE)}"
    )


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
