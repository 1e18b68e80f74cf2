"""Text to tokens and back, the conversation's template, and the parser of what the model answers."""

from inhouse.tokenizer.detokenizer import Detokenizer
from inhouse.tokenizer.output import (
    Call,
    CallBegun,
    CallPart,
    Dialect,
    Event,
    OutputParser,
    Reasoning,
    Text,
    detect_dialect,
    opens_thinking,
)
from inhouse.tokenizer.template import ChatTemplate
from inhouse.tokenizer.tokenizer import Tokenizer

__all__ = [
    "Call",
    "CallBegun",
    "CallPart",
    "ChatTemplate",
    "Detokenizer",
    "Dialect",
    "Event",
    "OutputParser",
    "Reasoning",
    "Text",
    "Tokenizer",
    "detect_dialect",
    "opens_thinking",
]
