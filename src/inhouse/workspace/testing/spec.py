"""Failing tests in the "spec" outputs of JavaScript's runners: node's own, mocha's, AVA's. Knows no repositories."""

from __future__ import annotations

import re
import textwrap

_NODE_POINT = re.compile(r"^(?P<margin> *)(?P<mark>[▶✔✖﹣⚠]) (?P<name>.*?)(?: \(\d[\d.]*ms\))?(?P<directive> # .*)?$")
_NODE_END = re.compile(r"^(?:ℹ (?:tests|suites|pass) \d+|✖ failing tests:)$")
_MOCHA_FAILING = re.compile(r"^  \d+ failing$", re.MULTILINE)
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
