"""llama.cpp's notation of grammars (GBNF) in the one that constraints have. Knows no models."""

from __future__ import annotations

from llguidance.gbnf_to_lark import any_to_lark, gbnf_to_lark

from inhouse.errors import ParameterError


def lark_of_gbnf(text: str) -> str:
    """A grammar in GBNF as Lark's. Raises ParameterError."""
    return _translated(gbnf_to_lark, text)


def lark_of_any(text: str) -> str:
    """A grammar in either notation as Lark's. Raises ParameterError."""
    return _translated(any_to_lark, text)


def _translated(translate: object, text: str) -> str:
    assert callable(translate)
    try:
        return str(translate(text))
    except Exception as error:  # the translator raises what it likes
        raise ParameterError(f"the grammar cannot be read as GBNF: {error}") from error
