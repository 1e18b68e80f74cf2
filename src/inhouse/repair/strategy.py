"""How a suspect is asked about: which kind of question comes when, at which temperature, with how much room.

The first questions about a suspect are greedy and differ in what they show, since each way reaches bugs that the others
miss: the function with the failing test and its calls; the description of the function without its code, so that the
wrong line cannot be copied; the problem and the whole file, as somebody without tools would ask. Later ones are drawn
with rising temperature. Asks nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from inhouse.client.types import Sampling
from inhouse.repair import prompts
from inhouse.repair.events import Style
from inhouse.repair.localise import Suspect
from inhouse.repair.prompts import Earlier, Prompt

PLAIN_TOKENS = 1536  # allowed to the answer of a plain question, which may be the whole file
_SMALLEST_ANSWER = 160  # tokens allowed at least
_EXPLANATION = 120  # tokens allowed on top for saying what is wrong
_DRAWN: tuple[Style, ...] = (
    "told",
    "explain",
    "anew",
    "repair",
)  # small models repeat what they are told: not each time
_COOLEST, _HOTTEST, _STEP = 0.7, 1.0, 0.05


@dataclass(frozen=True)
class Question:
    """One question about a suspect."""

    style: Style
    temperature: float


def question(suspect: Suspect, text: str, number: int, *, plain: bool) -> Question:
    """The `number`-th question (from 0) about a suspect in a file; `plain` ones are wanted once for a file."""
    first = greedy(suspect, text, plain=plain)
    if number < len(first):
        return Question(first[number], 0.0)
    later = number - len(first)
    styles = [style for style in _DRAWN if style != "anew" or "anew" in first]
    return Question(styles[later % len(styles)], min(_HOTTEST, _COOLEST + _STEP * later))


def greedy(suspect: Suspect, text: str, *, plain: bool) -> tuple[Style, ...]:
    """The kinds of questions that a suspect is asked first, each once."""
    styles: list[Style] = ["repair"]
    if prompts.is_documented(suspect, text) and suspect.last - suspect.first < prompts.LONG_FUNCTION:
        styles.append("anew")
    if plain and suspect.kind == "function" and len(text) <= prompts.PLAIN_FILE:
        styles.append("plain")  # the longest answers, so last
    return tuple(styles)


def asked(
    ask: Question, problem: str, common: str, suspect: Suspect, texts: Mapping[str, str], earlier: Sequence[Earlier]
) -> Prompt:
    """The words of a question."""
    if ask.style == "plain":
        return Prompt(prompts.plain(problem, suspect.path, texts[suspect.path]), "", ())
    if ask.style == "anew":
        return prompts.anew(common, suspect, texts)
    told = earlier[-1:] if ask.style == "told" else ()
    return prompts.for_suspect(common, suspect, texts, told, explain=ask.style == "explain")


def sampling(
    ask: Question, prompt: Prompt, suspect: Suspect, text: str, seed: int, count: Callable[[str], int]
) -> Sampling:
    """How the answer is drawn; `count` counts tokens."""
    size = count(prompts.suspect_text(suspect, text))
    room = max(_SMALLEST_ANSWER, size + size // 2 + 60) + (_EXPLANATION if ask.style == "explain" else 0)
    return Sampling(
        temperature=ask.temperature,
        top_p=0.95 if ask.temperature else 1.0,
        seed=seed,
        max_tokens=PLAIN_TOKENS if ask.style == "plain" else room,
        stop=prompt.stop,
    )
