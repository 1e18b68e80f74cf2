"""How the runners of other languages than Python are asked for single tests: node, jest, vitest, mocha, AVA, go, cargo.

Tests are named as failures are (`first > takes none`, `TestTotal/two_values`), or are paths of test files. Knows each
runner's options and no repositories.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import PurePosixPath

_SHELL = re.compile(r"[|&;<>$`(){}*?~\n]")
_MANAGERS = ("npm", "pnpm", "yarn", "bun")
_SEPARATOR = re.compile(r" > | › ")
_FILE = re.compile(r"\S*\.(?:[cm]?[jt]sx?|go|rs)")


def selected(argv: str | Sequence[str], script: str, tests: Sequence[str]) -> tuple[str, ...] | None:
    """The command for these tests alone; None where its runner is not known, or cannot be asked for them.

    `script` is what a package manager runs where `argv` is of one. A runner whose options must come before its files
    is called directly.
    """
    words = _words(argv)
    if not words or not tests or "--" in words:
        return None
    program = PurePosixPath(words[0]).name
    if program in _MANAGERS:
        inner = _words(script)
        name = _runner(inner)
        if name == "node":
            return _node(inner, tests)
        options = _options(name, tests)
        return (*words, *(("--",) if program == "npm" else ()), *options) if options else None
    name = _runner(words)
    if name == "node":
        return _node(words, tests)
    if name == "go":
        return _go(words, tests)
    if name == "cargo" and not any(_FILE.fullmatch(test) for test in tests):
        return (*words, "--", "--exact", *tests)
    options = _options(name, tests)
    return (*words, *options) if options else None


def _words(line: str | Sequence[str]) -> tuple[str, ...]:
    """The words of a command; none of a line that needs a shell."""
    if not isinstance(line, str):
        return tuple(line)
    if _SHELL.search(line):
        return ()
    try:
        words = shlex.split(line)
    except ValueError:
        return ()
    return () if words and "=" in words[0] else tuple(words)


def _runner(words: Sequence[str]) -> str:
    """The runner that a command starts: node (its own), go, cargo, jest, vitest, mocha, ava; "" of any other."""
    bare = [PurePosixPath(word).name for word in words]
    if bare[:1] == ["npx"]:
        bare = [word for word in bare[1:] if not word.startswith("-")]
    if bare[:1] == ["node"] and "--test" in words:
        return "node"
    if bare[:2] in (["go", "test"], ["cargo", "test"]):
        return bare[0]
    return bare[0] if bare[:1] and bare[0] in ("jest", "vitest", "mocha", "ava") else ""


def _options(runner: str, tests: Sequence[str]) -> tuple[str, ...]:
    """What jest, vitest, mocha and AVA are given after all else; files are named, titles matched as a whole."""
    files = [test for test in tests if _FILE.fullmatch(test)]
    titled = [_SEPARATOR.split(test) for test in tests if test not in files]
    if runner == "vitest":  # its failures begin with their file
        files += [parts[0] for parts in titled if _FILE.fullmatch(parts[0])]
        titled = [parts[1:] if _FILE.fullmatch(parts[0]) else parts for parts in titled]
    if runner == "ava":
        match = [f"--match={re.sub(r'[*!]', '*', ' › '.join(parts))}" for parts in titled]
        return (*match, *dict.fromkeys(files))
    option = {"jest": "-t", "vitest": "-t", "mocha": "-g"}.get(runner)
    if option is None:
        return ()
    pattern = "|".join(_escaped(" ".join(parts)) for parts in titled)
    return (*dict.fromkeys(files), *((option, f"^({pattern})$") if titled else ()))


def _node(words: Sequence[str], tests: Sequence[str]) -> tuple[str, ...]:
    """Node's runner wants every title on the way to a test to match, and options before files."""
    files = [test for test in tests if _FILE.fullmatch(test)]
    titles = dict.fromkeys(title for test in tests if test not in files for title in _SEPARATOR.split(test))
    patterns = [f"--test-name-pattern=^{_escaped(title)}$" for title in titles]
    at = words.index("--test") + 1
    return (*words[:at], *patterns, *words[at:], *files)


def _go(words: Sequence[str], tests: Sequence[str]) -> tuple[str, ...] | None:
    """Go's tests are asked for by their functions' names; subtests run with theirs."""
    names = sorted({test.partition("/")[0] for test in tests})
    if any(_FILE.fullmatch(test) for test in tests) or not all(re.fullmatch(r"\w+", name) for name in names):
        return None
    return (*words[:2], f"-run=^({'|'.join(names)})$", *words[2:])


def _escaped(title: str) -> str:
    """A title as a regular expression of JavaScript."""
    return re.sub(r"[.*+?^${}()|\[\]\\/]", r"\\\g<0>", title)
