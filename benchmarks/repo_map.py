"""How long the map of a large repository takes: the first time, and again when nothing has changed.

Writes a repository of Python, JavaScript, Go and C files of 50 to 150 lines that call one another into a temporary
folder, and maps it with a cache that is empty, then filled. The files are in the page cache: the disk is not measured.

Run: .venv/bin/python benchmarks/repo_map.py [--files 50000] [--seed 0] [--warm 3] [--profile] [--keep DIR]
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from inhouse.cli.common import positive
from inhouse.workspace.repo_map import RepoMap

BUDGET = 1024  # tokens
COLD, WARM = 20.0, 1.0  # seconds: what is promised of 50,000 files
_STEMS = [
    "account", "audit", "batch", "block", "buffer", "cache", "channel", "client", "cluster", "column", "config",
    "cursor", "device", "driver", "entry", "event", "field", "filter", "format", "frame", "graph", "group", "handle",
    "header", "index", "input", "item", "journal", "kernel", "layer", "ledger", "limit", "list", "lock", "market",
    "merge", "message", "metric", "model", "module", "node", "object", "order", "output", "packet", "page", "panel",
    "parser", "path", "peer", "pool", "price", "queue", "range", "record", "region", "report", "request", "result",
    "route", "row", "schema", "scope", "server", "session", "shard", "signal", "slice", "source", "stack", "state",
    "status", "store", "stream", "table", "target", "task", "thread", "tick", "token", "topic", "trace", "tree", "unit",
    "user", "value", "vector", "view", "window",
]  # fmt: skip
_VERBS = [
    "add", "apply", "build", "check", "close", "copy", "count", "decode", "drop", "encode", "fetch", "find", "flush",
    "get", "join", "load", "make", "merge", "move",
]  # fmt: skip


class Names:
    """Names of the repository: some that many files use, more that few do, as Zipf has it."""

    def __init__(self, files: int, random: random.Random) -> None:
        self.random = random
        self.all = [self._name(number) for number in range(6 * files)]

    def _name(self, number: int) -> str:
        pick = self.random.choice
        return f"{pick(_VERBS)}_{pick(_STEMS)}_{pick(_STEMS)}" + (f"_{number % 97}" if number % 3 else "")

    def some(self) -> str:
        return self.all[int(len(self.all) * self.random.random() ** 3)]


def python(name: str, names: Names) -> list[str]:
    some = names.some
    kind = name.title().replace("_", "")
    lines = [f'"""What concerns the {name} of a thing."""', "", "from __future__ import annotations", ""]
    lines += [
        f"from pkg.{some()} import {some()}, {some()}",
        f"from pkg.{some()} import {some()}",
        "",
        f"LIMIT = {len(name)}",
    ]
    lines += ["", "", f"class {kind}:", f'    """A {name}, with all that belongs to it."""', ""]
    for _ in range(names.random.randint(3, 9)):
        lines += [
            f"    def {some()}(self, items: list[int], limit: int = LIMIT) -> int:",
            f"        # what {some()} leaves is taken up here",
            f"        total = {some()}(items, key=self.{some()})",
            "        for item in sorted(items):",
            f"            if item > limit and not {some()}(item):",
            '                raise ValueError(f"{item} is above {limit}")',
            f"            total += item * self.{some()}[item]",
            "        return total",
            "",
        ]
    lines += ["", f"def {name}(value: int) -> {kind}:", f"    return {kind}().{some()}([value])"]
    return lines


def javascript(name: str, names: Names) -> list[str]:
    some = names.some
    lines = [f"import {{ {some()}, {some()} }} from './{some()}.js';", ""]
    for _ in range(names.random.randint(4, 10)):
        lines += [
            f"export function {some()}(items, limit) {{",
            f"  // {some()} does the rest",
            f"  const found = items.filter((item) => item > limit).map({some()});",
            "  for (const item of found) {",
            f"    if (!{some()}(item, {{ deep: true, name: 'x' }})) {{",
            "      throw new Error(`no ${item}`);",
            "    }",
            "  }",
            f"  return found.reduce((a, b) => a + b.{some()}, 0);",
            "}",
            "",
        ]
    return [*lines, f"export const {name} = () => {some()}([]);"]


def go(name: str, names: Names) -> list[str]:
    some = names.some
    kind = name.title().replace("_", "")
    lines = [
        "package pkg",
        "",
        'import "fmt"',
        "",
        f"type {kind} struct {{",
        "\titems []int",
        "\tname  string",
        "}",
        "",
    ]
    for _ in range(names.random.randint(4, 10)):
        lines += [
            f"// {some()} is what the callers of {some()} need.",
            f"func (k *{kind}) {some()}(limit int) (int, error) {{",
            "\ttotal := 0",
            "\tfor _, item := range k.items {",
            f"\t\tif item > limit && {some()}(item) {{",
            '\t\t\treturn 0, fmt.Errorf("%d is above %d", item, limit)',
            "\t\t}",
            f"\t\ttotal += {some()}(item) * k.{some()}",
            "\t}",
            "\treturn total, nil",
            "}",
            "",
        ]
    return lines


def c(name: str, names: Names) -> list[str]:
    some = names.some
    lines = [f"/* The {name} and what it needs. */", "#include <stdint.h>", f'#include "{some()}.h"', ""]
    lines += [f"struct {name} {{", "    int size;", "    const char *name;", f"    struct {some()} *next;", "};", ""]
    for _ in range(names.random.randint(4, 10)):
        lines += [
            f"static int {some()}(struct {name} *one, const int *items, int limit)",
            "{",
            "    int total = 0;",
            "    for (int i = 0; i < one->size; i++) {",
            f"        if (items[i] > limit && !{some()}(one, items[i]))",
            "            return -1;",
            f"        total += {some()}(items[i]) * one->size; /* as {some()} does */",
            "    }",
            "    return total;",
            "}",
            "",
        ]
    return lines


KINDS: Sequence[tuple[str, Callable[[str, Names], list[str]]]] = (
    (".py", python), (".py", python), (".js", javascript), (".go", go), (".c", c),
)  # fmt: skip


def write_repository(root: Path, files: int, seed: int) -> int:
    """Write it, as a git repository; returns its lines."""
    names = Names(files, random.Random(seed))
    lines = 0
    for number in range(files):
        suffix, write = KINDS[number % len(KINDS)]
        folder = root / _STEMS[number % 61] / _STEMS[(number // 61) % 83]
        folder.mkdir(parents=True, exist_ok=True)
        name = names.all[number]
        text = write(name, names)
        lines += len(text)
        (folder / f"{name}_{number}{suffix}").write_text("\n".join(text) + "\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    return lines


def look(root: Path, cache: Path, mentioned: Sequence[str] = ()) -> tuple[float, str]:
    """Seconds that a map takes, and the map."""
    started = time.perf_counter()
    with RepoMap(root, cache) as index:
        text = index.text(mentioned, BUDGET, lambda text: len(text) // 4)
    return time.perf_counter() - started, text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=positive, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--warm", type=positive, default=3, help="looks with a filled cache")
    parser.add_argument("--profile", action="store_true", help="where the time of this process goes")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="write the repository here, or use the one that is here"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inhouse-map-") as temporary:
        root = args.keep or Path(temporary) / "repository"
        if not (root / ".git").exists():
            lines = write_repository(root, args.files, args.seed)
            print(f"{args.files:,} files, {lines:,} lines", file=sys.stderr)
        cache = Path(temporary) / "cache"
        profile = cProfile.Profile()
        if args.profile:
            profile.enable()
        cold, first = look(root, cache)
        print(f"cold  {cold:6.2f} s (at most {COLD:.0f} s is promised of 50,000 files)")
        for _ in range(args.warm):
            warm, again = look(root, cache)
            print(f"warm  {warm:6.2f} s (at most {WARM:.0f} s)")
            if again != first:
                print("the map is another one although nothing changed")
                return 1
        drawn, _ = look(root, cache, ["parser", "kernel.go", "find_node_tree"])
        print(f"warm  {drawn:6.2f} s, drawn towards three words")
        if args.profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("cumulative").print_stats(25)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
