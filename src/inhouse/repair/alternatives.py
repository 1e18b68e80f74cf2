"""Places where a model would rather have written something else than the program has, the likeliest first.

A model that is asked to correct code, and made to read the faulty code as its own answer, is least content where the
fault is: what it would have written there is a correction, or the beginning of one. (That faulty lines are the less
likely ones: Ray et al., "On the 'Naturalness' of Buggy Code", ICSE 2016, arXiv:1506.01159.) Asks and runs nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from inhouse.client.types import ScoredToken
from inhouse.repair import line_edits
from inhouse.repair.localise import Suspect

TOP = 12  # alternatives to each token
FEW = 4  # to each token of a line that has been begun
_CONTENT = 0.5  # how much it counts that the token as it is is likely
_UNSUSPICIOUS = 1.0  # off the log-probability for what stands on the least suspicious line; less on others
_PREFERRED = 1.0  # on top of the log-probability for what stands on a line where another correction helped
_FENCE = "```"
_COMMENTS = ("#", "//", "/*", '"""')


@dataclass(frozen=True)
class Listing:
    """The lines of a suspect that are scored, at the left margin, and their numbers in the file (0: left out there)."""

    lines: tuple[str, ...]
    numbers: tuple[int, ...]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass(frozen=True)
class Alternative:
    """A line that would go on another way: after `at` characters of the listing with `begun`.

    `number` is the line's in the file, `head` its beginning in the listing, `begun` included. A `whole` line has no
    more to come. It may be meant `instead` of the old line, or as one that is missing `before` it.
    """

    at: int
    begun: str
    number: int
    head: str
    whole: bool
    instead: bool
    before: bool
    score: float


def listing(suspect: Suspect, text: str, code: str) -> Listing:
    """All lines of a suspect, which are `code` at the left margin; of a long one those around its likeliest lines."""
    lines = [line.rstrip("\r") for line in code.split("\n")]
    shown = line_edits.listed(suspect, text)
    found: list[tuple[str, int]] = []
    for number in shown:
        if found and number != found[-1][1] + 1:
            found.append(("...", 0))
        if number - suspect.first < len(lines):
            found.append((lines[number - suspect.first], number))
    return Listing(tuple(line for line, _ in found), tuple(number for _, number in found))


def ranked(
    tokens: Sequence[ScoredToken], listed: Listing, likely: Sequence[int], *, missing: bool = True
) -> list[Alternative]:
    """All alternatives on lines that may be wrong; `likely` are those, the likeliest first.

    Lines may be `missing`, too: not of a constant or a table.
    """
    code, places = listed.text, {number: place for place, number in enumerate(likely)}
    found: dict[tuple[int, str], Alternative] = {}
    for token in tokens:
        if token.at < 0:
            continue
        before = code[: token.at]
        line = before.count("\n")
        start = before.rpartition("\n")[2]
        for text, logprob in token.top:
            if text == token.text or _FENCE in start + text:
                continue
            change = _change(text, logprob - _CONTENT * token.logprob, token.at, line, start, listed, places)
            if change is not None and not missing:
                change = replace(change, before=False) if change.instead else None
            if change is not None and (change.number, change.head) not in found:
                found[change.number, change.head] = change
    return sorted(found.values(), key=lambda change: -change.score)


def _change(
    token: str, score: float, at: int, line: int, start: str, listed: Listing, places: dict[int, int]
) -> Alternative | None:
    """What another token makes of a line; None where that is nothing new, or nothing that matters."""
    body, ends, _ = token.partition("\n")
    number, head, old = listed.numbers[line], start + body, listed.lines[line]
    if (
        not number
        or not head.strip()
        or head.lstrip().startswith(_COMMENTS)
        or (ends and head.rstrip() == old.rstrip())
    ):
        return None
    opens = not start.strip()
    above = next((listed.numbers[at] for at in range(line - 1, -1, -1) if listed.lines[at].strip()), 0)
    near = [places[each] for each in ((number, above) if opens else (number,)) if each in places]
    if not near:
        return None
    score -= _UNSUSPICIOUS * min(near) / len(places)
    return Alternative(at, token, number, head, bool(ends), number in places, opens, score)


def siblings(change: Alternative, rest: str, tokens: Sequence[ScoredToken]) -> list[Alternative]:
    """The other ways that an alternative could have gone on than with `rest`, whose tokens are scored."""
    found, score = [], change.score
    for token in tokens:
        for text, logprob in token.top if token.at >= 0 else ():
            body, ends, _ = text.partition("\n")
            more = rest[: token.at] + body
            if text != token.text and _FENCE not in more and not body.lstrip().startswith(_COMMENTS):
                head, begun = change.head + more, change.begun + rest[: token.at] + text
                found.append(replace(change, begun=begun, head=head, whole=bool(ends), score=score + logprob))
        score += token.logprob
    return found


def merged(
    one: Iterable[Alternative], other: Iterable[Alternative], done: Collection[tuple[int, str]]
) -> list[Alternative]:
    """The alternatives of two readings, each by its better score, without those `done` (number and head)."""
    found: dict[tuple[int, str], Alternative] = {}
    for change in (*one, *other):
        key = (change.number, change.head)
        if key not in done and (key not in found or found[key].score < change.score):
            found[key] = change
    return sorted(found.values(), key=lambda change: -change.score)


def preferring(number: int, others: Iterable[Alternative]) -> list[Alternative]:
    """Alternatives, those on line `number` as far in front as others would be of a token less likely by far."""
    preferred = (replace(one, score=one.score + _PREFERRED) if one.number == number else one for one in others)
    return sorted(preferred, key=lambda other: -other.score)


def versions(change: Alternative, line: str, listed: Listing, text: str) -> list[str]:
    """The file's text with a line that began as an alternative: instead of the old one, and before it."""
    lines = text.split("\n")
    old = lines[change.number - 1]
    shown = listed.lines[listed.numbers.index(change.number)]
    ending = "\r" if old.endswith("\r") else ""
    indent = old.rstrip("\r").removesuffix(shown) if shown else ""
    new = indent + line.rstrip() + ending
    before, after = lines[: change.number - 1], lines[change.number :]
    made = [[*before, new, *after]] if change.instead else []
    if change.before:
        made.append([*before, new, old, *after])
    return ["\n".join(each) for each in made]
