"""What the model is told. Knows no clients and runs nothing.

The shared part (problem, failing test, what it says) comes first and is the same in every request of a repair, so that
an engine which keeps its state reads it once; what differs (the suspect, earlier attempts) comes last. The answer is
begun for the model: a small model then writes the function and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from inhouse.client.types import Message
from inhouse.repair import answer_grammar, line_edits
from inhouse.repair.alternatives import Listing, listing
from inhouse.repair.answer_grammar import DIVIDER, REPLACE, SEARCH
from inhouse.repair.localise import Suspect
from inhouse.workspace.code import functions
from inhouse.workspace.lines import lines_of
from inhouse.workspace.source import Function
from inhouse.workspace.testing.calls import Call
from inhouse.workspace.testing.report import Failure

SYSTEM = "You are an expert programmer. You repair bugs with small, correct changes."
TESTER = "You are an expert programmer. You write short, correct tests."
_END_OF_TEST = ("\n```", "\ndef ", "\nclass ", "\n@", "\nif ", "\n#")
LONG_FUNCTION = 80  # lines; longer ones are edited by SEARCH/REPLACE instead of written anew

PLAIN_FILE = (
    6_000  # characters; longer files are not asked about as a whole, which takes the time of ten other questions
)

_PYTHON = "```python\n"  # of tests that are written for the user
_MAX_CALLS = 6  # shown of a suspect
_MAX_NEIGHBOURS = 6  # functions shown by their signature
_MAX_PROBLEM = 4000  # characters
_MAX_MESSAGE = 1500  # characters of what a failure says
_MAX_AROUND = 800  # characters of neighbours, and of a class
_MAX_TEST = 30  # lines of a failing test that are shown


@dataclass(frozen=True)
class Prompt:
    """A question, how its answer begins, what ends it, and the form it must have (None: any)."""

    messages: tuple[Message, ...]
    prefill: str
    stop: tuple[str, ...]
    grammar: str | None = None


@dataclass(frozen=True)
class Earlier:
    """An answer that did not help, and what the tests said to it."""

    code: str
    result: str


def excerpt(text: str, line: int | None) -> str:
    """A test's source as far as one needs it who knows that it fails at `line` (from 1; None: unknown)."""
    lines = text.rstrip().split("\n")
    if len(lines) <= _MAX_TEST:
        return text
    last = min(len(lines), (line or _MAX_TEST) + 2)
    head = next((at for at, one in enumerate(lines) if one.lstrip().startswith(("def ", "async def "))), 0) + 1
    first = max(head, last - _MAX_TEST + head)
    between = ["    ..."] if first > head else []
    return "\n".join([*lines[:head], *between, *lines[first:last]])


def shared(problem: str, failures: Sequence[tuple[Failure, str]], overview: str = "") -> str:
    """The part that all requests begin with; each failure comes with the source of its test ("" when unknown).

    `overview` describes the repository; it stays the same when a part is repaired and other tests fail.
    """
    parts = ["A program has a bug.", *([overview] if overview else []), f"Problem: {problem.strip()[:_MAX_PROBLEM]}"]
    for failure, test in failures:
        if test:
            parts.append(f"This test fails:\n{_fenced(test, _language_of(failure))}")
        said = _fenced(failure.message[:_MAX_MESSAGE], "")
        parts.append(f"It says:\n{said}" if test else f"The tests say:\n{said}")
    return "\n\n".join(parts)


def for_suspect(
    common: str, suspect: Suspect, texts: Mapping[str, str], earlier: Sequence[Earlier], *, explain: bool
) -> Prompt:
    """Ask for a new version of a suspect. With `explain`, the model says what is wrong before it writes code."""
    text, language = texts[suspect.path], functions.fence(suspect.path)
    parts = [common, *_surroundings(suspect, texts), _code(suspect, text)]
    for attempt in earlier:
        tried, said = _fenced(attempt.code, language), _fenced(attempt.result, "")
        parts.append(f"This version was tried:\n{tried}\nThe test still failed:\n{said}")
    if suspect.kind == "lines":
        ask, prefill = "Write the corrected version of exactly these lines.", _opening(suspect)
        grammar = answer_grammar.code_block(prefill)
    elif suspect.last - suspect.first >= LONG_FUNCTION:
        ask = (
            f"Change `{suspect.name}` so that the test passes. Answer with a block of this form, the lines to replace "
            f"copied exactly:\n{SEARCH}old lines\n{DIVIDER}new lines\n{REPLACE}"
        )
        prefill, grammar = SEARCH, answer_grammar.replacement(suspect_text(suspect, text).split("\n"))
    else:
        ask = f"Write the corrected version of `{suspect.name}`, whole, so that the test passes."
        head = functions.head(suspect.path, text, _function(suspect, text))
        prefill, grammar = _opening(suspect) + head, answer_grammar.code_block(_opening(suspect), head)
    if explain:
        parts.append(f"{ask} First say in one or two sentences what is wrong, then write one code block.")
        return Prompt(_messages(parts), "", ("\n```\n",))
    parts.append(ask)
    stop = (REPLACE,) if prefill == SEARCH else ("\n```",)
    return Prompt(_messages(parts), prefill, stop, grammar)


def for_line(common: str, suspect: Suspect, texts: Mapping[str, str], line: int | None = None) -> Prompt:
    """Ask for one corrected line of a suspect: `line`, or whichever the model finds wrong."""
    text = texts[suspect.path]
    shown = line_edits.listed(suspect, text)
    what = f"`{suspect.name}` in {suspect.path}" if suspect.kind == "function" else suspect.path
    parts = [common, *_surroundings(suspect, texts)]
    parts.append(f"{what}, with line numbers:\n{_fenced(line_edits.listing(text, shown), '')}")
    parts.append(
        "One of these lines is wrong. Answer with that line alone, corrected so that the test passes, its number in "
        "front as above."
    )
    head = "```\n" if line is None else f"```\n{line}|"
    able = set(line_edits.likely(suspect, text)).intersection(shown) or set(shown)
    form = None if line is not None else line_edits.grammar("```\n", able)
    return Prompt(_messages(parts), head, ("\n",), form)


def for_alternatives(
    common: str, suspect: Suspect, texts: Mapping[str, str], *, around: bool
) -> tuple[Prompt, Listing]:
    """A question whose answer is given, to learn what would rather have been written, and the lines of that answer.

    With what is `around` a function that is shown whole, it is the question for a new version, which is read so.
    Without, it takes half the time to read, and tells nearly as much.
    """
    text = texts[suspect.path]
    listed = listing(suspect, text, suspect_text(suspect, text))
    if around and 0 not in listed.numbers:
        return replace(for_suspect(common, suspect, texts, (), explain=False), prefill=_opening(suspect)), listed
    code = _fenced(listed.text, functions.fence(suspect.path))
    shown = _surroundings(suspect, texts) if around else []
    parts = [common, *shown, f"Lines of `{suspect.name}` in {suspect.path}:\n{code}"]
    parts.append("Write the corrected version of exactly these lines, so that the test passes.")
    return Prompt(_messages(parts), _opening(suspect), ("\n```",)), listed


def plain(problem: str, path: str, text: str) -> tuple[Message, ...]:
    """The question that somebody without tools would ask: the problem and the file, no tests, no hints."""
    said = (
        f"A program has a bug.\n\nProblem: {problem.strip()[:_MAX_PROBLEM]}\n\nThe file {path}:\n"
        f"{_fenced(text, functions.fence(path))}\n\n"
        f"Find the bug and write the corrected function, whole, in one {functions.language_name(path)} code block."
    )
    return (Message("system", SYSTEM), Message("user", said))


def anew(common: str, suspect: Suspect, texts: Mapping[str, str]) -> Prompt:
    """Ask for a documented function from its description alone: who does not see the wrong line cannot copy it."""
    language, function = functions.fence(suspect.path), _function(suspect, texts[suspect.path])
    head = functions.head(suspect.path, texts[suspect.path], function)
    around = _neighbours(function, texts)
    parts = [common, *([f"Available in the program:\n{_fenced(around, language)}"] if around else [])]
    parts.append(
        f"The implementation of `{suspect.name}` in {suspect.path} is wrong and will be replaced. This is what it "
        f"should do:\n{_fenced(head, language)}\n\nWrite `{suspect.name}` anew, whole, so that the test passes."
    )
    opening = _opening(suspect)
    return Prompt(_messages(parts), opening + head, ("\n```",), answer_grammar.code_block(opening, head))


def for_test(common: str, suspect: Suspect, texts: Mapping[str, str], examples: Sequence[str], opening: str) -> Prompt:
    """Ask for one test that shows the problem; `examples` are tests of the user's, `opening` begins the file.

    One that holds an assertion already ends with it: the next would be about something else.
    """
    parts = [common, *_surroundings(suspect, texts), _code(suspect, texts[suspect.path])]
    if examples:
        parts.append("It is tested like this:\n" + _fenced("\n\n\n".join(examples)))
    parts.append(
        f"Write one pytest test that shows the problem. It uses `{suspect.name}` as in the problem, and asserts what "
        "the result should be: it fails now, and passes once the program is right."
    )
    stop = (*_END_OF_TEST, "\n    assert ") if "    assert " in opening else _END_OF_TEST
    return Prompt((Message("system", TESTER), *_messages(parts)[1:]), _PYTHON + opening, stop)


def is_documented(suspect: Suspect, text: str) -> bool:
    """Whether a suspect is a function, and says what it should do."""
    return suspect.kind == "function" and functions.is_documented(suspect.path, text, _function(suspect, text))


def suspect_text(suspect: Suspect, text: str) -> str:
    """The suspect's lines, at the left margin."""
    function = Function(suspect.path, suspect.name, suspect.first, suspect.last, frozenset())
    return function.text(text)


def _messages(parts: Sequence[str]) -> tuple[Message, ...]:
    return (Message("system", SYSTEM), Message("user", "\n\n".join(parts)))


def _opening(suspect: Suspect) -> str:
    return f"```{functions.fence(suspect.path)}\n"


def _surroundings(suspect: Suspect, texts: Mapping[str, str]) -> list[str]:
    """What one needs beside a suspect's code to change it: the same in all questions about it."""
    text, language = texts[suspect.path], functions.fence(suspect.path)
    if suspect.kind == "lines":
        around = _users(suspect, text)
        return [f"In {suspect.path}, these lines are used by:\n{_fenced(around, language)}"] if around else []
    function = _function(suspect, text)
    parts = []
    if around := _neighbours(function, texts):
        parts.append(f"Available in the program:\n{_fenced(_cut(around), language)}")
    outline = functions.class_outline(suspect.path, text, function.owner, function.short_name) if function.owner else ""
    if outline:
        parts.append(f"The class:\n{_fenced(_cut(outline), language)}")
    if suspect.calls:
        parts.append(
            f"During the failing test `{suspect.name}` was called like this:\n{_fenced(_calls(suspect.calls), '')}"
        )
    return parts


def _cut(text: str) -> str:
    """The lines of a text up to the size that is shown."""
    if len(text) <= _MAX_AROUND:
        return text
    return text[:_MAX_AROUND].rpartition("\n")[0] + "\n..."


def _code(suspect: Suspect, text: str) -> str:
    code = _fenced(suspect_text(suspect, text), functions.fence(suspect.path))
    if suspect.kind == "lines":
        return f"In {suspect.path}:\n{code}"
    what = "method" if "." in suspect.name else "function"
    return f"The {what} `{suspect.name}` in {suspect.path}:\n{code}"


def _function(suspect: Suspect, text: str) -> Function:
    found = functions.functions(suspect.path, text)
    return next(f for f in found if f.name == suspect.name and f.first == suspect.first)


def _neighbours(function: Function, texts: Mapping[str, str]) -> str:
    """Signatures of the program's functions that the suspect calls, and the constants of its module that it uses."""
    found: dict[str, None] = {}
    text = texts[function.path]
    lines = lines_of(text)
    for names, first, last in functions.declared(function.path, text):
        if function.mentions.intersection(names):
            found["\n".join(lines[first - 1 : last])] = None
    mark = "#" if function.path.endswith(".py") else "//"
    own = functions.functions(function.path, text)
    others = (near for path in texts if path != function.path for near in functions.functions(path, texts[path]))
    for near in chain((f for f in own if f.short_name in function.mentions), others, own):
        if len(found) >= _MAX_NEIGHBOURS:
            break
        same_class = near.owner is not None and near.owner == function.owner
        mentioned = near.short_name in function.mentions or (near.path == function.path and near.owner is None)
        if mentioned and not same_class and near.name != function.name:
            outlined = functions.outline(near.path, texts[near.path], near)
            found[
                f"{mark} {near.path}: {near.owner}\n{outlined}" if near.owner else f"{mark} {near.path}\n{outlined}"
            ] = None
    return "\n".join(list(found)[:_MAX_NEIGHBOURS])


def _users(suspect: Suspect, text: str) -> str:
    users = [f for f in functions.functions(suspect.path, text) if suspect.name in f.mentions]
    return "\n\n".join(f.text(text) for f in users[:2])


def _language_of(failure: Failure) -> str:
    """The language of a failing test, by the file that it is in."""
    files = [failure.id.split("::")[0], *(place.path for place in failure.places)]
    return next((mark for path in files if (mark := functions.fence(path))), "python")


def _calls(calls: Sequence[Call]) -> str:
    return "\n".join(list(dict.fromkeys(map(_call, calls)))[:_MAX_CALLS])


def _call(call: Call) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in call.arguments.items())
    if call.yields:
        return f"{call.name}({arguments}) yielded {', '.join(call.yields)}"
    return f"{call.name}({arguments}) " + ("raised an exception" if call.result is None else f"returned {call.result}")


def _fenced(text: str, language: str = "python") -> str:
    return f"```{language}\n{text.rstrip()}\n```"
