"""What the model is told of a repository's code before it looks: a map, where a list of its files says too little.

Knows the index of the repository and a counter of tokens; no model and no prompts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from inhouse.workspace.repo_map import RepoMap

_LEAST_FILES = 12  # of source; fewer are seen at a glance, and read at little cost
_SHARE, _MOST_TOKENS = 32, 4096  # of the context
_NAMES = 200  # taken from the task
_NAME = re.compile(r"[A-Za-z_$][\w$./-]+[\w$]")


def map_tokens(context: int) -> int:
    """What a map may take of a context of so many tokens."""
    return min(context // _SHARE, _MOST_TOKENS)


def overview(root: Path, task: str, budget: int, count_tokens: Callable[[str], int], maps: Path | None) -> str:
    """A map of the code of `root`, drawn towards what the task names, in at most `budget` tokens.

    Empty for a small repository. `maps` is where maps are kept from one time to the next. Raises what reading the
    repository raises: OSError, WorkspaceError, sqlite3.Error, or a worker process that was killed.
    """
    with RepoMap(root, maps, still=True) as index:
        if index.count() < _LEAST_FILES:
            return ""
        text = index.text(mentioned(task), budget, count_tokens)
    return f"The definitions that most of the code leans on, by file and line:\n{text.rstrip()}" if text else ""


def mentioned(task: str) -> list[str]:
    """What in a task's text may be the name of a file or of a definition, in order."""
    return list(dict.fromkeys(_NAME.findall(task)))[:_NAMES]
