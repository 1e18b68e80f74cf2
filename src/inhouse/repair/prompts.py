"""What the model is told. Knows no clients and runs nothing.

The shared part (problem, failing test, what it says) comes first and is the same in every request of a repair, so that
an engine which keeps its state reads it once; what differs (the suspect, earlier attempts) comes last. The answer is
begun for the model: a small model then writes the function and nothing else.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inhouse.client.types import Message
from inhouse.repair import answer_grammar, line_edits
from inhouse.repair.answer_grammar import DIVIDER, REPLACE, SEARCH
from inhouse.repair.localise import Suspect
from inhouse.workspace import source
from inhouse.workspace.lines import lines_of
from inhouse.workspace.testing.calls import Call
from inhouse.workspace.testing.report import Failure

SYSTEM = "You are an expert programmer. You repair bugs with small, correct changes."
TESTER = "You are an expert programmer. You write short, correct tests."
_END_OF_TEST = ("\n```", "\ndef ", "\nclass ", "\n@", "\nif ", "\n#")
LONG_FUNCTION = 80  # lines; longer ones are edited by SEARCH/REPLACE instead of written anew

PLAIN_FILE = 24_000  # characters; longer files are not asked about as a whole

_PYTHON = "```python\n"
_MAX_CALLS = 6  # shown of a suspect
_MAX_NEIGHBOURS = 6  # functions shown by their signature
_MAX_PROBLEM = 4000  # characters


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


def shared(problem: str, failures: Sequence[tuple[Failure, str]], overview: str = "") -> str:
    """The part that all requests begin with; each failure comes with the source of its test ("" when unknown).

    `overview` describes the repository; it stays the same when a part is repaired and other tests fail.
    """
    parts = ["A program has a bug.", *([overview] if overview else []), f"Problem: {problem.strip()[:_MAX_PROBLEM]}"]
    for failure, test in failures:
        if test:
            parts.append(f"This test fails:\n{_fenced(test)}")
        parts.append(
            f"It says:\n{_fenced(failure.message, '')}" if test else f"The tests say:\n{_fenced(failure.message, '')}"
        )
    return "\n\n".join(parts)


def for_suspect(
    common: str, suspect: Suspect, texts: Mapping[str, str], earlier: Sequence[Earlier], *, explain: bool
) -> Prompt:
    """Ask for a new version of a suspect. With `explain`, the model says what is wrong before it writes code."""
    text = texts[suspect.path]
    parts = [common, *_surroundings(suspect, texts), _code(suspect, text)]
    for attempt in earlier:
        parts.append(
            f"This version was tried:\n{_fenced(attempt.code)}\nThe test still failed:\n{_fenced(attempt.result, '')}"
        )
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
        head = _head(suspect, text)
        prefill, grammar = _PYTHON + head, answer_grammar.code_block(_PYTHON, head)
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


def plain(problem: str, path: str, text: str) -> tuple[Message, ...]:
    """The question that somebody without tools would ask: the problem and the file, no tests, no hints."""
    said = (
        f"A program has a bug.\n\nProblem: {problem.strip()[:_MAX_PROBLEM]}\n\nThe file {path}:\n{_fenced(text)}\n\n"
        "Find the bug and write the corrected function, whole, in one Python code block."
    )
    return (Message("system", SYSTEM), Message("user", said))


def anew(common: str, suspect: Suspect, texts: Mapping[str, str]) -> Prompt:
    """Ask for a documented function from its description alone: who does not see the wrong line cannot copy it."""
    head = _head(suspect, texts[suspect.path])
    function = _function(suspect, texts[suspect.path])
    around = _neighbours(function, texts)
    parts = [common, *([f"Available in the program:\n{_fenced(around)}"] if around else [])]
    parts.append(
        f"The implementation of `{suspect.name}` in {suspect.path} is wrong and will be replaced. This is what it "
        f"should do:\n{_fenced(head)}\n\nWrite `{suspect.name}` anew, whole, so that the test passes."
    )
    return Prompt(_messages(parts), _PYTHON + head, ("\n```",), answer_grammar.code_block(_PYTHON, head))


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
    tree = source.parse(text)
    node = source.find_node(tree, suspect.name) if tree and suspect.kind == "function" else None
    return node is not None and len(ast.get_docstring(node) or "") > 0 and len(node.body) > 1


def suspect_text(suspect: Suspect, text: str) -> str:
    """The suspect's lines, at the left margin."""
    function = source.Function(suspect.path, suspect.name, suspect.first, suspect.last, frozenset())
    return function.text(text)


def _messages(parts: Sequence[str]) -> tuple[Message, ...]:
    return (Message("system", SYSTEM), Message("user", "\n\n".join(parts)))


def _opening(suspect: Suspect) -> str:
    return _PYTHON if suspect.path.endswith(".py") else "```\n"


def _head(suspect: Suspect, text: str) -> str:
    """The function down to its first statement, so that the answer is that function and has its signature."""
    tree = source.parse(text)
    node = source.find_node(tree, suspect.name) if tree else None
    if node is None:
        return f"def {suspect.name.rpartition('.')[2]}("
    statements = node.body[1:] if len(node.body) > 1 and ast.get_docstring(node) is not None else node.body
    lines = lines_of(text)[node.lineno - 1 : statements[0].lineno - 1]
    head = textwrap.dedent("\n".join(lines))
    if statements[0].lineno == node.lineno or "```" in head:  # all on one line, or it would close the block
        return source.signature(node).partition("(")[0] + "("
    return head + "\n"


def _surroundings(suspect: Suspect, texts: Mapping[str, str]) -> list[str]:
    """What one needs beside a suspect's code to change it: the same in all questions about it."""
    text = texts[suspect.path]
    if suspect.kind == "lines":
        around = _users(suspect, text) if suspect.path.endswith(".py") else ""
        return [f"In {suspect.path}, these lines are used by:\n{_fenced(around)}"] if around else []
    function = _function(suspect, text)
    parts = []
    if around := _neighbours(function, texts):
        parts.append(f"Available in the program:\n{_fenced(around)}")
    if function.owner and (outline := source.class_outline(text, function.owner, function.short_name)):
        parts.append(f"The class:\n{_fenced(outline)}")
    if suspect.calls:
        parts.append(
            f"During the failing test `{suspect.name}` was called like this:\n{_fenced(_calls(suspect.calls), '')}"
        )
    return parts


def _code(suspect: Suspect, text: str) -> str:
    code = suspect_text(suspect, text)
    if suspect.kind == "lines":
        return f"In {suspect.path}:\n{_fenced(code, 'python' if suspect.path.endswith('.py') else '')}"
    what = "method" if "." in suspect.name else "function"
    return f"The {what} `{suspect.name}` in {suspect.path}:\n{_fenced(code)}"


def _function(suspect: Suspect, text: str) -> source.Function:
    found = source.functions(suspect.path, text)
    return next(f for f in found if f.name == suspect.name and f.first == suspect.first)


def _neighbours(function: source.Function, texts: Mapping[str, str]) -> str:
    """Signatures of the program's functions that the suspect calls, and the constants of its module that it uses."""
    found = []
    text = texts[function.path]
    tree = source.parse(text)
    lines = lines_of(text)
    for node in tree.body if tree else ():
        if function.mentions & source.assigned(node):
            found.append("\n".join(lines[node.lineno - 1 : node.end_lineno]))
    beside = [source.outline(text, f.name) for f in source.functions(function.path, text) if f.owner is None]
    for path, other in texts.items():
        for near in source.functions(path, other) if path.endswith(".py") else ():
            same_class = near.owner is not None and near.owner == function.owner
            if near.short_name in function.mentions and not same_class and near.name != function.name:
                outlined = source.outline(other, near.name)
                found.append(f"# {path}: {near.owner}\n{outlined}" if near.owner else f"# {path}\n{outlined}")
    own = source.outline(text, function.name)
    found += [f"# {function.path}\n{outlined}" for outlined in beside if outlined != own]
    return "\n".join(list(dict.fromkeys(found))[:_MAX_NEIGHBOURS])


def _users(suspect: Suspect, text: str) -> str:
    users = [f for f in source.functions(suspect.path, text) if suspect.name in f.mentions]
    return "\n\n".join(f.text(text) for f in users[:2])


def _calls(calls: Sequence[Call]) -> str:
    return "\n".join(list(dict.fromkeys(map(_call, calls)))[:_MAX_CALLS])


def _call(call: Call) -> str:
    arguments = ", ".join(f"{name}={value}" for name, value in call.arguments.items())
    if call.yields:
        return f"{call.name}({arguments}) yielded {', '.join(call.yields)}"
    return f"{call.name}({arguments}) " + ("raised an exception" if call.result is None else f"returned {call.result}")


def _fenced(text: str, language: str = "python") -> str:
    return f"```{language}\n{text.rstrip()}\n```"
