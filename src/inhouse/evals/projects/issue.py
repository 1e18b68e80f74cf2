"""The words of an issue: what a user saw fail, from a failing test's own output. No file, no line, no cause."""

from __future__ import annotations

import re

_LINES = 6
_CHARACTERS = 500
_LINE = 160  # characters of one line
# Frames and places: Python's, JavaScript's, Go's.
_PLACE = re.compile(
    r"^\s*(?:File \"|at .*[:(]|Traceback |Error Trace:|stack:|location:|at: |---$|\.\.\.$|duration_ms:|type:|"
    r"failureType:|code: |name: )|node_modules|node:internal"
)
_FRAME = re.compile(r"^\s*(?:async |new )?[\w.$<>#]+(?: \[as \w+\])? \(\S+:\d+\)$")  # of node's own test runner
_GO_PLACE = re.compile(r"^\s*[\w./-]+\.go:\d+:\s*")
_FILE = re.compile(r"(?:[\w.-]*/)*[\w-]+\.(?:py|js|mjs|cjs|ts|go)(?::\d+)*")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def issue_text(test: str, said: str, secret: str, test_source: str) -> str:
    """An issue from a failing test's name and output.

    `secret` is the faulty function's name: it is left out unless the test itself (`test_source`) names it.
    """
    lines = [f"`{title(test)}` fails:"]
    if re.search(rf"\b{re.escape(secret)}\b", test_source):
        secret = ""
    for line in _example(said).splitlines():
        shown = _shown(line, secret)
        if shown:
            lines.append(f"    {shown}")
        if len(lines) > _LINES:
            break
    text = "\n".join(lines)
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS].rstrip() + "…"


def _example(said: str) -> str:
    """Of a doctest, which prints the text around it too, the example that failed; else what was said."""
    before, found, after = said.partition("\nExpected:\n")
    if not found or ">>> " not in before:
        return said
    return f">>> {before.rpartition('>>> ')[2]}{found}{after}"


def title(test: str) -> str:
    """A test's name without its module and class; a title in words stays as it is."""
    name = test.rpartition("::")[2]
    if " (" in name and name.endswith(")") and " " not in name.partition(" (")[0]:  # unittest: name (module.Class.name)
        name = name.partition(" (")[0]
    elif "/" in name and " " not in name:  # go: package.Test
        name = name.rpartition("/")[2].partition(".")[2] or name
    return re.sub(r" #\d+$", "", name)


def _shown(line: str, secret: str) -> str:
    if not line.strip() or _PLACE.search(line) or _FRAME.search(line):
        return ""
    line = _GO_PLACE.sub("", line)
    line = _ADDRESS.sub("", line)
    line = _FILE.sub("…", line)
    if secret:
        line = re.sub(rf"(?:\b[\w.]+\.)?\b{re.escape(secret)}\b(?:\(\))?", "…", line)
    line = line.strip()
    return line if len(line) <= _LINE else line[:_LINE] + "…"
