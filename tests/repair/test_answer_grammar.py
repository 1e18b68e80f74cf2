"""The forms of answers: what fits is let through, what could not be used cannot be said."""

from __future__ import annotations

import pytest
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from inhouse.repair import answer_grammar, prompts
from inhouse.repair.localise import Evidence, suspects
from inhouse.repair.patching import edited
from inhouse.workspace.testing.calls import Calls
from inhouse.workspace.testing.report import Failure

LINES = ["def f(x):", "    if x > 1:", "        return 'é/\"'", "", "    return x"]


class Bytes:
    """A vocabulary of single bytes."""

    bos_token_id = None
    eos_token_id = 256
    special_token_ids = (256,)
    tokens = (*(bytes([byte]) for byte in range(256)), b"<end>")

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())


VOCABULARY = LLTokenizer(TokenizerWrapper(Bytes()), n_vocab=257)


def stops_at(grammar: str, text: str) -> str:
    """What of `text` a grammar does not let through; "…" when it wants more."""
    assert not LLMatcher.validate_grammar(grammar, VOCABULARY)
    matcher = LLMatcher(VOCABULARY, grammar)
    ids = Bytes()(text)
    taken = matcher.try_consume_tokens(ids)
    rest = bytes(ids[taken:]).decode()
    return rest if rest or matcher.is_stopped() else "…"


@pytest.mark.parametrize("old", ["    return x\n", "    if x > 1:\n        return 'é/\"'\n", "\n    return x\n"])
@pytest.mark.parametrize("new", ["", "    return 2 * x\n", "\n    y = `x`\n"])
def test_lines_that_are_there_can_be_replaced(old: str, new: str) -> None:
    answer = f"<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE"
    assert stops_at(answer_grammar.replacement(LINES), answer) == ""
    text = "\n".join(LINES) + "\n"
    assert edited(text, answer).strip("\n") == text.replace(old, new).strip("\n")


@pytest.mark.parametrize(
    ("old", "rest"),
    [
        ("    return y\n", "y\n=======\n"),  # a line that is not there
        ("    return\n", "\n=======\n"),  # a part of a line
        ("    if x > 1:\n    return x\n", "return x\n=======\n"),  # lines that do not follow each other
        ("", "=======\n"),  # none
        ("\n", "=======\n"),  # nothing but blanks
    ],
)
def test_other_lines_cannot(old: str, rest: str) -> None:
    found = stops_at(answer_grammar.replacement(LINES), f"<<<<<<< SEARCH\n{old}=======\n")
    assert found.endswith(rest.lstrip())
    assert len(found) <= len(rest)


def test_code_goes_on_in_its_block_to_the_blocks_end() -> None:
    head = 'def f(x):\n    """About `x` and "that"."""\n'
    grammar = answer_grammar.code_block("```python\n", head)
    answer = f"```python\n{head}    if x:\n        return 1\n\n    return '``'\n\n\ndef help():\n    pass\n```"
    assert stops_at(grammar, answer) == ""
    assert stops_at(grammar, answer[:-3]) == "…"
    assert stops_at(grammar, f"```python\n{head}return x\n```") == "return x\n```"  # no statement of the function's
    assert stops_at(grammar, f"```python\n{head}```") == "```"  # nothing at all
    assert stops_at(grammar, f"{answer} Done.") == " Done."


def test_a_signature_and_lines_go_on_as_they_like() -> None:
    assert stops_at(answer_grammar.code_block("```python\n", "def f("), "```python\ndef f(x): return x\n```") == ""
    assert stops_at(answer_grammar.code_block("```\n"), "```\n`${x}`;\n  }\n```") == ""
    assert stops_at(answer_grammar.code_block("```\n"), "```\n```") == "`"  # no line at all


@pytest.mark.parametrize("length", [3, 200])
def test_every_question_that_begins_an_answer_knows_its_form(length: int) -> None:
    body = "    x += 1\n" * length
    text = f'def long(x):\n    """Adds."""\n{body}    return x\n'
    suspect = suspects(Evidence("long", [Failure("", "t", "", ())], {"m.py": text}, ["long(1)"], Calls()))[0]
    asked = [prompts.for_suspect("", suspect, {"m.py": text}, [], explain=False)]
    asked += [prompts.anew("", suspect, {"m.py": text})]
    for prompt in asked:
        assert prompt.grammar is not None
        assert stops_at(prompt.grammar, prompt.prefill) == "…"
    assert prompts.for_suspect("", suspect, {"m.py": text}, [], explain=True).grammar is None
