"""How other runners than Python's are asked for single tests: node, jest, vitest, mocha, AVA, tape, go, cargo.

Tests are named as failures are (`first > takes none`, `TestTotal/two_values`), or are paths of test files. Knows each
runner's options and no repositories.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath

_COMPOUND = re.compile(r"[|&;<>$`()\n]")  # more than one command, or what only a shell tells
_PATTERNS = re.compile(r"[{}*?~]")
_EXECUTE = {"npm": ("npx", "--no-install"), "pnpm": ("pnpm", "exec"), "yarn": ("yarn", "run"), "bun": ("bunx",)}
_GLOBBING = ("mocha", "ava", "tape")  # they find the files of a pattern themselves
_MEASURING = ("nyc", "c8")  # what runs a runner
_SEPARATOR = re.compile(r" > | › ")
_FILE = re.compile(r"\S*\.(?:[cm]?[jt]sx?|go|rs)")


def selected(argv: str | Sequence[str], script: str, tests: Sequence[str]) -> tuple[str, ...] | None:
    """The command for these tests alone; None where its runner is not known, or cannot be asked for them.

    `script` is what a package manager runs where `argv` is of one. A runner whose options must come before its files
    is called directly.
    """
    words = _words(argv, patterns=True)
    if not words or not tests or "--" in words:
        return None
    program = PurePosixPath(words[0]).name
    if program in _EXECUTE:
        inner = _words(script, patterns=True)  # which the manager's shell replaces
        name = _runner(inner)
        if name == "node":
            return _node(inner, tests) if _words(script) else None
        if name == "tape":
            return _tape(_EXECUTE[program], inner, tests)
        options = _options(name, tests)
        return (*words, *(("--",) if program == "npm" else ()), *options) if options else None
    name = _runner(words)
    if name not in _GLOBBING and not _words(argv):
        return None
    if name == "node":
        return _node(words, tests)
    if name == "tape":
        return _tape(("npx", "--no-install"), words, tests)
    if name == "go":
        return _go(words, tests)
    if name == "cargo" and not any(_FILE.fullmatch(test) for test in tests):
        return (*words, "--", "--exact", *tests)
    options = _options(name, tests)
    return (*words, *options) if options else None


def _words(line: str | Sequence[str], *, patterns: bool = False) -> tuple[str, ...]:
    """The words of a command; none of a line that needs a shell, be it for `patterns` of files."""
    if not isinstance(line, str):
        return tuple(line)
    if _COMPOUND.search(line) or (not patterns and _PATTERNS.search(line)):
        return ()
    try:
        words = shlex.split(line)
    except ValueError:
        return ()
    return () if words and "=" in words[0] else tuple(words)


def _runner(words: Sequence[str]) -> str:
    """The runner that a command starts: node (its own), go, cargo, jest, vitest, mocha, ava, tape; "" of any other."""
    bare = [PurePosixPath(word).name for word in words]
    while bare[:1] and bare[0] in ("npx", *_MEASURING):
        bare = [word for word in bare[1:] if not word.startswith("-")]
    if bare[:1] == ["node"] and "--test" in words:
        return "node"
    if bare[:2] in (["go", "test"], ["cargo", "test"]):
        return bare[0]
    return bare[0] if bare[:1] and bare[0] in ("jest", "vitest", "mocha", "ava", "tape") else ""


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


def _tape(execute: Sequence[str], words: Sequence[str], tests: Sequence[str]) -> tuple[str, ...] | None:
    """Tape runs files, and cannot be asked for a test of one. It is called directly: in a script, files come last."""
    if not all(_FILE.fullmatch(test) for test in tests):
        return None
    given = words[[PurePosixPath(word).name for word in words].index("tape") + 1 :]
    modules = [(one, two) for one, two in pairwise(given) if one in ("-r", "--require")]
    return (*execute, "tape", *(word for pair in modules for word in pair), *dict.fromkeys(tests))


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
