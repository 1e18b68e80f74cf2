"""How a suspect is asked about: which kind of question comes when, at which temperature, with how much room.

The first rounds about a suspect differ in what they show and ask for, since each reaches bugs that the others miss:
the whole function with the failing test and its calls; single lines, many answers to one prompt; the likeliest lines
one by one; the description of the function without its code, so that the wrong line cannot be copied; the problem and
the whole file, as somebody without tools would ask. Later ones are sampled with rising temperature. Asks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from inhouse.client.types import Sampling
from inhouse.repair import line_edits, prompts
from inhouse.repair.events import Style
from inhouse.repair.localise import Suspect
from inhouse.repair.prompts import Earlier, Prompt

PLAIN_TOKENS = 1536  # allowed to the answer of a plain question, which may be the whole file
_BATCHES = (8, 12, 12, 20)  # alternatives that are tried in a round
SHORT = 20  # lines of a function that is asked for as a whole before single lines are
LINE_TOKENS = 120  # allowed to one line
_SMALLEST_ANSWER = 160  # tokens allowed at least
_EXPLANATION = 120  # tokens allowed on top for saying what is wrong
_SAMPLED: tuple[Style, ...] = (
    "told",
    "explain",
    "anew",
    "repair",
)  # small models repeat what they are told: not each time
_COOLEST, _HOTTEST, _STEP = 0.7, 1.0, 0.05


@dataclass(frozen=True)
class Question:
    """One question about a suspect; of style "line", about this `line` or any (None).

    Of style "alternative" nothing is asked: the next `count` lines that would rather have been written are tried.
    """

    style: Style
    temperature: float
    line: int | None = None
    count: int = 0


Round = tuple[Question, ...]  # asked together: one style, and as far as may be one prompt


def question(suspect: Suspect, text: str, number: int, *, plain: bool) -> Question:
    """The `number`-th question (from 0) about a suspect as a whole; `plain` ones are wanted once for a file."""
    first = _greedy(suspect, text, plain=plain)
    if number < len(first):
        return Question(first[number], 0.0)
    later = number - len(first)
    styles = [style for style in _SAMPLED if style != "anew" or "anew" in first]
    return Question(styles[later % len(styles)], min(_HOTTEST, _COOLEST + _STEP * later))


def first_rounds(suspect: Suspect, text: str, *, plain: bool, lines: int, scored: bool) -> list[Round]:
    """The rounds that every suspect is asked first: greedy questions of each kind, and `lines` answers about lines.

    With `scored`, the model can tell what it would rather have written: that is tried first, and after each question.
    """
    asked = _asked_first(suspect, text, plain=plain, lines=lines)
    if not scored:
        return asked
    return [_alternatives(0), *(each for turn, one in enumerate(asked, 1) for each in (_alternatives(turn), one))]


def _alternatives(turn: int) -> Round:
    """The `turn`-th (from 0) likeliest lines of those that would rather have been written."""
    return (Question("alternative", 0.0, count=_BATCHES[min(turn, len(_BATCHES) - 1)]),)


def _asked_first(suspect: Suspect, text: str, *, plain: bool, lines: int) -> list[Round]:
    whole: list[Round] = [(Question(style, 0.0),) for style in _greedy(suspect, text, plain=plain)]
    rounds = (_raising_line(suspect, lines), _any_line(0, lines), _each_line(suspect, text, 0, lines))
    single = [round for round in rounds if round]
    if suspect.kind == "lines" and suspect.path.endswith(".py") and single:
        return single  # of a constant or a table small models make a function
    if suspect.last - suspect.first >= SHORT:
        return [*single, *whole]
    if suspect.raised is not None:
        return [*single[:1], whole[0], *single[1:], *whole[1:]]
    return [whole[0], *single, *whole[1:]]


def next_round(suspect: Suspect, text: str, number: int, *, plain: bool, lines: int, scored: bool) -> Round:
    """The `number`-th round (from 0) about a suspect."""
    first = first_rounds(suspect, text, plain=plain, lines=lines, scored=scored)
    if number < len(first):
        return first[number]
    later = number - len(first)
    if scored:
        later, asks = divmod(later, 2)
        if not asks:
            return _alternatives(len(first))
    turn, kind = divmod(later, 3 if lines else 1)
    if kind == 1:
        return _any_line(1 + turn, lines)
    if kind == 2 and (single := _each_line(suspect, text, 1 + turn, lines)):
        return single
    greedy = len(_greedy(suspect, text, plain=plain))
    return (question(suspect, text, greedy + turn, plain=plain),)


def prompt_for(
    ask: Question, problem: str, common: str, suspect: Suspect, texts: Mapping[str, str], earlier: Sequence[Earlier]
) -> Prompt:
    """The words of a question."""
    if ask.style == "line":
        return prompts.for_line(common, suspect, texts, ask.line)
    if ask.style == "plain":
        return Prompt(prompts.plain(problem, suspect.path, texts[suspect.path]), "", ())
    if ask.style == "anew":
        return prompts.anew(common, suspect, texts)
    told = earlier[-1:] if ask.style == "told" else ()
    return prompts.for_suspect(common, suspect, texts, told, explain=ask.style == "explain")


def sampling(
    ask: Question, prompt: Prompt, suspect: Suspect, text: str, seed: int, count: Callable[[str], int]
) -> Sampling:
    """How the answer is sampled; `count` counts tokens."""
    return Sampling(
        temperature=ask.temperature,
        top_p=0.95 if ask.temperature else 1.0,
        seed=seed,
        max_tokens=_room(ask, suspect, text, count),
        stop=prompt.stop,
    )


def expected_tokens(ask: Question, suspect: Suspect, text: str, count: Callable[[str], int]) -> int:
    """How long an answer will about be, of a function that is written anew or a line."""
    return 20 if ask.style in ("line", "alternative") else 40 + count(prompts.suspect_text(suspect, text))


def _room(ask: Question, suspect: Suspect, text: str, count: Callable[[str], int]) -> int:
    if ask.style == "line":
        return LINE_TOKENS
    if ask.style == "plain":
        return PLAIN_TOKENS
    size = count(prompts.suspect_text(suspect, text))
    return max(_SMALLEST_ANSWER, size + size // 2 + 60) + (_EXPLANATION if ask.style == "explain" else 0)


def _greedy(suspect: Suspect, text: str, *, plain: bool) -> tuple[Style, ...]:
    """The kinds of questions about a suspect as a whole that are asked greedily, each once."""
    styles: list[Style] = ["repair"]
    if prompts.is_documented(suspect, text) and suspect.last - suspect.first < prompts.LONG_FUNCTION:
        styles.append("anew")
    if plain and suspect.kind == "function" and len(text) <= prompts.PLAIN_FILE:
        styles.append("plain")  # the longest answers, so last
    return tuple(styles)


def _raising_line(suspect: Suspect, count: int) -> Round:
    """The line that an exception came out of, several times; nothing where none did."""
    if suspect.raised is None:
        return ()
    return tuple(Question("line", _HOTTEST if number else 0.0, suspect.raised) for number in range(count))


def _any_line(turn: int, count: int) -> Round:
    """Any line, as the model finds; greedily once, then sampled."""
    heat = min(_HOTTEST, _COOLEST + 4 * _STEP * (1 + turn))  # cooler, most answers are the same
    return tuple(Question("line", heat if number or turn else 0.0) for number in range(count))


def _each_line(suspect: Suspect, text: str, turn: int, count: int) -> Round:
    """The likeliest lines that have not had their turn, one greedy question for each; none where there is one alone."""
    lines = line_edits.likely(suspect, text)
    chosen = lines[turn * count : (turn + 1) * count] if len(lines) > 1 else []
    return tuple(Question("line", 0.0, line) for line in chosen)
