"""A gap between two texts, as the tokens that ask a model for what is missing. Knows no endpoint.

The form is that of Qwen2.5-Coder's report (and of llama.cpp's /infill): files of the same project, then the text before
and the text behind.
"""

from __future__ import annotations

from collections.abc import Sequence

from inhouse.errors import ParameterError
from inhouse.tokenizer import Tokenizer

_BEFORE, _BEHIND, _MISSING = "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"
_PROJECT, _FILE = "<|repo_name|>", "<|file_sep|>"
_SHARE_BEFORE = 0.75  # of what room there is, for the text before the gap


def fills_gaps(tokenizer: Tokenizer) -> bool:
    """Whether a model has the tokens for that."""
    return all(tokenizer.token_id(name) is not None for name in (_BEFORE, _BEHIND, _MISSING))


def gap(prefix: str, suffix: str, tokenizer: Tokenizer, begun: str = "") -> list[int]:
    """The prompt for what is missing between `prefix` and `suffix`, of which `begun` is there.

    Raises ParameterError for a model that has no tokens for that.
    """
    return gap_within(prefix, suffix, tokenizer, None, begun=begun)


def gap_within(
    prefix: str,
    suffix: str,
    tokenizer: Tokenizer,
    most: int | None,
    *,
    begun: str = "",
    files: Sequence[tuple[str, str]] = (),
) -> list[int]:
    """The same in at most so many tokens, behind as many of `files` (name, text) as fit, the first of them first.

    Of texts that are too long what is nearest to the gap stays. Raises ParameterError.
    """
    before, behind, missing = (tokenizer.token_id(name) for name in (_BEFORE, _BEHIND, _MISSING))
    if before is None or behind is None or missing is None:
        raise ParameterError("this model cannot fill gaps, it has no tokens for that: serve one that can (a coder)")
    head, tail, start = (tokenizer.encode(text, special=False) for text in (prefix, suffix, begun))
    if most is not None:
        room = max(2, most - 3 - len(start))
        kept = max(int(room * _SHARE_BEFORE), room - len(tail))
        head = head[-kept:] if kept < len(head) else head
        tail = tail[: max(0, room - len(head))]
        most -= len(head) + len(tail) + len(start) + 3
    return [*_project(files, tokenizer, most), before, *head, behind, *tail, missing, *start]


def _project(files: Sequence[tuple[str, str]], tokenizer: Tokenizer, room: int | None) -> list[int]:
    project, file = tokenizer.token_id(_PROJECT), tokenizer.token_id(_FILE)
    if not files or project is None or file is None:
        return []
    ids = [project, *tokenizer.encode("project\n", special=False)]
    last = [file, *tokenizer.encode("filename\n", special=False)]
    for name, text in files:
        more = [file, *tokenizer.encode(f"{name}\n{text}", special=False)]
        if room is not None and len(ids) + len(more) + len(last) > room:
            break
        ids += more
    return [*ids, *last] if file in ids else []
