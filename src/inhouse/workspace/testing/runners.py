"""Failing tests by name, in what the runners of other languages than Python print.

go, cargo, jest and vitest are read here; TAP, and outputs in the style of mocha's "spec", have modules of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from textwrap import dedent

from inhouse.workspace.testing.spec import ava_failures, mocha_failures, node_failures
from inhouse.workspace.testing.tap import failing_points, is_tap

_HEADS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^[ \t]*--- FAIL: (?P<id>\S+) \(",  # go
        r"^---- (?P<id>\S+) stdout ----$",  # cargo
        r"^  ● (?P<id>(?!Console$).+)$",  # jest
        r"^ *FAIL  (?P<id>\S+ > .+)$",  # vitest
    )
)
_END = re.compile(
    r"^(?:FAIL|PASS|ok|failures:|test result:|Test Suites:|Tests:)(?:\s.*)?$"
    r"|^[ \t]*(?:ok \d+ -|--- PASS|=== RUN|✔ |⎯{3,})",
    re.MULTILINE,
)
_RAN = (
    re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed", re.MULTILINE),
    re.compile(r"^Tests: .*?(\d+) total$", re.MULTILINE),
    re.compile(r"^(?:#|ℹ) tests +(\d+)$", re.MULTILINE),
    re.compile(r"^ *Tests +.*\((\d+)\)$", re.MULTILINE),  # vitest
    re.compile(r"^  (\d+) (?:passing|failing)\b", re.MULTILINE),  # mocha
)
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_GO_RUNS = re.compile(r"^=== (?:RUN|NAME|CONT) +(?P<id>\S+)\n(?P<said>(?:(?!===|\s*---).*\n)*)", re.MULTILINE)
_AVA_SUMS = re.compile(r"^  \d+ tests? (?:passed|failed)$", re.MULTILINE)
_AVA_ENDED = re.compile(r"^  (?:✔ |✘ \[fail\]: )", re.MULTILINE)
_GO_ENDED = re.compile(r"^ *--- (?:PASS|FAIL): ", re.MULTILINE)
# Frames that are not the project's: of node, of installed packages, of the standard libraries of Rust and Go.
_FOREIGN = re.compile(
    r"^[^\n]*(?:\bnode:|/node_modules/)[^\n]*(?:\n|\Z)|^ *\d+: [^\n]*\n +at /rustc/[^\n]*(?:\n|\Z)"
    r"|^\S[^\n]*\n\t\S*/src/(?:testing|runtime)/[^\n]*(?:\n|\Z)",
    re.MULTILINE,
)


_GO_MODULE = re.compile(r'^module\s+"?([^\s"]+)', re.MULTILINE)
_GO_PACKAGE = re.compile(r"^FAIL\t(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Named:
    """A failing test, what is said below its name, and of Go the package that it is of."""

    id: str
    text: str
    package: str = ""


def go_modules(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """The Go modules among a repository's files: module path to folder ("" for the root), innermost first."""
    found: dict[str, str] = {}
    for path in sorted((path for path in paths if f"/{path}".endswith("/go.mod")), key=len, reverse=True):
        file = root / path
        stated = _GO_MODULE.search(file.read_text("utf-8", errors="replace")) if file.is_file() else None
        if stated:
            found[stated[1]] = path.removesuffix("go.mod").rstrip("/")
    return found


def go_folder(package: str, modules: Mapping[str, str]) -> str | None:
    """Where a package of one of the modules lies; None of any other. Source: Go Modules Reference, "Go packages"."""
    owners = [module for module in modules if package == module or package.startswith(f"{module}/")]
    if not owners:
        return None
    module = max(owners, key=len)
    return f"{modules[module]}/{package[len(module) :].lstrip('/')}".strip("/")


def named_failures(output: str) -> list[Named]:
    """The failing tests, each once; empty where no known runner speaks. Stack frames have the innermost first."""
    output = _COLOUR.sub("", output)
    if is_tap(output):
        found = {(point.name, ""): point.text for point in failing_points(output)}
    else:
        spoken = node_failures(output) or mocha_failures(output) or ava_failures(output)
        found = {(id, ""): text for id, text in spoken.items()} or _headed(output)
    verbose = _go_says(output)
    named = []
    for (id, package), text in found.items():
        said = dedent(_FOREIGN.sub("", text or verbose.get(id, ""))).strip("\n")
        if not said:  # a Go test fails when a subtest of it does, and says no more
            said = "\n".join(f"{other} fails" for other, of in found if other.startswith(f"{id}/") and of == package)
        named.append(Named(id, said, package))
    return named


def _headed(output: str) -> dict[tuple[str, str], str]:
    """What stands below the heads of failures of one runner, by name and Go package."""
    found: dict[tuple[str, str], str] = {}
    for head in _HEADS:
        heads = list(head.finditer(output))
        for one, following in zip_longest(heads, heads[1:]):
            body = output[one.end() : following.start() if following else len(output)]
            end = _END.search(body)
            text = (body[: end.start()] if end else body).partition("\n")[2].strip("\n")
            # Go names a package after its tests, and prints one package at a time.
            package = _GO_PACKAGE.search(output, one.end()) if head is _HEADS[0] else None
            key = (one["id"], package[1] if package else "")
            if text or key not in found:
                found[key] = text
        if found:
            break
    return found


def _go_says(output: str) -> dict[str, str]:
    """What Go's tests say while they run, which `go test -v` prints before their outcome."""
    said: dict[str, str] = {}
    for match in _GO_RUNS.finditer(output):
        said[match["id"]] = said.get(match["id"], "") + match["said"]
    return said


def tests_ran(output: str) -> int | None:
    """How many tests ended in success or failure, where the runner says it."""
    output = _COLOUR.sub("", output)
    for pattern in _RAN:
        counts = pattern.findall(output)
        if counts:
            return sum(int(number) for count in counts for number in ([count] if isinstance(count, str) else count))
    ended = _GO_ENDED if _GO_RUNS.search(output) else _AVA_ENDED if _AVA_SUMS.search(output) else None
    return len(ended.findall(output)) if ended else None
