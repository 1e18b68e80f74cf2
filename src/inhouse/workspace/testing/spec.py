"""Failing tests in the "spec" outputs of JavaScript's runners: node's own, mocha's, AVA's. Knows no repositories."""

from __future__ import annotations

import re
import textwrap

_NODE_POINT = re.compile(r"^(?P<margin> *)(?P<mark>[▶✔✖﹣⚠]) (?P<name>.*?)(?: \(\d[\d.]*ms\))?(?P<directive> # .*)?$")
_NODE_END = re.compile(r"^(?:ℹ (?:tests|suites|pass) \d+|✖ failing tests:)$")
_MOCHA_FAILING = re.compile(r"^  \d+ failing$", re.MULTILINE)
_AVA_FAIL = re.compile(r"^  ✘ \[fail\]: (?P<name>.*)$", re.MULTILINE)
_MOCHA_HEAD = re.compile(r"^  \d+\) (?P<first>.*)$", re.MULTILINE)


def node_failures(output: str) -> dict[str, str]:
    """What `node --test` says of the tests that failed, by their names with those of the suites around them.

    Its list of failures at the end repeats them without their suites, and is left out.
    """
    found: dict[str, str] = {}
    suites: dict[int, str] = {}
    name: str | None = None
    said: list[str] = []

    def close() -> None:
        if name is not None:
            found.setdefault(name, textwrap.dedent("\n".join(said)).strip("\n"))

    for line in output.split("\n"):
        if _NODE_END.match(line):
            break
        point = _NODE_POINT.match(line)
        if point is None:
            said.append(line)
            continue
        close()
        name, said = None, []
        depth = len(point["margin"])
        ended = suites.get(depth)
        suites = {at: suite for at, suite in suites.items() if at < depth}
        if point["mark"] == "▶":
            suites[depth] = point["name"]
        elif point["mark"] == "✖" and ended != point["name"]:
            name = " > ".join([*(suite for _, suite in sorted(suites.items())), point["name"]])
    close()
    return found


def mocha_failures(output: str) -> dict[str, str]:
    """What mocha says of the tests that failed, by their names with those of the suites around them."""
    failing = list(_MOCHA_FAILING.finditer(output))
    if not failing:
        return {}
    section = output[failing[-1].end() :]
    found: dict[str, str] = {}
    heads = list(_MOCHA_HEAD.finditer(section))
    for at, head in enumerate(heads):
        end = heads[at + 1].start() if at + 1 < len(heads) else len(section)
        titles, lines = [head["first"].strip()], section[head.end() : end].split("\n")[1:]
        while not titles[-1].endswith(":") and lines and lines[0].startswith("       "):
            titles.append(lines.pop(0).strip())
        found[" > ".join(titles).removesuffix(":")] = textwrap.dedent("\n".join(lines)).strip("\n")
    return found


def ava_failures(output: str) -> dict[str, str]:
    """What AVA says of the tests that failed, by their titles (those of several files come after the file's name)."""
    failed = [match["name"] for match in _AVA_FAIL.finditer(output)]
    found: dict[str, str] = {}
    name: str | None = None
    for line in output.partition("\n  ─\n")[2].split("\n"):
        title = line[2:] if re.match(r"  \S", line) else ""
        if line == "  ─":
            break
        if title and title not in found and any(one == title or one.startswith(f"{title} ") for one in failed):
            name, found[title] = title, ""
        elif name is not None:
            found[name] += f"{line}\n"
    return {title: _cause_first(textwrap.dedent(text).strip("\n")) for title, text in found.items()}


def _cause_first(text: str) -> str:
    """AVA shows the test's lines before it says what was wrong."""
    shown = re.match(r"\S+:\d+\n\n(?: +\d+:.*\n)+\n", text)
    return f"{text[shown.end() :]}\n\n{shown[0].rstrip()}" if shown else text
