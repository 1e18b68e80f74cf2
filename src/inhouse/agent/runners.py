"""Failing tests by name, in what runners of other languages than Python print: go, cargo, jest, vitest, node."""

from __future__ import annotations

import re
from itertools import zip_longest

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


def named_failures(output: str) -> list[tuple[str, str]]:
    """The failing tests, each once, and what is said below the name; empty where no known runner speaks."""
    found: dict[str, str] = {}
    for head in _HEADS:
        heads = list(head.finditer(output))
        for one, following in zip_longest(heads, heads[1:]):
            body = output[one.end() : following.start() if following else len(output)]
            end = _END.search(body)
            text = (body[: end.start()] if end else body).partition("\n")[2].strip("\n")
            if text or one["id"] not in found:
                found[one["id"]] = text
        if found:
            break
    return list(found.items())


def tests_ran(output: str) -> int | None:
    """How many tests ended in success or failure, where the runner says it."""
    for pattern in _RAN:
        counts = pattern.findall(output)
        if counts:
            return sum(int(number) for count in counts for number in ([count] if isinstance(count, str) else count))
    return None
