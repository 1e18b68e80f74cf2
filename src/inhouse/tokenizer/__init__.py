"""Text to tokens and back, the conversation's template, and the parser of what the model answers."""

from inhouse.tokenizer.detokenizer import Detokenizer
from inhouse.tokenizer.template import ChatTemplate
from inhouse.tokenizer.tokenizer import Tokenizer

__all__ = ["ChatTemplate", "Detokenizer", "Tokenizer"]
