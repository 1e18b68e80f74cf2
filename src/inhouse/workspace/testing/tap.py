"""Failing tests in TAP (Test Anything Protocol 13 and 14), as node's test runner, tape and others print it.

Nested subtests are named with those around them; a test that fails only because one inside of it did is left out.
Source: testanything.org, tap-version-14-specification.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass

_POINT = re.compile(r"^(?P<margin> *)(?P<not>not )?ok\b(?: +\d+)?(?: +-)? *(?P<name>.*?)(?P<directive> +# .*)?$")
_SUBTEST = re.compile(r"^(?P<margin> *)# Subtest: (?P<name>.*)$")
_SECTION = re.compile(r"^# (?P<name>\S.*)$")  # tape names a test so, and its assertions below
_COUNTS = re.compile(r"(?:tests|suites|pass|fail|ok|cancelled|skipped|todo|duration_ms)\b(?: +[\d.]+)?$")
_FIELD = re.compile(r"^(?P<key>\w+):(?: (?P<value>.*))?$")
_SHOWN = ("operator", "expected", "actual")


@dataclass(frozen=True)
class Point:
    """A test that failed: its name with those around it, and what is said of it, the cause first."""

    name: str
    text: str


def is_tap(output: str) -> bool:
    """Whether an output is TAP: it says its version, or counts its tests in a plan."""
    return bool(re.search(r"^TAP version \d+$", output, re.MULTILINE)) or bool(
        re.search(r"^1\.\.\d+", output, re.MULTILINE) and re.search(r"^(not )?ok\b", output, re.MULTILINE)
    )


def failing_points(output: str) -> list[Point]:
    """The tests that failed, each once, in order; those that are to be done or skipped do not count."""
    found: dict[str, str] = {}
    around: dict[int, str] = {}
    section = ""
    lines = output.split("\n")
    for number, line in enumerate(lines):
        if subtest := _SUBTEST.match(line):
            depth = len(subtest["margin"])
            around = {at: name for at, name in around.items() if at < depth} | {depth: subtest["name"]}
        elif (point := _POINT.match(line)) and point["not"]:
            fields, rest = _described(lines, number + 1, len(point["margin"]))
            if "subtestsFailed" in fields.get("failureType", "") or _is_excused(point["directive"] or ""):
                continue
            outer = [name for at, name in sorted(around.items()) if at < len(point["margin"])]
            name = _plain(point["name"])
            id = " > ".join([*outer, name]) if outer or not section else section
            found.setdefault(id, _said(name if section else "", fields, rest))
        elif (named := _SECTION.match(line)) and not _COUNTS.match(named["name"]):
            section = named["name"]
    if (crash := _crash(output)) and section:
        found.setdefault(section, crash)
    return [Point(name, text) for name, text in found.items()]


def _crash(output: str) -> str:
    """What stands after the last test of a run that ended before its plan: of tape, an exception that nobody caught."""
    if re.search(r"^ *1\.\.\d+", output, re.MULTILINE):
        return ""
    rest = re.split(r"^(?:not )?ok\b.*\n(?: +---\n(?:.*\n)*? +\.\.\.\n)?|^# .*\n", output, flags=re.MULTILINE)[-1]
    return rest.strip("\n") if re.search(r"^ +at .*:\d+", rest, re.MULTILINE) else ""


def _plain(name: str) -> str:
    """A description without its escapes."""
    return re.sub(r"\\([\\#])", r"\1", name)


def _is_excused(directive: str) -> bool:
    return bool(re.match(r" +# *(todo|skip)\b", directive, re.IGNORECASE))


def _described(lines: list[str], start: int, margin: int) -> tuple[dict[str, str], str]:
    """The fields of the block (of YAML) below a test point, and, where there is none, the text that follows."""
    if start >= len(lines) or not re.match(rf" {{{margin}}} +---", lines[start]):
        following = []
        for line in lines[start:]:
            if _POINT.match(line) or _SUBTEST.match(line) or re.match(r"\s*1\.\.\d+", line):
                break
            following.append(line)
        return {}, textwrap.dedent("\n".join(following)).strip("\n")
    block = []
    for line in lines[start + 1 :]:
        if line.strip() == "...":
            break
        block.append(line)
    fields: dict[str, str] = {}
    key = ""
    for line in textwrap.dedent("\n".join(block)).split("\n"):
        if (field := _FIELD.match(line)) and not line.startswith(" "):
            key = field["key"]
            value = field["value"] or ""
            fields[key] = "" if re.fullmatch(r"[|>][-+]?", value) else value.strip().strip("\"'")
        elif key:
            fields[key] += f"\n{line}"
    return {key: textwrap.dedent(value.strip("\n")).strip() for key, value in fields.items()}, ""


def _said(name: str, fields: dict[str, str], rest: str) -> str:
    """What a failure says: why, with the values, and then where."""
    error = fields.get("error") or fields.get("message") or ""
    kind = fields.get("name", "")
    why = [f"{kind}: {error}" if kind and kind not in error else error, name]
    why += [f"{key}: {fields[key]}" for key in _SHOWN if fields.get(key)]
    where = [fields.get("stack", ""), fields.get("at", ""), fields.get("location", ""), rest]
    return "\n".join(part for part in [*why, *where] if part)
