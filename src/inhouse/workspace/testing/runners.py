"""Failing tests by name, in what runners of other languages than Python print: go, cargo, jest, vitest, node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

_HEADS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^[ \t]*--- FAIL: (?P<id>\S+) \(",  # go
        r"^---- (?P<id>\S+) stdout ----$",  # cargo
        r"^  ● (?P<id>(?!Console$).+)$",  # jest
        r"^ *FAIL  (?P<id>\S+ > .+)$",  # vitest
        r"^[ \t]*not ok \d+ - (?P<id>.+?)(?: # .*)?$",  # TAP
        r"^✖ (?P<id>.+?) \(\d[\d.]*ms\)$",  # node --test
    )
)
_END = re.compile(
    r"^(?:FAIL|PASS|ok|failures:|test result:|Test Suites:|Tests:)(?:\s.*)?$|^[ \t]*(?:ok \d+ -|--- PASS|=== RUN|✔ )",
    re.MULTILINE,
)
_RAN = (
    re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed", re.MULTILINE),
    re.compile(r"^Tests: .*?(\d+) total$", re.MULTILINE),
    re.compile(r"^(?:#|ℹ) tests (\d+)$", re.MULTILINE),
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
    """The failing tests, each once; empty where no known runner speaks."""
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
    return [Named(id, text, package) for (id, package), text in found.items()]


def tests_ran(output: str) -> int | None:
    """How many tests ended in success or failure, where the runner says it."""
    for pattern in _RAN:
        counts = pattern.findall(output)
        if counts:
            return sum(int(number) for count in counts for number in ([count] if isinstance(count, str) else count))
    return None
